// SPDX-License-Identifier: Apache-2.0
// What was sent and is not yet acknowledged, one record per (super-)segment; what ACKs and SACKs say of it.
// Counts are in segments of the size each record was cut at, as Linux's packets_out, sacked_out, lost_out, retrans_out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/intrusive_list.h"
#include "base/seq_num.h"
#include "base/slab.h"
#include "base/time.h"
#include "wire/tcp_segment.h"

namespace tapir::tcp {

// One (super-)segment sent and not yet acknowledged.
struct Transmission {
  SeqRange range;                      // with SYN and FIN counted
  Instant sent_at{};                   // last time
  Instant first_sent_at{};             // for the delivery rate
  Instant delivered_at{};              // delivery-rate snapshot when sent
  std::uint32_t delivered = 0;
  std::uint16_t mss = 0;               // the segment size it was cut at
  std::uint8_t times_sent = 1;         // saturates
  bool sacked = false;
  bool lost = false;                   // marked to be sent again
  bool retransmitted = false;          // a copy is in flight
  bool ever_retransmitted = false;     // Karn: no RTT sample without timestamps
  bool syn = false;
  bool fin = false;
  bool push = false;
  bool end_of_record = false;
  bool app_limited = false;
  std::uint32_t ack_seq_at_retransmit = 0;   // snd.nxt when last sent again: detects a lost retransmission

  std::uint32_t segments() const { return range.length() == 0 ? 1 : (range.length() + mss - 1) / mss; }

  // Links of the orders it stands in; only the scoreboard touches them.
  Transmission* tree_left = nullptr;
  Transmission* tree_right = nullptr;
  Transmission* tree_parent = nullptr;
  std::uint32_t tree_priority = 0;
  Transmission* time_prev = nullptr;
  Transmission* time_next = nullptr;
};

// Transmissions of all connections of a stack.
using TransmissionPool = Slab<Transmission>;

// What one ACK changed.
struct AckSummary {
  std::uint32_t newly_acked = 0;        // segments cumulatively acknowledged by this ACK, not SACKed before
  std::uint32_t newly_sacked = 0;       // segments
  std::uint32_t acked_sacked_before = 0; // segments cumulatively acknowledged that had been SACKed
  std::uint32_t delivered = 0;          // newly_acked + newly_sacked
  std::uint32_t acked_bytes = 0;
  bool una_moved = false;
  bool dsack = false;                   // the first block reported a duplicate (RFC 2883)
  bool sack_seen = false;
  bool retransmitted_acked = false;     // something that had been sent again was acknowledged
  bool original_acked = false;          // something never sent again was newly acknowledged or SACKed
  bool fin_acked = false;
  bool syn_acked = false;
  bool reneged = false;                 // the head was SACKed before, and the cumulative ACK did not pass it
  std::uint32_t reordering_seen = 0;    // segments of reordering distance (0: none)
  Duration rtt{-1};                     // of the cumulative ACK, of never-retransmitted data; < 0: none
  Duration sack_rtt{-1};
  Instant latest_sent_at{};             // sent_at of the most recently sent record delivered by this ACK (RACK)
  SeqNum latest_end;                    // and its end
};

class Scoreboard {
 public:
  Scoreboard() = default;
  Scoreboard(const Scoreboard&) = delete;
  Scoreboard& operator=(const Scoreboard&) = delete;
  ~Scoreboard();                        // must be empty: clear() first

  // A new (super-)segment of data left. False: no record could be had (then it must not be sent).
  Transmission* on_sent(SeqRange range, std::uint16_t mss, Instant now, TransmissionPool& pool);
  // `t` (or its front, split at `end` on a segment boundary) is sent again. Moves it to the end of the time order.
  Transmission* on_resent(Transmission& t, SeqNum end, std::uint16_t mss, Instant now, SeqNum snd_nxt, TransmissionPool& pool);

  // Applies a cumulative ACK and SACK blocks (already validated against [una, nxt]). Partial acknowledgement of a
  // super-segment splits it on a segment boundary; a SACK of part of a segment sacks nothing.
  AckSummary apply(SeqNum ack, std::span<const wire::SackBlock> blocks, bool first_is_dsack, Instant now, TransmissionPool& pool);

  // Marks: each keeps the counts right.
  void mark_lost(Transmission& t);
  void unmark_lost(Transmission& t);
  void mark_all_lost(bool forget_sacks, SeqNum below);   // on RTO; all unSACKed records below `below`
  // SACK-less (NewReno): pretend `n` segments were SACKed by duplicate ACKs (Linux: tcp_add_reno_sack).
  void add_reno_sack(std::uint32_t n);
  void remove_reno_sacks(std::uint32_t acked);
  void reset_reno_sack();

  std::uint32_t packets_out() const { return packets_out_; }
  std::uint32_t sacked_out() const { return sacked_out_; }
  std::uint32_t lost_out() const { return lost_out_; }
  std::uint32_t retrans_out() const { return retrans_out_; }
  std::uint32_t left_out() const { return sacked_out_ + lost_out_; }
  // packets_out - left_out + retrans_out (Linux: tcp_packets_in_flight).
  std::uint32_t in_flight() const { return packets_out_ - left_out() + retrans_out_; }

  bool empty() const { return root_ == nullptr; }
  Transmission* first() const { return first_; }
  Transmission* last() const { return last_; }
  Transmission* next(const Transmission& t) const;
  Transmission* prev(const Transmission& t) const;
  Transmission* find(SeqNum seq) const;               // the record that contains seq; O(log n)
  Transmission* oldest_sent() const { return time_first_; }   // time order, for RACK
  Transmission* next_sent(const Transmission& t) const { return t.time_next; }
  SeqNum highest_sacked() const { return highest_sacked_; }   // end of the highest SACKed record
  std::size_t record_count() const { return record_count_; }
  void clear(TransmissionPool& pool);

 private:
  Transmission* root_ = nullptr;
  Transmission* first_ = nullptr;
  Transmission* last_ = nullptr;
  Transmission* time_first_ = nullptr;
  Transmission* time_last_ = nullptr;
  std::uint32_t packets_out_ = 0;
  std::uint32_t sacked_out_ = 0;
  std::uint32_t lost_out_ = 0;
  std::uint32_t retrans_out_ = 0;
  std::uint32_t record_count_ = 0;
  SeqNum highest_sacked_;
};

}  // namespace tapir::tcp
