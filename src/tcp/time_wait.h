// SPDX-License-Identifier: Apache-2.0
// What stays of a closed connection: enough to answer the peer's last segments, and to keep old ones out of a
// new incarnation (RFC 9293 §3.6.1; Linux: tcp_minisocks.c). Orphans in FIN-WAIT-2 are kept so too.
#pragma once

#include <cstdint>
#include <optional>

#include "base/seq_num.h"
#include "base/slab.h"
#include "base/time.h"
#include "inet/endpoint.h"
#include "tcp/knobs.h"
#include "tcp/remains.h"
#include "trace/counters.h"
#include "wire/tcp_segment.h"

namespace tapir::tcp {

// Not 2 MSL of RFC 9293 but what Linux has made of it (TCP_TIMEWAIT_LEN).
inline constexpr Duration kTimeWaitLength = 60s;

// An IPv4 tuple's record (another version's is another type). Times are milliseconds (or seconds) of the
// stack's clock, modulo 2^32.
struct TimeWait {
  std::uint32_t local_address = 0;  // host order
  std::uint32_t remote_address = 0;
  std::uint16_t local_port = 0;
  std::uint16_t remote_port = 0;
  SeqNum snd_nxt;
  SeqNum rcv_nxt;
  std::uint32_t rcv_wnd = 0;  // bytes
  std::uint32_t ts_recent = 0;
  std::uint32_t ts_recent_s = 0;     // when it was heard
  std::uint32_t last_answer_ms = 0;  // when it last answered what needed no answer; 0: never
  std::uint32_t entered_ms = 0;      // for tcp_tw_reuse_delay
  std::uint32_t deadline_ms = 0;
  std::uint32_t prev = 0;  // index + 1, in the list of its kind
  std::uint32_t next = 0;
  std::uint8_t rcv_wscale = 0;
  std::uint8_t tos = 0;
  std::uint8_t flags = 0;  // of Flag
  enum Flag : std::uint8_t {
    kFinWait2 = 1,  // waits for the peer's FIN still
    kTimestamps = 2,
    kOffset = 4,  // our timestamps carry the tuple's offset
    kShort = 8,   // was to live 4 s or less (Linux: tw_kill)
  };

  // The record of what a connection leaves; its tuple is IPv4's.
  static TimeWait of(const Remains& remains, Instant now);
  bool has(Flag flag) const { return (flags & flag) != 0; }
  FourTuple tuple() const {
    return {{IpAddress::v4(local_address), local_port}, {IpAddress::v4(remote_address), remote_port}};
  }
  bool is(const FourTuple& t) const {
    return t.remote.port == remote_port && t.local.port == local_port && t.remote.address.is_v4() &&
           t.local.address.is_v4() && t.remote.address.v4_bits() == remote_address &&
           t.local.address.v4_bits() == local_address;
  }
  // The ACK that answers what is out of place. `ts_value`: our timestamp as it goes out.
  wire::TcpSegment ack(std::uint32_t ts_value) const;
  // What a reopened connection starts from: past everything that the old one may have sent (RFC 6191, Linux:
  // tw_snd_nxt + 65535 + 2).
  SeqNum next_iss() const {
    const SeqNum iss = snd_nxt + (65535 + 2);
    return iss.value() == 0 ? SeqNum(1) : iss;
  }
};
// With the slab's 8 bytes, a record costs 64.
static_assert(sizeof(TimeWait) <= 56);

class TimeWaitTable {
 public:
  TimeWaitTable(std::uint32_t limit, ChargeHook hook) : records_(limit, hook) {}

  // Keeps `remains`, in FIN-WAIT-2 for `timeout`; null when there are tcp_max_tw_buckets, or no memory: then
  // nothing stays.
  TimeWait* add(const TimeWait& remains, Duration timeout, const Knobs& knobs, trace::Counters& counters,
                Instant now);
  void erase(TimeWait& record);
  std::uint32_t index_of(const TimeWait& record) const { return records_.handle_of(record).index; }
  TimeWait* at(std::uint32_t index) { return records_.at(index); }
  const TimeWait* at(std::uint32_t index) const { return records_.at(index); }
  std::uint32_t size() const { return records_.size(); }
  Handle<TimeWait> handle_of(const TimeWait& record) const { return records_.handle_of(record); }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    records_.for_each(visit);
  }

  struct Verdict {
    enum class Kind : std::uint8_t {
      kDrop,
      kAck,     // send ack()
      kReset,   // send a RST; the record ends
      kEnd,     // the record ends
      kNewSyn,  // a new connection, from next_iss() on, if somebody listens; else kAck
    } kind = Kind::kDrop;
    trace::DropReason reason = trace::DropReason::kTcpTimeWait;
  };
  // In the order of Linux's tcp_timewait_state_process.
  Verdict on_segment(TimeWait& record, const wire::TcpSegment& segment, const Knobs& knobs,
                     trace::Counters& counters, Instant now);

  // May connect() take this tuple over? (RFC 6191; Linux: tcp_twsk_unique.)
  bool may_reuse(const TimeWait& record, const Knobs& knobs, Instant now) const;

  Instant next_deadline(Instant now) const;
  // A record whose time is over, still in the table; null when there is none.
  TimeWait* first_expired(Instant now);
  Instant deadline_of(const TimeWait& record, Instant now) const;

 private:
  // A list in the order of deadlines.
  struct List {
    std::uint32_t head = 0;  // index + 1
    std::uint32_t tail = 0;
  };
  List& list_of(const TimeWait& record) { return record.has(TimeWait::kFinWait2) ? fin_wait_2_ : time_wait_; }
  void schedule(TimeWait& record, Duration timeout, Instant now);
  void link(TimeWait& record);
  void unlink(TimeWait& record);

  Slab<TimeWait> records_;
  List time_wait_;   // all live kTimeWaitLength: first in, first out
  List fin_wait_2_;  // times differ by program and round trip
};

}  // namespace tapir::tcp
