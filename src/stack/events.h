// SPDX-License-Identifier: Apache-2.0
// What the hub reports to a Probe.
#pragma once

#include <cstdint>

#include "trace/record.h"

namespace tapir::stack {

// The subject is the interface.
enum class Event : std::uint16_t {
  kFrameReceived =
      static_cast<std::uint16_t>(trace::EventBase::kFrame),  // words: bytes, EtherType (0 for bare IP)
  kFrameSent,                                                // words: bytes, gso size
  kFrameRefused,                                             // words: frames that the device did not take
  kDropped = static_cast<std::uint16_t>(trace::EventBase::kStack),  // words: DropReason, bytes
  kReplyQueued,                                                     // words: replies that wait
  kPortBound,                                                       // words: protocol, port
  kAddressClaimed,  // words: address, 1 = nobody has it and it is ours, 0 = somebody has it
};

}  // namespace tapir::stack
