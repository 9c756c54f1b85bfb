// SPDX-License-Identifier: Apache-2.0
// A router's work: what arrives for somebody else goes on (RFC 1812 §5; Linux's net/ipv4/ip_forward.c).
#include <algorithm>
#include <utility>

#include "ip/fragmenter.h"
#include "ip/output.h"
#include "link/segmenter.h"
#include "stack/parts.h"
#include "wire/checksum.h"
#include "wire/ipv4.h"
#include "wire/tcp_segment.h"
#include "wire/udp.h"

namespace tapir::stack {
namespace {

using trace::Counter;
using trace::DropReason;

// Bytes of the transport header at the front of `bytes`, which super-segments and checksum requests need
// among the header bytes; 0 where there is none to see.
std::size_t transport_header(const wire::Ipv4Header& header, Bytes bytes) {
  if (header.fragment_offset != 0) return 0;
  if (header.protocol == IpProtocol::kUdp)
    return bytes.size() >= wire::kUdpHeaderLength ? wire::kUdpHeaderLength : 0;
  if (header.protocol != IpProtocol::kTcp || bytes.size() < wire::kTcpHeaderMin) return 0;
  const std::size_t length = static_cast<std::size_t>(bytes[wire::kTcpDataOffsetOffset] >> 4) * 4;
  return length >= wire::kTcpHeaderMin && length <= bytes.size() ? length : 0;
}

// The packet at the front of `frame`, as one to send: a hop less to live, its payload where it lies.
// `transport` bytes of transport header go among the header bytes.
void fill(OutgoingFrame& out, const Frame& frame, const wire::Ipv4Header& header, std::size_t transport) {
  const Bytes packet = frame.bytes();
  const Bytes behind = packet.subspan(header.header_length);
  std::copy_n(behind.begin(), transport, out.append_header(transport).begin());
  const MutableBytes ip = out.push_header(header.header_length);
  std::copy_n(packet.begin(), header.header_length, ip.begin());
  const auto before = load_be<std::uint16_t>(ip, 8);
  --ip[8];
  store_be<std::uint16_t>(
      ip, 10, wire::update_checksum16(load_be<std::uint16_t>(ip, 10), before, load_be<std::uint16_t>(ip, 8)));
  out.add_payload(behind.subspan(transport));
  out.network_offset = 0;
  out.transport_offset = header.header_length;
  out.ecn = header.ecn();
}

// What the sender (or its device) left to be done: a checksum, the cutting of a super-segment.
void request_offloads(OutgoingFrame& out, const Frame& frame, const wire::Ipv4Header& header,
                      std::size_t transport) {
  const bool super = frame.meta().gso.type != GsoType::kNone;
  if (transport == 0 || (!super && frame.meta().checksum != ChecksumState::kPartial)) return;
  const std::size_t offset =
      header.protocol == IpProtocol::kTcp ? wire::kTcpChecksumOffset : wire::kUdpChecksumOffset;
  // A device that cuts wants the pseudo-header's sum, whatever stood there.
  if (super)
    store_be<std::uint16_t>(
        out.mutable_header(), header.header_length + offset,
        wire::pseudo_header_sum(header.src, header.dst, header.protocol, header.payload_length()));
  out.checksum = {true, header.header_length, static_cast<std::uint16_t>(offset)};
  out.gso = frame.meta().gso;
}

// Bytes of the longest packet that this one puts on a wire (Linux's skb_gso_network_seglen).
std::size_t longest_packet(const OutgoingFrame& out) {
  return out.gso.type == GsoType::kNone ? out.size() : out.header().size() + out.gso.size;
}

}  // namespace

ip::IcmpErrorSpec Stack::Parts::unreachable_spec(ip::RouteError error) {
  switch (error) {
    case ip::RouteError::kHostUnreachable:
      return ip::IcmpErrorSpec::host_unreachable();
    case ip::RouteError::kProhibited:
      return {wire::IcmpType::kUnreachable, wire::kUnreachableAdminProhibited, 0};
    default:
      return ip::IcmpErrorSpec::net_unreachable();
  }
}

void Stack::Parts::forward(Frame frame, ip::LinkDestination to, Instant now) {
  const InterfaceId arrived_on = frame.meta().interface;
  const auto header = wire::parse_ipv4(frame.bytes());
  TAPIR_INVARIANT(header.has_value(), "ip/input has checked it");
  // Nobody asked us to route what went to everybody (RFC 1812 §5.3.4).
  if (to != ip::LinkDestination::kHost) return drop(DropReason::kOtherHost, arrived_on, frame.size(), now);
  const auto error = [&](const ip::IcmpErrorSpec& spec, DropReason reason) {
    send_icmp_error(spec, frame.bytes(), to, arrived_on, now);
    drop(reason, arrived_on, frame.size(), now);
  };

  // The source named in the path is ours: ARP requests on the way are.
  const auto path = routes.resolve({.destination = header->dst, .source = std::nullopt}, now);
  if (!path) {
    counters.add(Counter::kIpExtInNoRoutes);
    if (path.error() == ip::RouteError::kBlackhole)
      return drop(DropReason::kIpInNoRoutes, arrived_on, frame.size(), now);
    return error(unreachable_spec(path.error()), DropReason::kIpInNoRoutes);
  }
  if (header->ttl <= 1) {
    counters.add(Counter::kIpInHdrErrors);
    return error(ip::IcmpErrorSpec::ttl_exceeded(), DropReason::kIpTtlExpired);
  }
  if (path->local) return drop(DropReason::kIpMartian, arrived_on, frame.size(), now);

  if (!make_room(path->interface, now)) {
    counters.add(Counter::kIpOutDiscards);
    return drop(DropReason::kDevRefused, path->interface, frame.size(), now);
  }
  const std::size_t transport = transport_header(*header, frame.bytes().subspan(header->header_length));
  OutgoingFrame& out = slot(now);
  fill(out, frame, *header, transport);
  request_offloads(out, frame, *header, transport);
  const std::uint32_t mtu = path->interface_mtu;
  const bool too_long = longest_packet(out) > mtu;
  if (too_long && header->dont_fragment) {
    counters.add(Counter::kIpFragFails);
    return error(ip::IcmpErrorSpec::fragmentation_needed(static_cast<std::uint16_t>(mtu)),
                 DropReason::kPktTooBig);
  }
  if (arrived_on == path->interface) send_redirect(*header, frame.bytes(), *path, arrived_on, now);
  counters.add(Counter::kIpForwDatagrams);
  counters.add(Counter::kIpExtOutOctets, out.size());
  if (too_long) return forward_in_fragments(*path, mtu, now);
  send_packet(path->interface, path->next_hop, path->source, std::move(frame), now);
}

// The packet in the slot is longer than the way; the frame its bytes lie in outlives this call.
void Stack::Parts::forward_in_fragments(const Path& path, std::uint32_t mtu, Instant now) {
  if (whole_ == nullptr) whole_ = std::make_unique<OutgoingFrame>();
  *whole_ = batch.slot();
  std::uint64_t pieces = 0;
  const auto cut = [&](const OutgoingFrame& packet) {
    ip::Fragmenter fragmenter(packet, mtu);
    for (; fragmenter.next(slot(now)); ++pieces)
      send_packet(path.interface, path.next_hop, path.source, {}, now);
  };
  if (whole_->gso.type == GsoType::kNone) {
    ip::complete_checksum(*whole_);
    cut(*whole_);
  } else if (const auto segmenter = link::Segmenter::of(*whole_)) {
    // First to the packets it stands for, then each of them.
    if (segment_ == nullptr) segment_ = std::make_unique<OutgoingFrame>();
    for (std::size_t i = 0; i < segmenter->segments(); ++i) {
      segmenter->emit(i, link::ChecksumWork::kSoftware, *segment_);
      cut(*segment_);
    }
  }
  flush(now);
  counters.add(pieces != 0 ? Counter::kIpFragOKs : Counter::kIpFragFails);
  counters.add(Counter::kIpFragCreates, pieces);
}

// RFC 1812 §5.2.7.2: the packet leaves by the interface it came in on, its sender is a neighbour there, and
// the better gateway is one too. Linux's __mkroute_input (RTCF_DOREDIRECT) and ip_rt_send_redirect.
void Stack::Parts::send_redirect(const wire::Ipv4Header& header, Bytes packet, const Path& path,
                                 InterfaceId arrived_on, Instant now) {
  if (!ip::sends_redirects(ip_knobs, interfaces.find(arrived_on)->conf)) return;
  const ip::Route* back = routes.lookup(header.src, arrived_on);
  if (back == nullptr || back->interface != arrived_on || !back->gateway.is_unspecified()) return;
  const ip::Interface* interface = interfaces.find(arrived_on);
  const bool neighbor = std::any_of(interface->addresses.begin(), interface->addresses.end(),
                                    [&](const IpPrefix& own) { return own.contains(path.next_hop); });
  if (!neighbor || !redirect_limit.ask(header.src, now)) return;
  ip::IcmpErrorSpec spec{wire::IcmpType::kRedirect, wire::kRedirectHost, path.next_hop.v4_bits()};
  send_icmp_error(spec, packet, ip::LinkDestination::kHost, arrived_on, now);
}

// A redirect arrived, about a flow that is ours (Linux's __ip_do_redirect): only from the gateway in use,
// only to a neighbour that is no other of our addresses.
void Stack::Parts::on_redirect(const ip::RedirectReceived& redirect, InterfaceId arrived_on, Instant now) {
  const auto refuse = [&] { drop(DropReason::kIcmpType, arrived_on, 0, now); };
  const ip::Interface* interface = interfaces.find(arrived_on);
  if (interface == nullptr || !ip::accepts_redirects(ip_knobs, interface->conf)) return refuse();
  const auto path = routes.resolve({.destination = redirect.destination, .source = std::nullopt}, now);
  if (!path || path->interface != arrived_on || path->next_hop != redirect.reporter) return refuse();
  if (path->next_hop == redirect.destination || redirect.gateway == path->next_hop) return refuse();
  if (interfaces.classify(redirect.gateway) != ip::AddressKind::kElsewhere) return refuse();
  const bool neighbor = std::any_of(interface->addresses.begin(), interface->addresses.end(),
                                    [&](const IpPrefix& own) { return own.contains(redirect.gateway); });
  if (!neighbor) return refuse();
  routes.learn_redirect(redirect.destination, redirect.gateway, arrived_on, now);
}

}  // namespace tapir::stack
