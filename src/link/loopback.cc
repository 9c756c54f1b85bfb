// SPDX-License-Identifier: Apache-2.0
#include "link/loopback.h"

#include "link/pipe.h"

namespace tapir::link {

Offloads Loopback::offloads() const { return all_offloads(); }

std::size_t Loopback::transmit(std::span<const OutgoingFrame> batch, Instant now) {
  std::size_t accepted = 0;
  while (accepted < batch.size() && queue_.push(batch[accepted], now)) ++accepted;
  return accepted;
}

}  // namespace tapir::link
