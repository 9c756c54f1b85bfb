// SPDX-License-Identifier: Apache-2.0
#include "wire/transport_locator.h"

#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/tcp_segment.h"
#include "wire/udp.h"
#include "wire/vlan.h"

namespace tapir::wire {

namespace {

constexpr std::size_t kIpv6HeaderLength = 40;
// A tag in a tag (802.1ad) is as deep as it goes.
constexpr int kVlanTagsMax = 2;

// Where IP begins behind VLAN tags, or nothing when the link header names another protocol.
std::optional<std::size_t> skip_link_header(Bytes frame, std::size_t network_offset) {
  if (frame.size() < network_offset) return std::nullopt;
  if (network_offset < kEthernetHeaderLength) return network_offset;
  auto type = load_be<std::uint16_t>(frame, network_offset - 2);
  for (int tags = 0; tags < kVlanTagsMax && type == kEtherTypeVlan; ++tags) {
    const auto tag = parse_vlan(frame.subspan(network_offset));
    if (!tag) return std::nullopt;
    type = tag->ethertype;
    network_offset += kVlanTagLength;
  }
  if (type != kEtherTypeIpv4 && type != kEtherTypeIpv6) return std::nullopt;
  return network_offset;
}

bool locate_in_v4(Bytes packet, TransportLocation& where) {
  // For every frame that leaves its checksum to us: only what is asked for here, not all of parse_ipv4().
  if (packet.size() < kIpv4HeaderMin) return false;
  const std::size_t header_length = static_cast<std::size_t>(packet[0] & 15) * 4;
  const std::size_t total_length = load_be<std::uint16_t>(packet, 2);
  const bool fragment = (load_be<std::uint16_t>(packet, 6) & kIpv4FragmentMask) != 0;
  if (header_length < kIpv4HeaderMin || fragment || total_length < header_length ||
      total_length > packet.size())
    return false;
  where.v4 = true;
  where.protocol = static_cast<IpProtocol>(packet[9]);
  where.transport = where.network + header_length;
  where.end = where.network + total_length;
  return true;
}

bool locate_in_v6(Bytes packet, TransportLocation& where) {
  if (packet.size() < kIpv6HeaderLength) return false;
  const std::size_t length = kIpv6HeaderLength + load_be<std::uint16_t>(packet, 4);
  if (length > packet.size()) return false;
  where.v4 = false;
  where.protocol = static_cast<IpProtocol>(packet[6]);
  where.transport = where.network + kIpv6HeaderLength;
  where.end = where.network + length;
  return true;
}

}  // namespace

std::size_t TransportLocation::checksum_field() const {
  return transport + (protocol == IpProtocol::kTcp ? kTcpChecksumOffset : kUdpChecksumOffset);
}

std::optional<TransportLocation> locate_transport(Bytes frame, std::size_t network_offset) {
  const auto network = skip_link_header(frame, network_offset);
  if (!network || frame.size() <= *network) return std::nullopt;
  TransportLocation where;
  where.network = *network;
  const Bytes packet = frame.subspan(*network);
  const unsigned version = packet[0] >> 4;
  if (version == 4 ? !locate_in_v4(packet, where) : version != 6 || !locate_in_v6(packet, where))
    return std::nullopt;
  const std::size_t left = where.end - where.transport;
  if (where.protocol == IpProtocol::kUdp) {
    if (left < kUdpHeaderLength) return std::nullopt;
    where.payload = where.transport + kUdpHeaderLength;
    return where;
  }
  if (where.protocol != IpProtocol::kTcp || left < kTcpHeaderMin) return std::nullopt;
  const std::size_t header_length =
      static_cast<std::size_t>(frame[where.transport + kTcpDataOffsetOffset] >> 4) * 4;
  if (header_length < kTcpHeaderMin || header_length > left) return std::nullopt;
  where.payload = where.transport + header_length;
  return where;
}

}  // namespace tapir::wire
