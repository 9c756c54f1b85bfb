// SPDX-License-Identifier: Apache-2.0
// ARP for IPv4 over Ethernet (RFC 826).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "inet/ip_address.h"
#include "wire/ethernet.h"

namespace tapir::wire {

enum class ArpOperation : std::uint16_t { kRequest = 1, kReply = 2 };

inline constexpr std::size_t kArpLength = 28;

struct ArpPacket {
  ArpOperation operation = ArpOperation::kRequest;  // as received it may be any value
  MacAddress sender_mac{};
  IpAddress sender_ip;
  MacAddress target_mac{};  // all zero in a request
  IpAddress target_ip;
  friend bool operator==(const ArpPacket&, const ArpPacket&) = default;
};

// The packet at the front of `bytes` (what follows the Ethernet header; padding after it is ignored). Nothing
// when it is short, or is not about IPv4 (hardware type 1, protocol 0x0800, lengths 6 and 4).
std::optional<ArpPacket> parse_arp(Bytes bytes);
// Writes 28 bytes and returns 28; both addresses are IPv4.
std::size_t emit_arp(const ArpPacket& packet, MutableBytes out);

}  // namespace tapir::wire
