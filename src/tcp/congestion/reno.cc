// SPDX-License-Identifier: Apache-2.0
#include "tcp/congestion/reno.h"

#include <algorithm>

namespace tapir::tcp {

void Reno::on_ack(Window& window, const AckSample& sample) {
  if (!sample.cwnd_limited) return;
  std::uint32_t acked = sample.acked;
  if (window.in_slow_start()) {
    acked = slow_start(window, acked);
    if (acked == 0) return;
  }
  congestion_avoidance_ai(window, window.cwnd, acked);
}

std::uint32_t Reno::ssthresh_after_loss(const Window& window) {
  return std::max(window.cwnd / 2, std::uint32_t{2});
}

std::uint32_t Reno::cwnd_after_undo(const Window& window) { return std::max(window.cwnd, window.prior_cwnd); }

void Reno::on_timeout(Window& window, Instant) { window.cwnd_cnt = 0; }

}  // namespace tapir::tcp
