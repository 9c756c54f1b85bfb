// SPDX-License-Identifier: Apache-2.0
// The seam between the stack and whatever moves frames: a TAP device, a packet socket, a pipe in memory, a
// wrapper.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/time.h"
#include "frame/frame_pool.h"
#include "frame/outgoing_frame.h"

namespace tapir::link {

using MacAddress = std::array<std::uint8_t, 6>;

// What a frame begins with.
enum class LinkType : std::uint8_t { kEthernet, kRawIp };

// What a device does itself. Frames sent to it may use only these; link/offload supplies the rest in
// software.
struct Offloads {
  bool tx_checksum = false;        // completes a ChecksumRequest
  bool rx_checksum = false;        // says what it knows of received checksums
  bool tso = false;                // splits TCP super-segments (IPv4 and IPv6)
  bool uso = false;                // splits UDP super-datagrams
  std::uint32_t gso_max_size = 0;  // bytes of IP packet of the largest super-segment it takes
  std::uint16_t gso_max_segs = 0;
};

// Frames that one turn takes at most, and their bytes: then the clock is read again, and a program that waits
// is answered. A server that reads all requests before it answers the first (redis) makes its clients wait
// for the whole batch, and who misses it for two.
inline constexpr std::size_t kTurnFramesMax = 16;
inline constexpr std::size_t kTurnBytesMax = 256 * 1024;

// Single-threaded: all calls from whoever drives the stack.
class Device {
 public:
  virtual ~Device() = default;

  virtual std::uint32_t mtu() const = 0;  // bytes of IP packet
  virtual MacAddress mac() const = 0;     // all zero for kRawIp
  virtual LinkType link_type() const { return LinkType::kEthernet; }
  virtual Offloads offloads() const { return {}; }

  // How many frames transmit() will take now. The hub asks before it asks anyone for a segment.
  virtual std::size_t room() const = 0;
  // Sends frames in order; returns how many were accepted. What was refused after room() promised it is a
  // counted loss.
  virtual std::size_t transmit(std::span<const OutgoingFrame> batch, Instant now) = 0;
  // Fills `batch` from its front with what waits, at most kTurnBytesMax; returns how many. received_at = now.
  // Stops early, losing nothing, when the pool answers none.
  virtual std::size_t receive(std::span<Frame> batch, FramePool& pool, Instant now) = 0;
  // When receive() will have something without the outside world's doing (delays); kNever for most.
  virtual Instant next_timeout() const { return kNever; }
  // What the runtime may wait on for receive() to have something: a kernel descriptor, or -1.
  virtual int wait_descriptor() const { return -1; }
};

}  // namespace tapir::link
