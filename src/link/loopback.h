// SPDX-License-Identifier: Apache-2.0
// The device that a host sends to itself through: all of 127/8 and its own addresses.
#pragma once

#include <cstddef>
#include <cstdint>

#include "link/device.h"
#include "link/transit_queue.h"

namespace tapir::link {

// Linux's lo.
inline constexpr std::uint32_t kLoopbackMtu = 65536;
// Frames, and bytes of their buffers, between output and the stack's own input. Linux bounds the same queue
// by net.core.netdev_max_backlog, 1,000 packets; without a bound two chatty sockets of one program fill the
// memory.
inline constexpr std::size_t kLoopbackFramesMax = 1000;
inline constexpr std::size_t kLoopbackBytesMax = 8 << 20;

// What transmit() takes, receive() gives back, in order. Bare IP packets; checksums are left undone
// (kPartial) and super-segments whole, for nothing can damage them. Input is never re-entered: frames wait
// until the next receive(), and next_timeout() says since when.
class Loopback final : public Device {
 public:
  Loopback() : queue_(kLoopbackFramesMax, kLoopbackBytesMax, kLoopbackMtu) {}

  std::uint32_t mtu() const override { return kLoopbackMtu; }
  MacAddress mac() const override { return {}; }
  LinkType link_type() const override { return LinkType::kRawIp; }
  Offloads offloads() const override;
  std::size_t room() const override { return queue_.room(); }
  std::size_t transmit(std::span<const OutgoingFrame> batch, Instant now) override;
  std::size_t receive(std::span<Frame> batch, FramePool& pool, Instant now) override {
    return queue_.drain(batch, pool, now);
  }
  Instant next_timeout() const override { return queue_.due_since(); }

 private:
  TransitQueue queue_;
};

}  // namespace tapir::link
