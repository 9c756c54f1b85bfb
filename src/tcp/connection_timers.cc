// SPDX-License-Identifier: Apache-2.0
// What the timers of a connection do. One table of deadlines, one switch.
#include <algorithm>
#include <bit>

#include "tcp/connection.h"
#include "tcp/events.h"
#include "tcp/fastopen.h"
#include "wire/icmp.h"

namespace tapir::tcp {

using trace::Counter;

namespace {

// Back-off never goes below this (Linux: TCP_RTO_MIN), also for a closed window's probes.
constexpr Duration kProbeMin = 200ms;
// Time-outs that a thin stream does not back off (Linux: TCP_THIN_LINEAR_RETRIES), and below how many
// segments it is thin.
constexpr unsigned kThinLinearRetries = 6;
constexpr std::uint32_t kThinSegments = 4;
// Tries of an orphan that still hears from its peer, when tcp_orphan_retries is 0 (Linux:
// tcp_orphan_retries).
constexpr int kOrphanRetries = 8;
// When what the device did not take is tried again (Linux: TCP_RESOURCE_PROBE_INTERVAL).
constexpr Duration kResourceRetry = 500ms;
// When a keepalive that found no memory is tried again.
constexpr Duration kMemoryRetry = 1s;

}  // namespace

Instant Connection::next_deadline() const {
  if (!busy_) return keepalive_at_;
  Instant earliest = keepalive_at_;
  for (const Instant each : busy_->deadlines) earliest = std::min(earliest, each);
  return earliest;
}

void Connection::arm(Timer timer, Instant when, Env& env, Instant now) {
  set_deadline(timer, when);
  env.tracer.emit(now, Event::kTimerArmed, subject_, static_cast<std::uint64_t>(timer), to_nsec(when));
}

void Connection::on_timeout(Env& env, Instant now) {
  if (!wake(env)) {
    set_deadline(Timer::kKeepalive, later(now, kMemoryRetry));
    return;
  }
  for (std::size_t i = 0; i < kTimerCount && state_ != State::kClosed; ++i) {
    const auto timer = static_cast<Timer>(i);
    if (deadline(timer) > now) continue;
    disarm(timer);
    env.tracer.emit(now, Event::kTimerFired, subject_, i);
    switch (timer) {
      case Timer::kRetransmit:
        on_retransmit_timeout(env, now);
        break;
      case Timer::kProbe:
        on_probe_timeout(env, now);
        break;
      case Timer::kDelayedAck:
        on_delayed_ack_timeout(env);
        break;
      case Timer::kKeepalive:
        on_keepalive_timeout(env, now);
        break;
      case Timer::kReorder:
        on_reorder_timeout(env, now);
        break;
      case Timer::kTailProbe:
        on_tail_probe_timeout(env, now);
        break;
      case Timer::kPace:
        busy_->recovery.resume(busy_->scoreboard);
        break;
      case Timer::kCompressedAck:
        ack_now_ = true;
        break;
    }
  }
}

// ---- retransmission ----

// Would `boundary` back-offs of `base` have passed since the first retransmission? By time, so that a change
// of the RTO does not change how long a connection lives (Linux: retransmits_timed_out).
bool Connection::retransmits_exhausted(int boundary, Duration user_timeout, Duration base, const Env& env,
                                       Instant now) const {
  if (retransmits_ == 0 || busy_->retransmits_began == Instant{}) return false;
  Duration limit = user_timeout;
  if (limit == Duration::zero()) {
    const auto ratio = static_cast<std::uint64_t>(env.knobs.rto_max / base);
    const int doublings = ratio == 0 ? 0 : static_cast<int>(std::bit_width(ratio)) - 1;
    if (boundary <= doublings)
      limit = ((std::int64_t{2} << boundary) - 1) * base;
    else
      limit = ((std::int64_t{2} << doublings) - 1) * base + (boundary - doublings) * env.knobs.rto_max;
  }
  return now - busy_->retransmits_began >= limit;
}

int Connection::orphan_retries(bool alive, const Env& env) const {
  int retries = env.knobs.tcp_orphan_retries;
  if (soft_cause_ != CloseCause::kNone && !alive) retries = 0;
  if (retries == 0 && alive) retries = kOrphanRetries;
  return retries;
}

// Linux: tcp_write_timeout. True: the connection is over.
bool Connection::give_up(Env& env, Instant now) {
  bool expired = false;
  if (state_ == State::kSynSent || state_ == State::kSynReceived) {
    int tries = options_->syn_count != 0 ? options_->syn_count : env.knobs.tcp_syn_retries;
    if (state_ == State::kSynSent) tries += env.knobs.tcp_syn_linear_timeouts;
    expired = retransmits_ >= tries;
    if (!expired && options_->user_timeout != Duration::zero())
      expired = retransmits_exhausted(0, options_->user_timeout, 1s, env, now);
  } else {
    // So many in a row may be a path that swallows large packets (RFC 4821 §7.7; Linux: tcp_mtu_probing).
    if (retransmits_exhausted(env.knobs.tcp_retries1, Duration::zero(), env.knobs.rto_min, env, now)) {
      mtu_search_.on_black_hole(header_bytes(), env.knobs, now);
      refresh_mss(env);
    }
    int tries = env.knobs.tcp_retries2;
    if (orphan_) {
      const bool alive = rto_.value() < env.knobs.rto_max;
      tries = orphan_retries(alive, env);
    }
    expired = retransmits_exhausted(tries, options_->user_timeout, env.knobs.rto_min, env, now);
  }
  watch_fast_open_timeout(expired, env, now);
  if (!expired) return false;
  env.counters.add(Counter::kTcpExtTCPAbortOnTimeout);
  const CloseCause cause = soft_cause_ != CloseCause::kNone ? soft_cause_ : CloseCause::kTimedOut;
  finish(cause, env, now);
  return true;
}

void Connection::on_retransmit_timeout(Env& env, Instant now) {
  if (fast_open_pending()) return on_syn_ack_timeout(env, now);
  if (busy_->scoreboard.empty()) {
    // A SYN that found no memory.
    if (state_ == State::kSynSent) syn_owed_ = true;
    return;
  }
  const bool handshake = state_ == State::kSynSent || state_ == State::kSynReceived;
  if (snd_.wnd == 0 && !orphan_ && !handshake) {
    // The receiver took back its window. It lives while it answers (RFC 9293 §3.8.6.1).
    const Duration silent = last_received_at_.age(now);
    const bool over = silent > env.knobs.rto_max ||
                      (options_->user_timeout != Duration::zero() && silent > options_->user_timeout);
    if (over && retransmits_ > 0) {
      env.counters.add(Counter::kTcpExtTCPAbortOnTimeout);
      return finish(CloseCause::kTimedOut, env, now);
    }
  } else if (give_up(env, now)) {
    return;
  }
  env.counters.add(Counter::kTcpExtTCPTimeouts);
  note_timeout();
  if (handshake) {
    syn_owed_ = true;
  } else {
    const CaState state = busy_->recovery.state();
    if (retransmits_ == 0) {
      if (state == CaState::kRecovery)
        env.counters.add(sack_ ? Counter::kTcpExtTCPSackRecoveryFail : Counter::kTcpExtTCPRenoRecoveryFail);
      else if (state == CaState::kLoss)
        env.counters.add(Counter::kTcpExtTCPLossFailures);
      else if (state == CaState::kDisorder || busy_->scoreboard.sacked_out() != 0)
        env.counters.add(sack_ ? Counter::kTcpExtTCPSackFailures : Counter::kTcpExtTCPRenoFailures);
    }
    busy_->recovery.on_rto(sender(env, now), retransmits_, busy_->mtu_probe.out());
    cwnd_stamp_ = StampMs(now);
    rto_resend_ = true;
  }
  if (retransmits_ < 255) ++retransmits_;
  // The first SYNs are sent a second apart (tcp_syn_linear_timeouts); all else backs off (RFC 6298 §5.5).
  const bool linear = state_ == State::kSynSent &&
                      total_rto_ <= static_cast<std::uint32_t>(env.knobs.tcp_syn_linear_timeouts);
  if (thin_stream(env)) {
    // RFC 8985 and SACK need ACKs that a thin stream does not make: it tries again as soon
    // (tcp_thin_linear_timeouts).
    backoff_ = 0;
    rto_.set(rtt_.base_rto(env.knobs), env.knobs);
  } else if (!linear) {
    if (backoff_ < 255) ++backoff_;
    rto_.back_off(env.knobs);
  }
  Duration wait = rto_.value();
  if (options_->user_timeout != Duration::zero()) {
    const Duration left = busy_->retransmits_began == Instant{}
                              ? options_->user_timeout
                              : options_->user_timeout - (now - busy_->retransmits_began);
    wait = std::min(wait, std::max<Duration>(left, 1ms));
  }
  arm_loss(Timer::kRetransmit, later(now, wait), env, now);
}

void Connection::on_reorder_timeout(Env& env, Instant now) {
  busy_->recovery.on_reorder_timeout(sender(env, now));
  rearm_retransmit(env, now, true);
}

// Few segments in flight, past slow start's first round: a retransmission is all that finds its losses.
bool Connection::thin_stream(const Env& env) const {
  return state_ == State::kEstablished &&
         (options_->thin_linear_timeouts || env.knobs.tcp_thin_linear_timeouts != 0) &&
         busy_->scoreboard.packets_out() < kThinSegments && window_.ssthresh < 0x7fffffff &&
         retransmits_ <= kThinLinearRetries;
}

// ---- the closed window ----

Duration Connection::probe_delay(const Env& env, Instant now) const {
  Duration delay = std::max(rto_.value(), kProbeMin);
  for (int i = 0; i < backoff_ && delay < env.knobs.rto_max; ++i) delay *= 2;
  return within_user_timeout(std::min(delay, env.knobs.rto_max), now);
}

// Linux: tcp_clamp_probe0_to_user_timeout.
Duration Connection::within_user_timeout(Duration delay, Instant now) const {
  if (options_->user_timeout == Duration::zero() || busy_->probes_began == Instant{}) return delay;
  return std::min(delay, std::max<Duration>(options_->user_timeout - (now - busy_->probes_began), 2ms));
}

// The time-out of this round trip, doubled as often as it was.
Duration Connection::backed_off_rto(const Env& env) const {
  Duration rto = rtt_.has_sample() ? rtt_.base_rto(env.knobs) : Duration(1s);
  for (int i = 0; i < backoff_; ++i) rto = std::min(rto * 2, env.knobs.rto_max);
  return rto;
}

// Data waits, nothing is in flight: no ACK will come by itself. Also what Nagle or TCP_CORK holds is let go
// by this timer.
void Connection::arm_probe_if_stuck(Env& env, Instant now) {
  if (!has_unsent() || !busy_->scoreboard.empty() || armed(Timer::kProbe) || !synchronised()) return;
  arm(Timer::kProbe, now + probe_delay(env, now), env, now);
}

void Connection::on_probe_timeout(Env& env, Instant now) {
  if (!busy_->scoreboard.empty() || !has_unsent()) {
    probes_out_ = 0;
    busy_->probes_began = {};
    return;
  }
  if (busy_->probes_began == Instant{})
    busy_->probes_began = now;
  else if (options_->user_timeout != Duration::zero() &&
           now - busy_->probes_began >= options_->user_timeout) {
    env.counters.add(Counter::kTcpExtTCPAbortOnTimeout);
    return finish(soft_cause_ != CloseCause::kNone ? soft_cause_ : CloseCause::kTimedOut, env, now);
  }
  int tries = env.knobs.tcp_retries2;
  if (orphan_) tries = orphan_retries(rto_.value() < env.knobs.rto_max, env);
  if (probes_out_ >= tries) {
    env.counters.add(Counter::kTcpExtTCPAbortOnTimeout);
    return finish(soft_cause_ != CloseCause::kNone ? soft_cause_ : CloseCause::kTimedOut, env, now);
  }
  env.counters.add(Counter::kTcpExtTCPWinProbe);
  probe_owed_ = true;
  probe_data_ = true;
  ++probes_out_;
  if (backoff_ < env.knobs.tcp_retries2) ++backoff_;
  arm(Timer::kProbe, later(now, probe_delay(env, now)), env, now);
}

// ---- a device that takes nothing ----

void Connection::on_no_room(Env& env, Instant now) {
  if (!busy_ || state_ == State::kClosed) return;
  if (rto_resend_ && armed(Timer::kRetransmit)) {
    rto_resend_ = false;
    if (backoff_ > 0) --backoff_;
    rto_.set(backed_off_rto(env), env.knobs);
    arm_loss(Timer::kRetransmit, now + kResourceRetry, env, now);
  } else if (probe_owed_ && probe_data_) {
    probe_owed_ = false;
    if (backoff_ > 0) --backoff_;
    arm(Timer::kProbe, now + within_user_timeout(kResourceRetry, now), env, now);
  } else {
    arm_probe_if_stuck(env, now);
  }
}

// ---- acknowledging late ----

void Connection::on_delayed_ack_timeout(Env& env) {
  if (!ack_policy_.ack_owed()) return;
  env.counters.add(Counter::kTcpExtDelayedACKs);
  ack_policy_.on_timeout(env.knobs);
  ack_now_ = true;
}

// ---- keepalive (RFC 9293 §3.8.4) ----

void Connection::arm_keepalive(Env& env, Instant now) {
  if (orphan_ && state_ == State::kFinWait2) return;  // the timer ends FIN-WAIT-2 then
  if (!options_->keepalive || state_ == State::kClosed || state_ == State::kSynSent ||
      state_ == State::kTimeWait) {
    disarm(Timer::kKeepalive);
    return;
  }
  const int idle = options_->keepalive_idle != 0 ? options_->keepalive_idle : env.knobs.tcp_keepalive_time;
  arm(Timer::kKeepalive,
      std::max(now,
               std::max(last_received_at_.at(now), ack_policy_.last_data_at()) + std::chrono::seconds(idle)),
      env, now);
}

void Connection::on_keepalive_timeout(Env& env, Instant now) {
  if (orphan_ && state_ == State::kFinWait2) {
    // The long part of FIN-WAIT-2 is over; the rest, if there is one, is the small record's.
    if (options_->linger2 >= 0 && fin_timeout(env) > 60s)
      time_wait_owed_ = true;
    else
      abort(CloseCause::kAborted, env, now);
    return;
  }
  if (!options_->keepalive || state_ == State::kSynSent) return;
  const Duration idle = std::chrono::seconds(options_->keepalive_idle != 0 ? options_->keepalive_idle
                                                                           : env.knobs.tcp_keepalive_time);
  const Duration interval = std::chrono::seconds(
      options_->keepalive_interval != 0 ? options_->keepalive_interval : env.knobs.tcp_keepalive_intvl);
  const int tries =
      options_->keepalive_probes != 0 ? options_->keepalive_probes : env.knobs.tcp_keepalive_probes;
  if (!busy_->scoreboard.empty() || has_unsent()) return arm(Timer::kKeepalive, now + idle, env, now);
  const Duration silent = now - std::max(last_received_at_.at(now), ack_policy_.last_data_at());
  if (silent < idle) return arm(Timer::kKeepalive, now + (idle - silent), env, now);
  const bool user_timeout = options_->user_timeout != Duration::zero();
  const bool over = user_timeout ? silent >= options_->user_timeout && probes_out_ > 0 : probes_out_ >= tries;
  if (over) {
    env.counters.add(Counter::kTcpExtTCPAbortOnTimeout);
    return abort(soft_cause_ != CloseCause::kNone ? soft_cause_ : CloseCause::kTimedOut, env, now);
  }
  env.counters.add(Counter::kTcpExtTCPKeepAlive);
  probe_owed_ = true;
  probe_data_ = false;
  ++probes_out_;
  arm(Timer::kKeepalive, now + interval, env, now);
}

// ---- what ICMP says (RFC 5927: believed only of what is in flight; RFC 1122 §4.2.3.9: soft once
// established) ----

void Connection::on_delivery_error(const DeliveryError& error, Env& env, Instant now) {
  if (state_ == State::kClosed || !wake(env)) return;
  const bool fast_open = fast_open_pending();
  if (error.quoted_seq &&
      (*error.quoted_seq < (fast_open ? snd_.iss : snd_.una) || *error.quoted_seq > snd_.nxt)) {
    env.counters.add(Counter::kTcpExtOutOfWindowIcmps);
    return;
  }
  CloseCause cause = CloseCause::kHostUnreachable;
  switch (error.kind) {
    case DeliveryErrorKind::kFragmentationNeeded:
      return;  // the path changes: on_path()
    case DeliveryErrorKind::kNetUnreachable:
      cause = CloseCause::kNetUnreachable;
      break;
    case DeliveryErrorKind::kProtocolUnreachable:
      cause = CloseCause::kProtocolUnreachable;
      break;
    case DeliveryErrorKind::kPortUnreachable:
      cause = CloseCause::kPortUnreachable;
      break;
    case DeliveryErrorKind::kSourceRouteFailed:
      cause = CloseCause::kSourceRouteFailed;
      break;
    case DeliveryErrorKind::kHostUnreachable:
      if (error.from_icmp && error.icmp_code == wire::kUnreachableHostUnknown)
        cause = CloseCause::kHostUnknown;
      if (error.from_icmp && error.icmp_code == wire::kUnreachableHostIsolated)
        cause = CloseCause::kHostIsolated;
      break;
    case DeliveryErrorKind::kAdminProhibited:
      if (error.icmp_code == wire::kUnreachableNetProhibited) cause = CloseCause::kNetUnreachable;
      break;
    case DeliveryErrorKind::kTimeExceeded:
      break;
    case DeliveryErrorKind::kParameterProblem:
      cause = CloseCause::kParameterProblem;
      break;
  }
  // A Fast Open connection that the program has counts as one that is open.
  const bool opening = state_ == State::kSynSent || state_ == State::kSynReceived;
  if (opening && !(fast_open && fast_open_request(env).accepted)) return finish(cause, env, now);
  if (options_->receive_errors) {
    pending_cause_ = cause;
    touch(kTouchedError);
  } else {
    soft_cause_ = cause;
  }
  // RFC 6069: the path was broken, not congested: take back one doubling, and try as soon as that says.
  const bool unreachable =
      error.kind == DeliveryErrorKind::kNetUnreachable || error.kind == DeliveryErrorKind::kHostUnreachable;
  if (fast_open || !unreachable || !error.from_icmp || backoff_ == 0 || retransmits_ == 0 ||
      busy_->scoreboard.empty())
    return;
  if (!error.quoted_seq || *error.quoted_seq != snd_.una) return;
  --backoff_;
  const Duration rto = backed_off_rto(env);
  rto_.set(rto, env.knobs);
  arm_loss(Timer::kRetransmit, std::max(now, busy_->scoreboard.first()->sent_at + rto), env, now);
}

}  // namespace tapir::tcp
