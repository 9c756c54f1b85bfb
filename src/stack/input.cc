// SPDX-License-Identifier: Apache-2.0
// A frame's way up: link, network, the protocol that owns it. Nothing here sends; after_input() lets out what
// is due.
#include <algorithm>
#include <array>
#include <utility>

#include "link/vlan.h"
#include "stack/events.h"
#include "stack/parts.h"
#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/vlan.h"

namespace tapir::stack {
namespace {

using trace::Counter;
using trace::DropReason;

ip::LinkDestination link_destination(const wire::MacAddress& destination, const wire::MacAddress& own) {
  if (destination == own) return ip::LinkDestination::kHost;
  if (wire::is_broadcast(destination)) return ip::LinkDestination::kBroadcast;
  if (wire::is_multicast(destination)) return ip::LinkDestination::kMulticast;
  return ip::LinkDestination::kOtherHost;
}

// A packet in a packet, which we take out for nobody.
bool is_tunnel(IpProtocol protocol) {
  return protocol == IpProtocol::kIpip || protocol == IpProtocol::kIpv6 || protocol == IpProtocol::kGre;
}

}  // namespace

void Stack::Parts::drop(DropReason reason, InterfaceId interface, std::size_t bytes, Instant now) {
  counters.drop(reason);
  if (Attached* at = attached(interface); at != nullptr) ++at->counters.dropped;
  tracer.emit(now, Event::kDropped, interface, static_cast<std::uint64_t>(reason), bytes);
}

void Stack::Parts::input(InterfaceId interface, Frame frame, Instant now) {
  if (!frame) return;
  seen_now_ = now;
  path_finder.set_now(now);
  if (batch.borrows()) flush(now);
  frame.meta().interface = interface;
  const Attached* from = attached(interface);
  const ip::Interface* on = interfaces.find(interface);
  if (from == nullptr || on == nullptr || !on->up)
    return drop(DropReason::kDevReady, interface, frame.size(), now);
  if (from->link_type == link::LinkType::kEthernet) {
    input_ethernet(interface, std::move(frame), now);
  } else {
    tracer.emit(now, Event::kFrameReceived, interface, frame.size(), 0);
    if (packet_ports.any()) tap_received(interface, frame, ip::LinkDestination::kHost, now);
    const bool v4 = frame.size() != 0 && frame.bytes()[0] >> 4 == 4;
    if (!v4) return drop(DropReason::kL2Unknown, interface, frame.size(), now);
    input_ipv4(std::move(frame), ip::LinkDestination::kHost, now);
  }
  after_input(now);
}

InterfaceId Stack::Parts::vlan_of(InterfaceId parent, std::uint16_t id) const {
  for (std::size_t i = 0; i < devices.size(); ++i)
    if (devices[i].parent == parent && devices[i].vlan == id && id != 0)
      return static_cast<InterfaceId>(i + 1);
  return kNoInterface;
}

void Stack::Parts::input_ethernet(InterfaceId interface, Frame frame, Instant now) {
  const auto header = wire::parse_ethernet(frame.bytes());
  tracer.emit(now, Event::kFrameReceived, interface, frame.size(), header ? header->ethertype : 0);
  if (!header) return drop(DropReason::kPktTooSmall, interface, frame.size(), now);
  const ip::LinkDestination to = link_destination(header->dst, attached(interface)->mac);
  const bool tapped = packet_ports.any() && tap_received(interface, frame, to, now);
  if (to == ip::LinkDestination::kOtherHost)
    return drop(DropReason::kOtherHost, interface, frame.size(), now);
  switch (header->ethertype) {
    case wire::kEtherTypeIpv4:
      frame.trim_front(wire::kEthernetHeaderLength);
      return input_ipv4(std::move(frame), to, now);
    case wire::kEtherTypeArp:
      frame.trim_front(wire::kEthernetHeaderLength);
      return input_arp(interface, frame, *header, to, now);
    case wire::kEtherTypeVlan: {
      // A tag of VLAN 0 only carries a priority: the frame is ours.
      const auto tag = wire::parse_vlan(frame.bytes().subspan(wire::kEthernetHeaderLength));
      if (!tag || tag->ethertype == wire::kEtherTypeVlan)
        return drop(DropReason::kVlan, interface, frame.size(), now);
      const InterfaceId of_tag = tag->id == 0 ? interface : vlan_of(interface, tag->id);
      if (of_tag == kNoInterface) return drop(DropReason::kVlan, interface, frame.size(), now);
      link::strip_vlan_tag(frame);
      if (of_tag != interface) {
        if (!interfaces.find(of_tag)->up) return drop(DropReason::kDevReady, of_tag, frame.size(), now);
        frame.meta().interface = of_tag;
        InterfaceCounters& passed = attached(of_tag)->counters;
        ++passed.rx_packets;
        passed.rx_bytes += frame.size();
      }
      return input_ethernet(of_tag, std::move(frame), now);
    }
    default:
      if (tapped) return;
      return drop(DropReason::kL2Unknown, interface, frame.size(), now);
  }
}

void Stack::Parts::input_arp(InterfaceId interface, const Frame& frame, const wire::EthernetHeader& header,
                             ip::LinkDestination to, Instant now) {
  const auto packet = wire::parse_arp(frame.bytes());
  if (!packet) return drop(DropReason::kArpInvalid, interface, frame.size(), now);
  // Neighbors counts and traces what it drops.
  claims.on_arp(interface, *packet, now);
  // RFC 1027: who asks for a host that is reached through us, by another interface, gets our address (Linux's
  // arp_fwd_proxy).
  bool proxied = false;
  if (ip::proxies_arp(ip_knobs, interfaces.find(interface)->conf) &&
      packet->operation == wire::ArpOperation::kRequest &&
      interfaces.classify(packet->target_ip) == ip::AddressKind::kElsewhere) {
    const ip::Route* onward = routes.lookup(packet->target_ip);
    proxied = onward != nullptr && onward->kind == ip::RouteKind::kUnicast && onward->interface != interface;
  }
  neighbors.on_arp(interface, *packet, header.src, to, now, proxied);
}

void Stack::Parts::input_ipv4(Frame frame, ip::LinkDestination to, Instant now) {
  const InterfaceId arrived_on = frame.meta().interface;
  auto datagram = ipv4_input.input(std::move(frame), to, now);
  if (datagram) return deliver(std::move(*datagram), now);
  ip::Rejected& rejected = datagram.error();
  if (rejected.forward) return forward(std::move(rejected.frame), to, now);
  if (rejected.error && rejected.frame)
    send_icmp_error(*rejected.error, rejected.frame.bytes(), to, arrived_on, now);
}

void Stack::Parts::send_icmp_error(const ip::IcmpErrorSpec& spec, Bytes packet, ip::LinkDestination to,
                                   InterfaceId arrived_on, Instant now) {
  if (auto reply = icmp.build_error(spec, packet, to, arrived_on, now)) queue_reply(std::move(*reply), now);
}

namespace {

raw::RawArrival raw_arrival(const ip::Datagram& datagram) {
  return {datagram.source,    datagram.destination, datagram.protocol,
          datagram.interface, datagram.tos,         datagram.hop_limit};
}

}  // namespace

void Stack::Parts::deliver(ip::Datagram datagram, Instant now) {
  const bool known = raw_ports.size() != 0 &&
                     raw_ports.deliver(raw_arrival(datagram), datagram.packet(), datagram.header_size, now);
  switch (datagram.protocol) {
    case IpProtocol::kTcp:
      return deliver_tcp(std::move(datagram), now);
    case IpProtocol::kUdp:
      return deliver_udp(std::move(datagram), now);
    case IpProtocol::kIcmp:
      return deliver_icmp(datagram, now);
    case IpProtocol::kIgmp:
      counters.add(Counter::kIpInDelivers);
      if (const auto refused = groups.input(datagram, now); refused && !known)
        drop(*refused, datagram.interface, datagram.frame.size(), now);
      return;
    default:
      if (known) return counters.add(Counter::kIpInDelivers);
      counters.add(Counter::kIpInUnknownProtos);
      send_icmp_error(ip::IcmpErrorSpec::protocol_unreachable(), datagram.packet(), datagram.link_destination,
                      datagram.interface, now);
      return drop(is_tunnel(datagram.protocol) ? DropReason::kTunnel : DropReason::kIpNoProto,
                  datagram.interface, datagram.frame.size(), now);
  }
}

void Stack::Parts::deliver_icmp(const ip::Datagram& datagram, Instant now) {
  counters.add(Counter::kIpInDelivers);
  ip::IcmpOutcome outcome = icmp.input(datagram, now);
  if (outcome.reply) queue_reply(std::move(*outcome.reply), now);
  if (outcome.error) deliver_error(*outcome.error, datagram.interface, now);
  if (outcome.redirect) {
    if (!flow_is_ours(outcome.redirect->flow, datagram.interface))
      return drop(DropReason::kIcmpNoFlow, datagram.interface, datagram.frame.size(), now);
    return on_redirect(*outcome.redirect, datagram.interface, now);
  }
  if (!outcome.for_sockets) return;
  const bool asked = pings.on_reply(datagram, now);
  if (!ping_ports.deliver(raw_arrival(datagram), datagram.frame.bytes(), now) && !asked)
    drop(DropReason::kNoSocket, datagram.interface, datagram.frame.size(), now);
}

bool Stack::Parts::flow_is_ours(const DeliveryError& error, InterfaceId arrived_on) {
  switch (error.protocol) {
    case IpProtocol::kTcp:
      return tcp.quotes_in_flight(error);
    case IpProtocol::kUdp:
      return static_cast<bool>(udp.lookup(error.quoted.local, error.quoted.remote, arrived_on));
    case IpProtocol::kIcmp:
      return pings.waits_for(error.quoted.remote.address) || raw_ports.size() != 0 || ping_ports.size() != 0;
    default:
      return raw_ports.size() != 0;
  }
}

void Stack::Parts::deliver_udp(ip::Datagram datagram, Instant now) {
  counters.add(Counter::kIpInDelivers);
  udp::Arrival arrival;
  arrival.source = datagram.source;
  arrival.destination = datagram.destination;
  arrival.interface = datagram.interface;
  arrival.tos = datagram.tos;
  arrival.hop_limit = datagram.hop_limit;
  arrival.group = datagram.destination_kind != ip::AddressKind::kLocal;
  // The error quotes the packet, and the port consumes it: its first bytes are kept.
  std::array<std::uint8_t, ip::Icmp::kErrorPacketMax> quoted;
  const Bytes packet = datagram.packet();
  const std::size_t quoted_size = std::min(packet.size(), quoted.size());
  std::copy_n(packet.begin(), quoted_size, quoted.begin());

  const udp::Outcome outcome = udp.input(arrival, std::move(datagram.frame), now);
  for (const udp::PortHandle port : outcome.touched) touch(port, tcp::kTouchedReadable);
  if (outcome.port_unreachable)
    send_icmp_error(ip::IcmpErrorSpec::port_unreachable(), {quoted.data(), quoted_size},
                    datagram.link_destination, datagram.interface, now);
}

void Stack::Parts::deliver_tcp(ip::Datagram datagram, Instant now) {
  counters.add(Counter::kIpInDelivers);
  if (datagram.destination_kind != ip::AddressKind::kLocal ||
      datagram.link_destination != ip::LinkDestination::kHost)
    return drop(DropReason::kTcpMulticast, datagram.interface, datagram.frame.size(), now);
  tcp::Arrival arrival;
  arrival.source = datagram.source;
  arrival.destination = datagram.destination;
  arrival.interface = datagram.interface;
  arrival.ecn = datagram.ecn();
  arrival.tos = datagram.tos;
  arrival.hop_limit = datagram.hop_limit;
  tcp.on_datagram(std::move(datagram.frame), arrival, now);
}

void Stack::Parts::deliver_error(const DeliveryError& error, InterfaceId arrived_on, Instant now) {
  const auto learn_path_mtu = [&] {
    if (error.kind != DeliveryErrorKind::kFragmentationNeeded || !error.from_icmp) return;
    const auto path =
        routes.resolve({.destination = error.quoted.remote.address, .source = std::nullopt}, now);
    if (path) path_mtu.update(error.quoted.remote.address, error.mtu, path->mtu, now);
  };
  const bool raw_concerned = raw_ports.size() != 0 && raw_ports.on_error(error, arrived_on);
  switch (error.protocol) {
    case IpProtocol::kTcp:
      flush(now);  // it may end a connection whose bytes wait in the batch
      if (tcp.quotes_in_flight(error)) learn_path_mtu();
      if (const tcp::ConnectionId opening = tcp.on_delivery_error(error, now);
          opening && stream_error_count_ < kStreamErrorsMax) {
        StreamError& told = stream_errors_[stream_error_count_++];
        told.connection = opening;
        told.error = error;
        told.size = std::min(error.payload.size(), told.segment.size());
        std::copy_n(error.payload.begin(), told.size, told.segment.begin());
      }
      return;
    case IpProtocol::kUdp:
      if (pings.on_error(error, now)) return;
      // Only a socket that could have sent the quoted datagram believes what is said of it (RFC 5927 §7).
      if (!udp.lookup(error.quoted.local, error.quoted.remote, arrived_on))
        return drop(DropReason::kIcmpNoFlow, arrived_on, 0, now);
      learn_path_mtu();
      if (const udp::PortHandle port = udp.on_error(error, arrived_on, now)) touch(port, tcp::kTouchedError);
      return;
    case IpProtocol::kIcmp: {
      const bool asked = ping_ports.on_error(error);
      if (!pings.on_error(error, now) && !asked && !raw_concerned)
        return drop(DropReason::kIcmpNoFlow, arrived_on, 0, now);
      return learn_path_mtu();
    }
    default:
      if (raw_concerned) return learn_path_mtu();
      return drop(DropReason::kIcmpNoFlow, arrived_on, 0, now);
  }
}

// What must leave before the next frame is looked at: answers, and what the connection owes at once. It goes
// into the batch, which is handed to the device when full, or before anything else can free what it points
// into.
void Stack::Parts::after_input(Instant now) {
  drain_neighbors(now);
  drain_claims(now);
  send_group_reports(now);
  send_replies(now);
  if (tcp.output_due()) send_segments(true, now);
}

std::size_t Stack::Parts::receive_from(InterfaceId id, std::size_t frames_max, Instant now) {
  Attached& from = *attached(id);
  const std::size_t count = from.device->receive(std::span(received_).first(frames_max), frames, now);
  from.counters.rx_packets += count;
  for (std::size_t i = 0; i < count; ++i) from.counters.rx_bytes += received_[i].size();
  for (std::size_t i = 0; i < count; ++i) input(id, std::move(received_[i]), now);
  return count;
}

}  // namespace tapir::stack
