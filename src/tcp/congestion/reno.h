// SPDX-License-Identifier: Apache-2.0
// Reno: RFC 5681's slow start, congestion avoidance and halving, as Linux's tcp_reno_* in
// net/ipv4/tcp_cong.c.
#pragma once

#include "tcp/congestion.h"

namespace tapir::tcp {

class Reno final : public CongestionControl {
 public:
  std::string_view name() const override { return "reno"; }
  // Grows only when the window was what held the sender back (RFC 7661's concern; Linux:
  // tcp_is_cwnd_limited).
  void on_ack(Window& window, const AckSample& sample) override;
  // Half the window, at least 2 segments (RFC 5681 §3.1 equation 4, with cwnd for FlightSize as Linux).
  std::uint32_t ssthresh_after_loss(const Window& window) override;
  std::uint32_t cwnd_after_undo(const Window& window) override;
  // Reno keeps no state of its own: the credits of congestion avoidance are all there is to forget.
  void on_timeout(Window& window, Instant now) override;
  // The window's decay after a pause is the same for every algorithm and made by the sender.
  void on_idle_restart(Window&, Instant) override {}
};

}  // namespace tapir::tcp
