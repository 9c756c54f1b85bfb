// SPDX-License-Identifier: Apache-2.0
#include "tcp/time_wait.h"

#include <algorithm>

#include "tcp/half_open.h"
#include "tcp/paws.h"

namespace tapir::tcp {

using trace::Counter;
using trace::DropReason;

namespace {

// Records that a FIN-WAIT-2 passes at most on the way to its place; beyond, it waits as long as its
// neighbour. Bounds the work that peers with ever different round trips could make.
constexpr int kPlaceSearchMax = 64;
// Linux: tw_kill = timeout <= 4 s, counted apart.
constexpr Duration kShortTimeout = 4s;

std::uint32_t seconds(Instant now) { return static_cast<std::uint32_t>(to_nsec(now) / 1'000'000'000); }
// Rounded up: a deadline in these is never early.
std::uint32_t milliseconds_up(Instant t) {
  return static_cast<std::uint32_t>((to_nsec(t) + 999'999) / 1'000'000);
}

}  // namespace

wire::TcpSegment TimeWait::ack(std::uint32_t ts_value) const {
  wire::TcpSegment segment;
  segment.src_port = local_port;
  segment.dst_port = remote_port;
  segment.seq = snd_nxt;
  segment.ack = rcv_nxt;
  segment.flags = wire::kAck;
  segment.window = static_cast<std::uint16_t>(std::min<std::uint32_t>(rcv_wnd >> rcv_wscale, 65535));
  if (has(kTimestamps)) segment.options.timestamps = {ts_value, ts_recent};
  return segment;
}

TimeWait TimeWait::of(const Remains& remains, Instant now) {
  TimeWait record;
  record.local_address = remains.tuple.local.address.v4_bits();
  record.remote_address = remains.tuple.remote.address.v4_bits();
  record.local_port = remains.tuple.local.port;
  record.remote_port = remains.tuple.remote.port;
  record.snd_nxt = remains.snd_nxt;
  record.rcv_nxt = remains.rcv_nxt;
  record.rcv_wnd = remains.rcv_wnd;
  record.rcv_wscale = remains.rcv_wscale;
  record.tos = remains.tos;
  record.entered_ms = timestamp_clock(now);
  if (remains.timestamps) {
    record.flags |= kTimestamps;
    if (remains.ts_offset != 0) record.flags |= kOffset;
    record.ts_recent = remains.ts_recent;
    record.ts_recent_s = seconds(remains.ts_recent_at);
  }
  if (remains.fin_wait_2) record.flags |= kFinWait2;
  return record;
}

TimeWait* TimeWaitTable::add(const TimeWait& remains, Duration timeout, const Knobs& knobs,
                             trace::Counters& counters, Instant now) {
  Handle<TimeWait> handle;
  if (records_.size() < static_cast<std::uint32_t>(std::max(knobs.tcp_max_tw_buckets, 0)))
    handle = records_.emplace(remains);
  if (!handle) {
    counters.add(Counter::kTcpExtTCPTimeWaitOverflow);
    return nullptr;
  }
  TimeWait& record = *records_.get(handle);
  schedule(record, record.has(TimeWait::kFinWait2) ? timeout : kTimeWaitLength, now);
  return &record;
}

void TimeWaitTable::erase(TimeWait& record) {
  unlink(record);
  records_.erase(record);
}

void TimeWaitTable::schedule(TimeWait& record, Duration timeout, Instant now) {
  record.deadline_ms = milliseconds_up(later(now, timeout));
  if (timeout <= kShortTimeout)
    record.flags |= TimeWait::kShort;
  else
    record.flags = static_cast<std::uint8_t>(record.flags & ~TimeWait::kShort);
  link(record);
}

void TimeWaitTable::link(TimeWait& record) {
  List& list = list_of(record);
  const std::uint32_t me = index_of(record) + 1;
  std::uint32_t after = list.tail;
  for (int steps = 0; after != 0; ++steps) {
    const TimeWait& other = *records_.at(after - 1);
    if (static_cast<std::int32_t>(other.deadline_ms - record.deadline_ms) <= 0) break;
    if (steps == kPlaceSearchMax) {
      record.deadline_ms = other.deadline_ms;
      break;
    }
    after = other.prev;
  }
  record.prev = after;
  record.next = after == 0 ? list.head : records_.at(after - 1)->next;
  (after == 0 ? list.head : records_.at(after - 1)->next) = me;
  (record.next == 0 ? list.tail : records_.at(record.next - 1)->prev) = me;
}

void TimeWaitTable::unlink(TimeWait& record) {
  List& list = list_of(record);
  (record.prev == 0 ? list.head : records_.at(record.prev - 1)->next) = record.next;
  (record.next == 0 ? list.tail : records_.at(record.next - 1)->prev) = record.prev;
  record.prev = record.next = 0;
}

TimeWaitTable::Verdict TimeWaitTable::on_segment(TimeWait& record, const wire::TcpSegment& segment,
                                                 const Knobs& knobs, trace::Counters& counters, Instant now) {
  using Kind = Verdict::Kind;
  const SeqNum rcv_nxt = record.rcv_nxt;
  const bool rst = segment.has(wire::kRst);
  const bool stamped = segment.options.timestamps && record.has(TimeWait::kTimestamps);
  bool old = false;
  if (stamped) {
    const Duration age = std::chrono::seconds(seconds(now) - record.ts_recent_s);
    old = paws_reject(record.ts_recent, age, segment.options.timestamps->value, rst);
  }
  const auto remember_stamp = [&] {
    if (!stamped) return;
    record.ts_recent = segment.options.timestamps->value;
    record.ts_recent_s = seconds(now);
  };
  const auto answer = [&](Counter skipped, DropReason reason) {
    const bool allowed = answer_allowed(record.last_answer_ms, segment, skipped, knobs, counters, now);
    return Verdict{allowed ? Kind::kAck : Kind::kDrop, reason};
  };

  if (record.has(TimeWait::kFinWait2)) {
    if (old || !in_window({segment.seq, segment.end()}, rcv_nxt, record.rcv_wnd))
      return answer(Counter::kTcpExtTCPACKSkippedFinWait2,
                    old ? DropReason::kTcpRfc7323Paws : DropReason::kTcpInvalidSequence);
    if (rst) return {Kind::kEnd, DropReason::kTcpReset};
    if (segment.has(wire::kSyn) && segment.seq >= rcv_nxt) return {Kind::kReset, DropReason::kTcpInvalidSyn};
    if (!segment.has(wire::kAck) || segment.end() <= rcv_nxt || segment.sequence_length() == 0)
      return {Kind::kDrop, DropReason::kTcpTimeWait};
    // Nobody is there to read: data is refused (RFC 9293 §3.10.7.4 leaves it to us; Linux resets).
    if (!segment.has(wire::kFin) || segment.end() != rcv_nxt + 1)
      return {Kind::kReset, DropReason::kTcpAbortOnData};
    unlink(record);
    record.flags = static_cast<std::uint8_t>(record.flags & ~TimeWait::kFinWait2);
    record.rcv_nxt = segment.end();
    record.entered_ms = timestamp_clock(now);
    remember_stamp();
    schedule(record, kTimeWaitLength, now);
    return {Kind::kAck, DropReason::kNone};
  }

  // Exactly at the edge: a bare ACK, or a RST (RFC 1337: TIME-WAIT assassination, allowed unless
  // tcp_rfc1337).
  if (!old && segment.seq == rcv_nxt && (segment.sequence_length() == 0 || rst)) {
    if (rst) {
      if (knobs.tcp_rfc1337 == 0) return {Kind::kEnd, DropReason::kTcpReset};
    } else {
      unlink(record);
      schedule(record, kTimeWaitLength, now);
    }
    remember_stamp();
    return {Kind::kDrop, DropReason::kTcpTimeWait};
  }

  // A new connection, if it is surely no old duplicate: a later sequence number, or a later timestamp (RFC
  // 6191).
  if (segment.has(wire::kSyn) && !rst && !segment.has(wire::kAck) && !old &&
      (segment.seq > rcv_nxt ||
       (stamped && static_cast<std::int32_t>(record.ts_recent - segment.options.timestamps->value) < 0)))
    return {Kind::kNewSyn, DropReason::kNone};

  if (old) counters.add(Counter::kTcpExtPAWSTimewait);
  if (rst) return {Kind::kDrop, old ? DropReason::kTcpRfc7323TwPaws : DropReason::kTcpTimeWait};
  // A SYN without ACK may be a good one with an unlucky number: it does not make the record live longer.
  if (old || segment.has(wire::kAck)) {
    unlink(record);
    schedule(record, kTimeWaitLength, now);
  }
  return answer(Counter::kTcpExtTCPACKSkippedTimeWait,
                old ? DropReason::kTcpRfc7323TwPaws : DropReason::kTcpTimeWait);
}

bool TimeWaitTable::may_reuse(const TimeWait& record, const Knobs& knobs, Instant now) const {
  if (knobs.tcp_tw_reuse == 0 || record.has(TimeWait::kFinWait2) || !record.has(TimeWait::kTimestamps))
    return false;
  if (knobs.tcp_tw_reuse == 2 && !record.tuple().local.address.is_loopback() &&
      !record.tuple().remote.address.is_loopback())
    return false;
  // The peer's timestamps must have moved since, whatever its clock.
  const std::uint32_t ready = record.entered_ms + static_cast<std::uint32_t>(knobs.tcp_tw_reuse_delay);
  return static_cast<std::int32_t>(ready - timestamp_clock(now)) < 0;
}

Instant TimeWaitTable::deadline_of(const TimeWait& record, Instant now) const {
  const auto remaining = static_cast<std::int32_t>(record.deadline_ms - timestamp_clock(now));
  const Instant this_ms{now.time_since_epoch() - now.time_since_epoch() % Duration(1ms)};
  return this_ms + std::chrono::milliseconds(remaining);
}

Instant TimeWaitTable::next_deadline(Instant now) const {
  Instant first = kNever;
  for (const List* list : {&time_wait_, &fin_wait_2_})
    if (list->head != 0) first = std::min(first, deadline_of(*records_.at(list->head - 1), now));
  return first;
}

TimeWait* TimeWaitTable::first_expired(Instant now) {
  for (const List* list : {&time_wait_, &fin_wait_2_}) {
    if (list->head == 0) continue;
    TimeWait& record = *records_.at(list->head - 1);
    if (deadline_of(record, now) <= now) return &record;
  }
  return nullptr;
}

}  // namespace tapir::tcp
