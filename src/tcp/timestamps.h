// SPDX-License-Identifier: Apache-2.0
// The timestamps of one connection (RFC 7323 §4).
#pragma once

#include <cstdint>

#include "base/seq_num.h"
#include "base/stamp.h"

namespace tapir::tcp {

// What timestamps take of each segment, with their padding (RFC 7323 appendix A).
inline constexpr std::uint16_t kTimestampBytes = 12;

struct Timestamps {
  std::uint32_t offset = 0;  // added to our millisecond clock on the wire
  std::uint32_t recent = 0;  // TS.Recent (RFC 7323 §4.3)
  StampS recent_at;
  SeqNum last_ack_sent;
};

}  // namespace tapir::tcp
