// SPDX-License-Identifier: Apache-2.0
#include "wire/arp.h"

#include <algorithm>

namespace tapir::wire {

namespace {

constexpr std::uint16_t kHardwareEthernet = 1;

// RFC 826's packet format with hardware length 6 and protocol length 4.
constexpr std::ptrdiff_t kSenderMac = 8;
constexpr std::size_t kSenderIp = 14;
constexpr std::ptrdiff_t kTargetMac = 18;
constexpr std::size_t kTargetIp = 24;

}  // namespace

std::optional<ArpPacket> parse_arp(Bytes bytes) {
  if (bytes.size() < kArpLength) return std::nullopt;
  if (load_be<std::uint16_t>(bytes, 0) != kHardwareEthernet ||
      load_be<std::uint16_t>(bytes, 2) != kEtherTypeIpv4)
    return std::nullopt;
  if (bytes[4] != 6 || bytes[5] != 4) return std::nullopt;
  ArpPacket packet;
  packet.operation = static_cast<ArpOperation>(load_be<std::uint16_t>(bytes, 6));
  std::copy_n(bytes.begin() + kSenderMac, 6, packet.sender_mac.begin());
  packet.sender_ip = IpAddress::v4(load_be<std::uint32_t>(bytes, kSenderIp));
  std::copy_n(bytes.begin() + kTargetMac, 6, packet.target_mac.begin());
  packet.target_ip = IpAddress::v4(load_be<std::uint32_t>(bytes, kTargetIp));
  return packet;
}

std::size_t emit_arp(const ArpPacket& packet, MutableBytes out) {
  TAPIR_INVARIANT(out.size() >= kArpLength, "an ARP packet fits");
  store_be<std::uint16_t>(out, 0, kHardwareEthernet);
  store_be<std::uint16_t>(out, 2, kEtherTypeIpv4);
  out[4] = 6;
  out[5] = 4;
  store_be<std::uint16_t>(out, 6, static_cast<std::uint16_t>(packet.operation));
  std::copy_n(packet.sender_mac.begin(), 6, out.begin() + kSenderMac);
  store_be<std::uint32_t>(out, kSenderIp, packet.sender_ip.v4_bits());
  std::copy_n(packet.target_mac.begin(), 6, out.begin() + kTargetMac);
  store_be<std::uint32_t>(out, kTargetIp, packet.target_ip.v4_bits());
  return kArpLength;
}

}  // namespace tapir::wire
