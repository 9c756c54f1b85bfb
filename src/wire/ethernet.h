// SPDX-License-Identifier: Apache-2.0
// Ethernet II: addresses and the 14-byte header (IEEE 802.3 §3.2; the DIX type field).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace tapir::wire {

using MacAddress = std::array<std::uint8_t, 6>;

inline constexpr MacAddress kBroadcastMac = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

constexpr bool is_broadcast(const MacAddress& mac) { return mac == kBroadcastMac; }
// The group bit; true for the broadcast address too.
constexpr bool is_multicast(const MacAddress& mac) { return (mac[0] & 1) != 0; }
constexpr bool is_zero(const MacAddress& mac) { return mac == MacAddress{}; }
// "00:34:45:67:89:ab".
std::string to_string(const MacAddress& mac);
// Six groups of one or two hex digits parted by ':'; nothing when the text is something else.
std::optional<MacAddress> parse_mac(std::string_view text);

// The group address that carries an IPv4 multicast group (RFC 1112 §6.4), of the group's 32 bits in host
// order.
constexpr MacAddress multicast_mac_v4(std::uint32_t group) {
  return {0x01,
          0x00,
          0x5e,
          static_cast<std::uint8_t>(group >> 16 & 0x7f),
          static_cast<std::uint8_t>(group >> 8),
          static_cast<std::uint8_t>(group)};
}

inline constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr std::uint16_t kEtherTypeArp = 0x0806;
inline constexpr std::uint16_t kEtherTypeVlan = 0x8100;
inline constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;
// Below this the field is an 802.3 length, not a type.
inline constexpr std::uint16_t kEtherTypeMin = 0x0600;

inline constexpr std::size_t kEthernetHeaderLength = 14;

struct EthernetHeader {
  MacAddress dst{};
  MacAddress src{};
  std::uint16_t ethertype = 0;
  friend bool operator==(const EthernetHeader&, const EthernetHeader&) = default;
};

// The header at the front of `frame`; nothing when there are fewer than 14 bytes.
std::optional<EthernetHeader> parse_ethernet(Bytes frame);
// Writes 14 bytes and returns 14.
std::size_t emit_ethernet(const EthernetHeader& header, MutableBytes out);

}  // namespace tapir::wire
