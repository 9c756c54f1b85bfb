// SPDX-License-Identifier: Apache-2.0
// A cable in memory: two devices, what one transmits the other receives.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "link/device.h"

namespace tapir::link {

// 1,000 is Linux's default txqueuelen. Full = the transmitter's room() is 0.
inline constexpr std::size_t kPipeFramesMax = 1000;
// Bytes of buffers in one direction. Room for 126 super-segments; a queue of 1,000 of them would hold 66 MB.
inline constexpr std::size_t kPipeBytesMax = 8 << 20;

struct PipeConfig {
  std::uint32_t mtu = 1500;  // bytes of IP packet
  LinkType link_type = LinkType::kEthernet;
  Offloads offloads{};  // of both ends; what is granted passes through undone (kPartial, gso)
  std::size_t frames_max = kPipeFramesMax;  // waiting in one direction
  std::size_t bytes_max = kPipeBytesMax;    // of buffers in one direction, size classes counted whole
  std::array<MacAddress, 2> macs = {{{0x02, 0, 0, 0, 0, 0x01}, {0x02, 0, 0, 0, 0, 0x02}}};
};

// Everything a pipe can take over: super-segments of 64 KB and checksums, as a TAP device with vnet_hdr.
Offloads all_offloads();

class PipeEnd : public Device {
 public:
  // Frames this end refused or lost: over the MTU, over what it was granted, or more than room().
  virtual std::uint64_t dropped() const = 0;
};

// Both ends of a new pipe. Each keeps what they share alive; frames to an end that is gone vanish.
// next_timeout() of an end is the moment the first waiting frame was sent.
std::pair<std::unique_ptr<PipeEnd>, std::unique_ptr<PipeEnd>> make_pipe(const PipeConfig& config = {});

}  // namespace tapir::link
