// SPDX-License-Identifier: Apache-2.0
// An IP address of either version in one type: 16 bytes, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2).
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace tapir::inline inet {

class IpAddress {
 public:
  // The unspecified address of no version, `::`.
  constexpr IpAddress() = default;
  // From the 32 bits of an IPv4 address in host order (0x0a000001 is 10.0.0.1).
  static constexpr IpAddress v4(std::uint32_t host_order) {
    IpAddress a;
    a.bytes_[10] = a.bytes_[11] = 0xff;
    for (int i = 0; i < 4; ++i)
      a.bytes_[static_cast<std::size_t>(12 + i)] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
    return a;
  }
  static constexpr IpAddress v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
    return v4(static_cast<std::uint32_t>(a) << 24 | static_cast<std::uint32_t>(b) << 16 |
              static_cast<std::uint32_t>(c) << 8 | d);
  }
  static constexpr IpAddress v6(const std::array<std::uint8_t, 16>& bytes) {
    IpAddress a;
    a.bytes_ = bytes;
    return a;
  }
  static constexpr IpAddress any_v4() { return v4(0); }
  static constexpr IpAddress broadcast_v4() { return v4(0xffffffff); }

  // "10.0.0.1" or RFC 4291 text; nothing when it is no address.
  static std::optional<IpAddress> parse(std::string_view text);
  std::string to_string() const;

  constexpr bool is_v4() const {
    const auto [high, low] = words();
    return high == 0 && (low & kV4Mask) == kV4Mark;
  }
  // The 32 bits in host order; the address must be IPv4.
  constexpr std::uint32_t v4_bits() const {
    return static_cast<std::uint32_t>(bytes_[12]) << 24 | static_cast<std::uint32_t>(bytes_[13]) << 16 |
           static_cast<std::uint32_t>(bytes_[14]) << 8 | bytes_[15];
  }
  constexpr const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }

  bool is_unspecified() const;  // 0.0.0.0 or ::
  bool is_loopback() const;     // 127.0.0.0/8 or ::1
  bool is_multicast() const;    // 224.0.0.0/4 or ff00::/8
  bool is_broadcast() const;    // 255.255.255.255

  // Addresses are compared for every packet: two words, where the arrays' own comparison calls memcmp.
  friend constexpr bool operator==(const IpAddress& a, const IpAddress& b) { return a.words() == b.words(); }
  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  // The bytes as they lie in memory.
  struct Words {
    std::uint64_t high, low;
    friend constexpr bool operator==(const Words& a, const Words& b) {
      return ((a.high ^ b.high) | (a.low ^ b.low)) == 0;
    }
  };
  constexpr Words words() const { return std::bit_cast<Words>(bytes_); }
  // ::ffff:0:0/96 in `low`.
  static constexpr std::uint64_t kV4Mask =
      std::bit_cast<std::uint64_t>(std::array<std::uint8_t, 8>{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0});
  static constexpr std::uint64_t kV4Mark =
      std::bit_cast<std::uint64_t>(std::array<std::uint8_t, 8>{0, 0, 0xff, 0xff, 0, 0, 0, 0});

  std::array<std::uint8_t, 16> bytes_{};
};

// An address with a prefix length, as in a route or on an interface. Lengths count bits of the address's own
// version (0–32 for IPv4, 0–128 for IPv6).
struct IpPrefix {
  IpAddress address;
  std::uint8_t length = 0;

  bool contains(const IpAddress& a) const;
  // The prefix with the host bits cleared.
  IpPrefix network() const;
  // The directed broadcast address of an IPv4 prefix of length <= 30; nothing for others.
  std::optional<IpAddress> broadcast() const;
  // "10.0.0.1/24"; the length defaults to the full one when absent.
  static std::optional<IpPrefix> parse(std::string_view text);
  std::string to_string() const;
  friend constexpr bool operator==(const IpPrefix&, const IpPrefix&) = default;
};

}  // namespace tapir::inline inet
