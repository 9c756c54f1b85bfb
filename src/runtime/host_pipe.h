// SPDX-License-Identifier: Apache-2.0
// A cable in memory between two stacks that run in different threads (link/pipe is for stacks of one thread).
#pragma once

#include <memory>
#include <utility>

#include "link/device.h"

namespace tapir::runtime {

struct HostPipeConfig {
  std::uint32_t mtu = 1500;  // bytes of IP packet
  bool super_segments =
      true;  // checksums are left out and TCP super-segments of 64 KB pass whole, as over a TAP
};

// Frames that wait in one direction at most (Linux's txqueuelen), and their bytes; full = the transmitter's
// room() is 0.
inline constexpr std::size_t kHostPipeFramesMax = 1000;
inline constexpr std::size_t kHostPipeBytesMax = 8 << 20;

// Both ends. Each keeps what they share alive; frames to an end that is gone vanish. Each end's
// wait_descriptor() is an eventfd, readable while frames wait. The ends have the MACs 02:00:00:00:00:01 and
// …:02.
std::pair<std::unique_ptr<link::Device>, std::unique_ptr<link::Device>> make_host_pipe(
    const HostPipeConfig& config = {});

}  // namespace tapir::runtime
