// SPDX-License-Identifier: Apache-2.0
// What a connection has only while something is under way: bytes to send, unacknowledged, unread or out of
// order, a segment owed, a loss being repaired. An idle connection has none of it, which is most of its
// memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/assert.h"
#include "base/seq_num.h"
#include "base/slab.h"
#include "base/time.h"
#include "tcp/delivery_rate.h"
#include "tcp/mtu_search.h"
#include "tcp/pacer.h"
#include "tcp/reassembly.h"
#include "tcp/receive_queue.h"
#include "tcp/recovery.h"
#include "tcp/scoreboard.h"
#include "tcp/send_buffer.h"
#include "tcp/unsent_queue.h"
#include "tcp/urgent.h"

namespace tapir::tcp {

// Timers of a connection; one table, one switch.
enum class Timer : std::uint8_t {
  kRetransmit,     // When to send again what was not acknowledged (RFC 6298)
  kProbe,          // When to ask a closed window whether it opened (RFC 9293 §3.8.6.1)
  kDelayedAck,     // When to acknowledge data that nothing else acknowledged (RFC 9293 §3.8.6.3)
  kKeepalive,      // When to ask a silent peer whether it lives (RFC 9293 §3.8.4), and when FIN-WAIT-2 of an
                   // owner ends
  kReorder,        // When to look again for losses (RFC 8985 §6.3)
  kTailProbe,      // When to send the tail again (RFC 8985 §7)
  kPace,           // When the next segment may leave
  kCompressedAck,  // When to send the SACKs held back
};
inline constexpr std::size_t kTimerCount = 8;

struct Activity {
  // A RST owed in answer to a segment, without ending the connection, or as its end.
  struct OwedReset {
    bool owed = false;
    bool with_ack = false;
    SeqNum seq;
    SeqNum ack;
  };

  Activity() { deadlines.fill(kNever); }

  // Nothing in it would be missed: an idle connection does without.
  bool over() const {
    if (!scoreboard.empty() || !unsent.empty() || !send_buffer.empty() || !receive_queue.empty() ||
        !reassembly.empty())
      return false;
    if (reset.owed || fast_open_request != 0 || !urgent.idle() || !dsack.empty() || recovery.remembers())
      return false;
    for (const Instant deadline : deadlines)
      if (deadline != kNever) return false;
    return true;
  }

  Scoreboard scoreboard;
  SendBuffer send_buffer;
  UnsentQueue unsent;
  ReceiveQueue receive_queue;
  Reassembly reassembly;
  Recovery recovery;
  std::array<Instant, kTimerCount>
      deadlines;  // by Timer; kKeepalive's place is unused: it runs while the connection is idle too
  OwedReset reset;
  std::uint32_t fast_open_request =
      0;          // index + 1 in Env::fast_open_requests, while a server's handshake is unfinished; 0: none
  Urgent urgent;  // a byte out of turn, ours or theirs
  SeqRange dsack{};             // a duplicate to report in the next ACK
  Instant probes_began{};       // window probes in a row; zero: none
  Instant retransmits_began{};  // first retransmission of this stall (Linux: retrans_stamp); zero: none
  MtuProbe mtu_probe;
  Pacer pacer;
  DeliveryRate::Flight flight;
  SeqNum compressed_at;              // rcv.nxt when the duplicate ACKs below were counted
  std::uint8_t duplicate_acks = 0;   // sent at once for that hole: the first three tell the peer of it
  std::uint8_t compressed_acks = 0;  // not sent since, for the timer's sake
  std::uint16_t record_charge =
      0;  // bytes that a record takes of the send buffer besides its payload (tcp_record_charge)
  bool tail_probe_owed = false;
};

// Of all connections of a stack.
using ActivityPool = Slab<Activity>;

// One connection's, or none. To look at none is to see an empty one; to change it there must be one.
class ActivityRef {
 public:
  explicit operator bool() const { return body_ != nullptr; }
  const Activity* operator->() const { return body_ != nullptr ? body_ : &nothing(); }
  Activity* operator->() {
    TAPIR_INVARIANT(body_ != nullptr, "a connection wakes before it works");
    return body_;
  }
  // False: no memory.
  bool make(ActivityPool& pool) {
    if (body_ == nullptr) body_ = pool.get(pool.emplace());
    return body_ != nullptr;
  }
  void give_back(ActivityPool& pool) { pool.erase(*std::exchange(body_, nullptr)); }

 private:
  static const Activity& nothing();

  Activity* body_ = nullptr;
};

}  // namespace tapir::tcp
