// SPDX-License-Identifier: Apache-2.0
// The options of the IPv4 headers that a socket sends, as its program set them (IP_OPTIONS).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace tapir::inline inet {

// What a header has room for (RFC 791 §3.1).
inline constexpr std::size_t kIpOptionsMax = 40;

struct IpOptions {
  std::array<std::uint8_t, kIpOptionsMax> bytes{};  // zero from `size` on
  std::uint8_t size = 0;                            // a multiple of 4; 0: none

  Bytes view() const { return Bytes(bytes).first(size); }
  friend constexpr bool operator==(const IpOptions&, const IpOptions&) = default;
};

}  // namespace tapir::inline inet
