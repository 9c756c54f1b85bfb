// SPDX-License-Identifier: Apache-2.0
// What udp/ reports to a Probe.
#pragma once

#include <cstdint>

#include "trace/record.h"

namespace tapir::udp {

// The subject is the port's packed handle, 0 where there is none.
enum class Event : std::uint16_t {
  kDelivered = static_cast<std::uint16_t>(
      trace::EventBase::kUdp),  // words: payload bytes, remote port, local port, queue length after
  kDropped,                     // words: DropReason
  kError,                       // words: DeliveryErrorKind, ICMP type, ICMP code
};

}  // namespace tapir::udp
