// SPDX-License-Identifier: Apache-2.0
// The congestion window's validity: what was not used for a while is not known to fit (RFC 7661's concern;
// RFC 5681 §4.1; Linux: tcp_cwnd_validate, tcp_cwnd_application_limited, tcp_cwnd_restart).
#include <algorithm>

#include "tcp/connection.h"

namespace tapir::tcp {

namespace {

// What is remembered of a window that was used: a half and a quarter of it, each rounded down (Linux:
// tcp_current_ssthresh).
std::uint32_t three_quarters(std::uint32_t cwnd) { return cwnd / 2 + cwnd / 4; }

}  // namespace

void Connection::validate_window(bool cwnd_limited, Env& env, Instant now) {
  const std::uint32_t out = busy_->scoreboard.packets_out();
  if (snd_.una >= cwnd_usage_seq_ || cwnd_limited || (!cwnd_limited_ && out > max_packets_out_)) {
    cwnd_limited_ = cwnd_limited;
    max_packets_out_ = out;
    cwnd_usage_seq_ = snd_.nxt;
  }
  const bool limited = cwnd_limited_ || (window_.in_slow_start() && window_.cwnd < 2 * max_packets_out_);
  if (limited) {
    window_.cwnd_used = 0;
    cwnd_stamp_ = StampMs(now);
    return;
  }
  window_.cwnd_used = std::max(window_.cwnd_used, out);
  // Not the network, not the peer: the program's own buffer is too small for the path.
  if (!has_unsent() && no_space_ && (state_ == State::kEstablished || state_ == State::kCloseWait))
    chronograph_.start(Chronograph::What::kSendBuffer, now);
  if (env.knobs.tcp_slow_start_after_idle == 0 || cwnd_stamp_.age(now) < rto_.value()) return;
  // A program that waits for room in the send buffer is limited by that, and not for want of data.
  if (busy_->recovery.state() == CaState::kOpen && !no_space_ && !orphan_) {
    const std::uint32_t used = std::max<std::uint32_t>(window_.cwnd_used, path_->initcwnd);
    if (used < window_.cwnd) {
      window_.ssthresh = std::max(window_.ssthresh, three_quarters(window_.cwnd));
      window_.cwnd = (window_.cwnd + used) / 2;
    }
    window_.cwnd_used = 0;
  }
  cwnd_stamp_ = StampMs(now);
}

// RFC 5681 §4.1: after a pause of more than an RTO the ACK clock is gone.
void Connection::restart_after_idle(Env& env, Instant now) {
  if (env.knobs.tcp_slow_start_after_idle == 0 || !busy_->scoreboard.empty() || !synchronised()) return;
  Duration idle = now - last_sent_at_;
  if (idle <= rto_.value()) return;
  const std::uint32_t restart = std::min<std::uint32_t>(path_->initcwnd, window_.cwnd);
  control_->on_idle_restart(window_, now);
  window_.ssthresh = std::max(window_.ssthresh, three_quarters(window_.cwnd));
  std::uint32_t cwnd = window_.cwnd;
  for (idle -= rto_.value(); idle > Duration::zero() && cwnd > restart; idle -= rto_.value()) cwnd /= 2;
  window_.cwnd = std::max(cwnd, restart);
  cwnd_stamp_ = StampMs(now);
  window_.cwnd_used = 0;
}

}  // namespace tapir::tcp
