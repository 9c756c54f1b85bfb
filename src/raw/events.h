// SPDX-License-Identifier: Apache-2.0
// What raw/ reports to a Probe.
#pragma once

#include <cstdint>

#include "trace/record.h"

namespace tapir::raw {

// The subject is the port's packed handle.
enum class Event : std::uint16_t {
  kDelivered = static_cast<std::uint16_t>(trace::EventBase::kRaw),  // words: bytes, queue length after
  kDropped,                                                         // words: DropReason, bytes
};

}  // namespace tapir::raw
