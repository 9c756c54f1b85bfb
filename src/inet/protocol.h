// SPDX-License-Identifier: Apache-2.0
// Numbers that every protocol above IP shares.
#pragma once

#include <cstdint>

namespace tapir::inline inet {

// IANA's protocol numbers, as in the IPv4 header's protocol field.
enum class IpProtocol : std::uint8_t {
  kIcmp = 1,
  kIgmp = 2,
  kIpip = 4,
  kTcp = 6,
  kUdp = 17,
  kIpv6 = 41,
  kGre = 47,
  kIcmpv6 = 58,
  kRaw = 255
};

// The two ECN bits of the IP header (RFC 3168 §5).
enum class Ecn : std::uint8_t { kNotEct = 0, kEct1 = 1, kEct0 = 2, kCe = 3 };

// An interface of one stack: 1, 2, … as `ip link` numbers them; 0 is none.
using InterfaceId = std::uint16_t;
inline constexpr InterfaceId kNoInterface = 0;

}  // namespace tapir::inline inet
