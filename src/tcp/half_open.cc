// SPDX-License-Identifier: Apache-2.0
#include "tcp/half_open.h"

#include <algorithm>

#include "tcp/paws.h"

namespace tapir::tcp {

using trace::Counter;
using trace::DropReason;

namespace {

constexpr Duration kInitialTimeout = 1s;    // RFC 6298 §2.1 (Linux: TCP_TIMEOUT_INIT)
constexpr std::uint16_t kDefaultMss = 536;  // RFC 9293 §3.7.1: of a SYN without the option

}  // namespace

bool answer_allowed(std::uint32_t& last_ms, const wire::TcpSegment& segment, Counter skipped,
                    const Knobs& knobs, trace::Counters& counters, Instant now) {
  if (segment.sequence_length() != 0 && !segment.has(wire::kSyn)) return true;
  const std::uint32_t now_ms = std::max<std::uint32_t>(timestamp_clock(now), 1);
  if (last_ms != 0) {
    const auto elapsed = static_cast<std::int32_t>(now_ms - last_ms);
    if (elapsed >= 0 && static_cast<std::uint64_t>(elapsed) < to_msec(knobs.tcp_invalid_ratelimit)) {
      counters.add(skipped);
      return false;
    }
  }
  last_ms = now_ms;
  return true;
}

HalfOpen HalfOpen::from_syn(const wire::TcpSegment& syn, const FourTuple& tuple, InterfaceId interface,
                            Ecn ecn, std::uint16_t user_mss, const Knobs& knobs) {
  HalfOpen request;
  request.tuple = tuple;
  request.interface = interface;
  request.irs = syn.seq;
  request.peer_mss = syn.options.mss.value_or(kDefaultMss);
  if (user_mss != 0) request.peer_mss = std::min(request.peer_mss, user_mss);
  if (syn.options.timestamps && knobs.tcp_timestamps != 0) {
    request.flags |= kTimestamps;
    if (knobs.tcp_timestamps == 1) request.flags |= kOffset;
    request.ts_recent = syn.options.timestamps->value;
  }
  if (syn.options.window_scale && knobs.tcp_window_scaling != 0) {
    request.flags |= kWindowScaling;
    request.snd_wscale = *syn.options.window_scale;
  }
  if (syn.options.sack_permitted && knobs.tcp_sack != 0) request.flags |= kSack;
  // RFC 3168 §6.1.1: a SYN that asks for ECN is not itself ECN-capable; one that is comes through a path that
  // plays with the bits, unless bits of the header that are yet to be defined say that it means something
  // else.
  const bool asks = syn.has(wire::kEce) && syn.has(wire::kCwr);
  if (asks && knobs.tcp_ecn != 0 && (ecn == Ecn::kNotEct || syn.reserved != 0 || syn.has(wire::kAe)))
    request.flags |= kEcn;
  return request;
}

HalfOpen::Verdict HalfOpen::on_segment(const wire::TcpSegment& segment, std::uint32_t ts_offset,
                                       std::uint8_t defer_accept, const Knobs& knobs,
                                       trace::Counters& counters, Instant now) {
  using Kind = Verdict::Kind;
  const SeqNum expected = rcv_nxt();
  const auto& stamps = segment.options.timestamps;
  bool old = false;
  bool echo_unknown = false;
  if (stamps) {
    // Linux does not keep when it was heard either: it takes the time since the last SYN-ACK.
    old = paws_reject(ts_recent, timeout(knobs), stamps->value, segment.has(wire::kRst));
    if (stamps->echo != 0 && has(kTimestamps) && !has(kFastOpen)) {
      const std::uint32_t last = timestamp_clock(syn_ack_sent_at) + ts_offset;
      echo_unknown = stamps->echo - first_ts_value > last - first_ts_value;
    }
  }

  // The same SYN again: our SYN-ACK was lost, or is on its way.
  const std::uint16_t control = segment.flags & (wire::kFin | wire::kSyn | wire::kRst | wire::kAck);
  if (segment.seq == irs && control == wire::kSyn && !old) {
    if (!answer_allowed(last_answer_ms, segment, Counter::kTcpExtTCPACKSkippedSynRecv, knobs, counters, now))
      return {Kind::kDrop, DropReason::kTcpInvalidSyn};
    return {Kind::kSynAck, DropReason::kNone};
  }

  // RFC 9293 §3.10.7.4 in SYN-RECEIVED: an ACK of anything but our SYN. Linux looks at it before the window.
  // With Fast Open the Connection itself looks at it: data of ours may be acknowledged already.
  if (!has(kFastOpen) && segment.has(wire::kAck) && segment.ack != iss + 1)
    return {Kind::kListener, DropReason::kTcpInvalidAckSequence};

  if (old || echo_unknown || !in_window({segment.seq, segment.end()}, expected, window())) {
    if (old)
      counters.add(Counter::kTcpExtPAWSEstab);
    else if (echo_unknown)
      counters.add(Counter::kTcpExtTSEcrRejected);
    const DropReason reason = old            ? DropReason::kTcpRfc7323Paws
                              : echo_unknown ? DropReason::kTcpRfc7323TsEcr
                                             : DropReason::kTcpInvalidSequence;
    if (segment.has(wire::kRst)) return {Kind::kDrop, reason};
    const bool answer =
        answer_allowed(last_answer_ms, segment, Counter::kTcpExtTCPACKSkippedSynRecv, knobs, counters, now);
    return {answer ? Kind::kAck : Kind::kDrop, reason};
  }
  if (stamps && segment.seq <= expected) ts_recent = stamps->value;

  if (segment.has(wire::kRst)) {
    // RFC 5961 §3.2: a RST that is not at the left edge may be a guess.
    if (segment.seq != expected) {
      const bool answer =
          answer_allowed(last_answer_ms, segment, Counter::kTcpExtTCPACKSkippedSynRecv, knobs, counters, now);
      if (answer) counters.add(Counter::kTcpExtTCPChallengeACK);
      return {answer ? Kind::kAck : Kind::kDrop, DropReason::kTcpResetChallenged};
    }
    counters.add(Counter::kTcpAttemptFails);
    counters.add(Counter::kTcpExtEmbryonicRsts);
    return {Kind::kEnd, DropReason::kTcpReset};
  }
  // A SYN at irs is cut off: the rest of it counts. Another one, in the window, ends it (RFC 9293: back to
  // LISTEN).
  if (segment.has(wire::kSyn) && segment.seq != irs) {
    counters.add(Counter::kTcpAttemptFails);
    counters.add(Counter::kTcpExtEmbryonicRsts);
    return {Kind::kResetAndEnd, DropReason::kTcpInvalidSyn};
  }
  if (!segment.has(wire::kAck)) return {Kind::kDrop, DropReason::kTcpFlags};
  if (has(kFastOpen)) return {Kind::kComplete, DropReason::kNone};

  // TCP_DEFER_ACCEPT: a bare ACK does not wake the program.
  if (timeouts < defer_accept && segment.end() == expected) {
    flags |= kAcked;
    counters.add(Counter::kTcpExtTCPDeferAcceptDrop);
    return {Kind::kDrop, DropReason::kTcpDeferAccept};
  }
  return {Kind::kComplete, DropReason::kNone};
}

HalfOpen::TimerVerdict HalfOpen::on_timer(int retries, std::uint8_t defer_accept) const {
  if (defer_accept == 0) return {.expire = timeouts >= retries, .resend = true};
  // While an ACK came and data is waited for, nothing is sent, until a last chance at the end.
  return {.expire = timeouts >= retries && (!has(kAcked) || timeouts >= defer_accept),
          .resend = !has(kAcked) || timeouts >= defer_accept - 1};
}

Duration HalfOpen::timeout(const Knobs& knobs) const {
  return std::min(kInitialTimeout * (std::int64_t{1} << std::min<unsigned>(timeouts, 20)), knobs.rto_max);
}

wire::TcpSegment HalfOpen::syn_ack(std::uint32_t ts_value) const {
  wire::TcpSegment segment;
  segment.src_port = tuple.local.port;
  segment.dst_port = tuple.remote.port;
  segment.seq = iss;
  segment.ack = rcv_nxt();
  segment.flags = wire::kSyn | wire::kAck;
  if (has(kEcn)) segment.flags |= wire::kEce;
  segment.window = static_cast<std::uint16_t>(window());
  segment.options.mss = announced_mss;
  if (has(kTimestamps)) segment.options.timestamps = {ts_value, ts_recent};
  if (has(kWindowScaling)) segment.options.window_scale = rcv_wscale;
  segment.options.sack_permitted = has(kSack);
  return segment;
}

wire::TcpSegment HalfOpen::ack(std::uint32_t ts_value) const {
  wire::TcpSegment segment;
  segment.src_port = tuple.local.port;
  segment.dst_port = tuple.remote.port;
  segment.seq = iss + 1;
  segment.ack = rcv_nxt();
  segment.flags = wire::kAck;
  segment.window = static_cast<std::uint16_t>(window() >> rcv_wscale);
  if (has(kTimestamps)) segment.options.timestamps = {ts_value, ts_recent};
  return segment;
}

Handshake HalfOpen::handshake(std::uint32_t ts_offset) const {
  Handshake done;
  done.tuple = tuple;
  done.iss = iss;
  done.irs = irs;
  done.snd_una = iss + 1;
  done.peer_mss = peer_mss;
  done.snd_wscale = snd_wscale;
  done.rcv_wscale = rcv_wscale;
  done.window_scaling = has(kWindowScaling);
  done.timestamps = has(kTimestamps);
  done.sack = has(kSack);
  done.ecn = has(kEcn);
  done.ts_recent = ts_recent;
  done.ts_offset = ts_offset;
  done.rcv_wnd = rcv_wnd;
  done.window_clamp = window_clamp;
  done.syn_ack_retransmits = retransmits;
  done.syn_ack_sent_at = syn_ack_sent_at;
  return done;
}

}  // namespace tapir::tcp
