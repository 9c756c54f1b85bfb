// SPDX-License-Identifier: Apache-2.0
// What packet sockets see of the frames that pass.
#include <algorithm>

#include "stack/parts.h"
#include "wire/ethernet.h"
#include "wire/vlan.h"

namespace tapir::stack {
namespace {

raw::PacketType packet_type(ip::LinkDestination to) {
  switch (to) {
    case ip::LinkDestination::kHost:
    case ip::LinkDestination::kLooped:
      return raw::PacketType::kHost;
    case ip::LinkDestination::kBroadcast:
      return raw::PacketType::kBroadcast;
    case ip::LinkDestination::kMulticast:
      return raw::PacketType::kMulticast;
    case ip::LinkDestination::kOtherHost:
      return raw::PacketType::kOtherHost;
  }
  return raw::PacketType::kHost;
}

// Fills in what the frame's front tells. False: too short to tell anything.
bool describe(raw::FrameArrival& about, Bytes front, link::LinkType type, bool loopback) {
  if (type == link::LinkType::kEthernet) {
    const auto header = wire::parse_ethernet(front);
    if (!header) return false;
    about.ethertype = header->ethertype;
    if (header->ethertype == wire::kEtherTypeVlan)
      if (const auto tag = wire::parse_vlan(front.subspan(wire::kEthernetHeaderLength))) {
        about.vlan = load_be<std::uint16_t>(front, wire::kEthernetHeaderLength);
        about.ethertype = tag->ethertype;
      }
    about.header_size = wire::kEthernetHeaderLength;
    about.hardware_size = static_cast<std::uint8_t>(header->src.size());
    std::copy(header->src.begin(), header->src.end(), about.hardware.begin());
    return true;
  }
  if (front.empty()) return false;
  about.ethertype = front[0] >> 4 == 6 ? wire::kEtherTypeIpv6 : wire::kEtherTypeIpv4;
  if (loopback) {
    about.imagined_header = wire::kEthernetHeaderLength;
    about.hardware_size = static_cast<std::uint8_t>(wire::MacAddress{}.size());
  }
  return true;
}

}  // namespace

bool Stack::Parts::tap_received(InterfaceId interface, const Frame& frame, ip::LinkDestination to,
                                Instant now) {
  raw::FrameArrival about;
  about.interface = interface;
  about.type = packet_type(to);
  about.checksum_pending = frame.meta().checksum == ChecksumState::kPartial;
  about.checksum_verified = frame.meta().checksum == ChecksumState::kVerified;
  if (!describe(about, frame.bytes(), attached(interface)->link_type, interface == interfaces.loopback()))
    return false;
  return packet_ports.deliver(about, frame.bytes(), now);
}

void Stack::Parts::tap_sent(InterfaceId interface, std::span<const OutgoingFrame> sent, Instant now) {
  for (const OutgoingFrame& frame : sent) {
    raw::FrameArrival about;
    about.interface = interface;
    about.type = raw::PacketType::kOutgoing;
    about.checksum_pending = frame.checksum.wanted;
    if (describe(about, frame.header(), attached(interface)->link_type, interface == interfaces.loopback()))
      packet_ports.deliver_outgoing(about, frame, sending_port_, now);
  }
}

}  // namespace tapir::stack
