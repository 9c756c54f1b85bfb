// SPDX-License-Identifier: Apache-2.0
// Segments that ask the network something: tail loss probes (RFC 8985 §7) and probes of the path's MTU (RFC
// 4821); and the timer that stands for all losses, which is one at a time of retransmission, reordering and
// tail probe, as Linux has one slot for them.
#include <algorithm>

#include "tcp/connection.h"
#include "tcp/events.h"

namespace tapir::tcp {

using trace::Counter;
using namespace wire;

namespace {

// Added to a probe time-out of two round trips (Linux: TCP_TIMEOUT_MIN_US).
constexpr Duration kProbeSlack = 2ms;
// A probe of the MTU wants a window that loses little by one segment (Linux: tcp_mtu_probe; RFC 4821 §7.4).
constexpr std::uint32_t kMtuProbeCwndMin = 11;

}  // namespace

// ---- the timer ----

void Connection::arm_loss(Timer timer, Instant when, Env& env, Instant now) {
  disarm(Timer::kRetransmit);
  disarm(Timer::kReorder);
  disarm(Timer::kTailProbe);
  arm(timer, when, env, now);
}

// RFC 6298 §5. After a reordering or probe time the time-out still counts from the head's transmission
// (Linux: tcp_rearm_rto).
void Connection::rearm_retransmit(Env& env, Instant now, bool reorder_time_over) {
  const Transmission* const head = busy_->scoreboard.first();
  if (head == nullptr) {
    disarm(Timer::kRetransmit);
    disarm(Timer::kReorder);
    disarm(Timer::kTailProbe);
    return;
  }
  Instant when = now + rto_.value();
  if (reorder_time_over || armed(Timer::kReorder) || armed(Timer::kTailProbe))
    when = std::max(head->sent_at + rto_.value(), now + Duration(1ms));
  arm_loss(Timer::kRetransmit, when, env, now);
}

// RFC 8985 §7.2, with Linux's time (tcp_schedule_loss_probe): two round trips; for one segment, whose ACK may
// be delayed, the least time-out besides; never later than the time-out. `from_now`: the time-out would begin
// now. False: no probe is called for.
bool Connection::schedule_tail_probe(bool from_now, Env& env, Instant now) {
  const Scoreboard& scoreboard = busy_->scoreboard;
  if (env.knobs.tcp_early_retrans != 3 && env.knobs.tcp_early_retrans != 4) return false;
  if (!sack_ || scoreboard.empty() || fast_open_pending()) return false;
  const CaState state = busy_->recovery.state();
  if (state != CaState::kOpen && state != CaState::kCwr) return false;
  Duration wait = 1s;
  if (rtt_.has_sample())
    wait = 2 * rtt_.srtt() + (scoreboard.packets_out() == 1 ? env.knobs.rto_min : kProbeSlack);
  const Duration timeout = from_now ? rto_.value() : scoreboard.first()->sent_at + rto_.value() - now;
  if (timeout > Duration::zero()) wait = std::min(wait, timeout);
  arm_loss(Timer::kTailProbe, now + wait, env, now);
  return true;
}

void Connection::on_tail_probe_timeout(Env& env, Instant now) {
  // At most one probe in flight (RFC 8985 §7.3).
  if (busy_->recovery.tail_probe_out() || busy_->scoreboard.empty()) return rearm_retransmit(env, now);
  busy_->tail_probe_owed = true;
}

// ---- the tail probe ----

// New data if the peer's window takes it, whatever the congestion window says; else the last segment again.
bool Connection::poll_tail_probe(OutgoingFrame& out, Env& env, Instant now) {
  if (!busy_->tail_probe_owed) return false;
  busy_->tail_probe_owed = false;
  if (busy_->scoreboard.empty()) return false;
  UnsentRecord* const record = busy_->unsent.front(env.unsent);
  const SeqNum right_edge = snd_.una + snd_.wnd;
  bool sent = false;
  bool again = false;
  if (record != nullptr &&
      record->begin + std::min<std::uint32_t>(record->end - record->begin, mss_now_) <= right_edge) {
    const std::uint32_t in_flight = busy_->scoreboard.in_flight();
    const std::uint32_t quota =
        in_flight < window_.cwnd
            ? std::min(std::max<std::uint32_t>(window_.cwnd / 2, 1), window_.cwnd - in_flight)
            : 1;
    std::uint32_t length =
        std::min({record->end - record->begin, std::min(quota, max_segments_per_send(env)) * mss_now_,
                  right_edge - record->begin});
    if (length < record->end - record->begin && length > mss_now_) length = length / mss_now_ * mss_now_;
    sent = send_new(out, *record, length, env, now);
  } else if (record == nullptr && fin_due()) {
    sent = poll_fin(out, env, now);
  } else if (Transmission* const last = busy_->scoreboard.cut_last_segment(env.transmissions);
             last != nullptr && !last->sacked) {
    again = sent = resend_tail(out, *last, env, now);
  }
  if (sent) {
    busy_->recovery.on_tail_probe_sent(snd_.nxt, again);
    env.counters.add(Counter::kTcpExtTCPLossProbes);
    env.tracer.emit(now, Event::kTailProbe, subject_, snd_.nxt.value(), again ? 1 : 0);
    disarm(Timer::kReorder);
    disarm(Timer::kTailProbe);
  }
  rearm_retransmit(env, now);
  return sent;
}

bool Connection::resend_tail(OutgoingFrame& out, Transmission& last, Env& env, Instant now) {
  Transmission* const t =
      busy_->scoreboard.on_resent(last, last.range.end, last.mss, now, snd_.nxt, env.transmissions, true);
  if (t == nullptr) return false;
  std::uint16_t flags = kAck;
  if (t->fin) flags |= kFin;
  if (t->push) flags |= kPsh;
  const std::uint32_t payload = t->payload();
  note_transmission(*t, payload, false, env, now);
  const SeqNum begin = t->range.begin;
  emit(out, flags, begin, {begin, begin + payload}, env, now);
  note_resent(1, payload, env);
  env.tracer.emit(now, Event::kRetransmit, subject_, begin.value(), payload,
                  static_cast<std::uint64_t>(busy_->recovery.state()), 1);
  return true;
}

// ---- the path's MTU ----

// Consumes `length` bytes of what waits; they may have stood in several records.
void Connection::take_unsent(std::uint32_t length, Transmission& t, Env& env) {
  while (length != 0) {
    UnsentRecord& record = *busy_->unsent.front(env.unsent);
    const std::uint32_t left = record.end - record.begin;
    const std::uint32_t taken = std::min(left, length);
    length -= taken;
    if (taken < left) {
      record.begin = record.begin + taken;
      continue;
    }
    t.push = record.push;
    t.end_of_record = record.end_of_record;
    busy_->unsent.pop_front(env.unsent);
  }
}

// May the first `length` bytes that wait be one segment? None crosses an end of record.
bool Connection::may_join(std::uint32_t length, Env& env) const {
  for (const UnsentRecord* record = busy_->unsent.front(env.unsent); record != nullptr;
       record = record->next == 0 ? nullptr : env.unsent.at(record->next - 1)) {
    const std::uint32_t left = record->end - record->begin;
    if (left >= length) return true;
    if (record->end_of_record) return false;
    length -= left;
  }
  return false;
}

// RFC 4821 §7.3, Linux's tcp_mtu_probe: a segment larger than the others, if enough follows it to notice its
// loss by duplicate ACKs. `wait`: nothing else may leave until there is room for it.
bool Connection::poll_mtu_probe(OutgoingFrame& out, bool& wait, Env& env, Instant now) {
  if (!mtu_search_.enabled() || busy_->mtu_probe.out() || one_send_) return false;
  if (busy_->recovery.state() != CaState::kOpen || window_.cwnd < kMtuProbeCwndMin ||
      !busy_->reassembly.empty() || !busy_->dsack.empty())
    return false;
  const std::uint16_t size = mtu_search_.next_size(snd_.mss, snd_.peer_mss, header_bytes(), env.knobs, now);
  if (size == 0 || size <= header_bytes()) return false;
  const std::uint32_t length = size - header_bytes();
  const std::uint32_t needed = length + (std::uint32_t{loss_memory_.reordering} + 1) * snd_.mss;
  if (unsent_bytes() < needed || snd_.wnd < needed) return false;
  if (snd_.nxt + needed > snd_.una + snd_.wnd) {
    wait = true;
    return false;
  }
  const std::uint32_t in_flight = busy_->scoreboard.in_flight();
  if (in_flight + 2 > window_.cwnd) {
    wait = in_flight != 0;
    return false;
  }
  if (!may_join(length, env)) return false;
  const SeqNum begin = busy_->unsent.front(env.unsent)->begin;
  const SeqNum end = begin + length;
  const bool first = busy_->scoreboard.empty();
  Transmission* const sent =
      busy_->scoreboard.on_sent({begin, end}, static_cast<std::uint16_t>(length), now, env.transmissions);
  if (sent == nullptr) return false;
  take_unsent(length, *sent, env);
  note_transmission(*sent, length, first, env, now);
  snd_.nxt = end;
  const std::uint16_t mss = mss_now_;
  mss_now_ = static_cast<std::uint16_t>(length);
  emit(out, sent->push ? kAck | kPsh : kAck, begin, {begin, end}, env, now, true);
  mss_now_ = mss;
  --window_.cwnd;  // it stands for two
  ++data_segments_out_;
  bytes_sent_ += length;
  env.counters.add(Counter::kTcpExtTCPOrigDataSent);
  note_data_sent(end, false, first, env, now);
  busy_->mtu_probe = {begin, static_cast<std::uint16_t>(length), size};
  env.tracer.emit(now, Event::kMtuProbe, subject_, size, 0);
  return true;
}

// Segments grow, so that fewer make the same window.
void Connection::on_mtu_probe_answered(std::uint16_t size, Env& env) {
  mtu_search_.on_arrived(size);
  env.counters.add(Counter::kTcpExtTCPMTUPSuccess);
  const std::uint64_t bytes = std::uint64_t{window_.cwnd} * (snd_.mss + header_bytes());
  window_.cwnd = std::max<std::uint32_t>(static_cast<std::uint32_t>(bytes / size), 1);
  window_.cwnd_cnt = 0;
  window_.ssthresh = busy_->recovery.current_ssthresh(window_);
  refresh_mss(env);
}

}  // namespace tapir::tcp
