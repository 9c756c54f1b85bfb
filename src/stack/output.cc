// SPDX-License-Identifier: Apache-2.0
// The one way out: replies, then segments, each through IP and the neighbour table into the batch of its
// interface.
#include <algorithm>
#include <utility>

#include "ip/events.h"
#include "ip/fragmenter.h"
#include "ip/options.h"
#include "stack/events.h"
#include "stack/parts.h"
#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/tcp_segment.h"
#include "wire/udp.h"
#include "wire/vlan.h"

namespace tapir::stack {

using trace::Counter;
using trace::DropReason;

namespace {

// What an ICMP error about `packet`, from its IP header on, would quote.
void quote(Bytes packet, DeliveryError& error) {
  const auto header = wire::parse_ipv4(packet);
  if (!header) return;
  error.packet = packet;
  const std::size_t skipped =
      header->header_length + (header->protocol == IpProtocol::kUdp ? wire::kUdpHeaderLength : 0U);
  error.payload = packet.subspan(std::min(packet.size(), skipped));
}

}  // namespace

bool Stack::Parts::has_room(InterfaceId interface) {
  const std::size_t promised = batch.interface() == interface ? batch.size() : 0;
  Attached* to = attached(interface);
  // A VLAN shares its device with others: it is asked every time.
  if (to == nullptr || (to->room > promised && to->parent == kNoInterface)) return true;
  to->room = to->device->room();
  return to->room > promised;
}

bool Stack::Parts::make_room(InterfaceId interface, Instant now) {
  if (has_room(interface)) return true;
  flush(now);
  return has_room(interface);
}

OutgoingFrame& Stack::Parts::slot(Instant now) {
  if (batch.full()) flush(now);
  batch.slot().clear();
  return batch.slot();
}

void Stack::Parts::flush(Instant now) {
  if (batch.empty()) return;
  const InterfaceId id = batch.interface();
  const std::span<const OutgoingFrame> sent = batch.frames();
  if (tracer.on())
    for (const OutgoingFrame& frame : sent)
      tracer.emit(now, Event::kFrameSent, id, frame.size(), frame.gso.size);
  if (packet_ports.any()) tap_sent(id, sent, now);
  Attached& to = *attached(id);
  const std::size_t accepted = to.device->transmit(sent, now);
  to.counters.tx_packets += accepted;
  std::uint64_t bytes = 0;
  for (const OutgoingFrame& frame : sent.first(accepted)) bytes += frame.size();
  to.counters.tx_bytes += bytes;
  if (Attached* trunk = attached(to.parent)) {
    trunk->counters.tx_packets += accepted;
    trunk->counters.tx_bytes += bytes + accepted * wire::kVlanTagLength;
    trunk->room = 0;
  }
  if (accepted < sent.size()) {
    const std::size_t lost = sent.size() - accepted;
    to.counters.tx_refused += lost;
    counters.drop(DropReason::kDevRefused, lost);
    tracer.emit(now, Event::kFrameRefused, id, lost);
  }
  batch.clear();
  attached(id)->room = 0;  // a super-segment may have cost more than one place
}

void Stack::Parts::commit(InterfaceId interface, Frame kept, Instant now) {
  if (!batch.empty() && batch.interface() != interface) flush(now);
  batch.slot().interface = interface;
  batch.commit(interface, std::move(kept));
}

void Stack::Parts::push_ethernet(const link::MacAddress& destination, const link::MacAddress& source,
                                 std::uint16_t ethertype) {
  wire::emit_ethernet({destination, source, ethertype},
                      batch.slot().push_header(wire::kEthernetHeaderLength));
}

// The packet in the slot begins at its IP header.
void Stack::Parts::send_packet(InterfaceId interface, const IpAddress& next_hop, const IpAddress& source,
                               Frame kept, Instant now) {
  const Attached* to = attached(interface);
  const ip::Interface* on = interfaces.find(interface);
  if (to == nullptr || on == nullptr || !on->up) {
    counters.add(Counter::kIpOutDiscards);
    return drop(DropReason::kDevReady, interface, batch.slot().size(), now);
  }
  if (to->link_type == link::LinkType::kEthernet) {
    const ip::Resolution resolution = neighbors.resolve(interface, next_hop, source, batch.slot(), now);
    if (resolution.status != ip::ResolveStatus::kResolved)
      return;  // parked as a copy, or lost and counted there
    push_ethernet(resolution.mac, to->mac, wire::kEtherTypeIpv4);
  }
  if (!make_room(interface, now)) {
    counters.add(Counter::kIpOutDiscards);
    return drop(DropReason::kDevRefused, interface, batch.slot().size(), now);
  }
  counters.add(Counter::kIpOutTransmits);
  commit(interface, std::move(kept), now);
}

std::expected<void, DeliveryError> Stack::Parts::send_slot(const Path& path, const ip::Ipv4Fields& fields,
                                                           Frame kept, Instant now) {
  const auto verdict = ipv4_output.push_header(batch.slot(), path, fields, now);
  if (!verdict) return std::unexpected(verdict.error());
  if (!path.local && fields.protocol != IpProtocol::kTcp &&
      (path.destination.is_multicast() || interfaces.is_broadcast(path.destination)))
    loop_back(path, fields, now);
  if (fields.host_only) return {};
  if (*verdict == ip::OutputVerdict::kFragment) {
    if (whole_ == nullptr) whole_ = std::make_unique<OutgoingFrame>();
    *whole_ = batch.slot();
    const std::uint32_t mtu = ip::Ipv4Output::limit(path, fields.discovery);
    ip::Fragmenter fragmenter(*whole_, mtu);
    // The pieces point into the packet: they leave before it goes.
    std::uint64_t pieces = 0;
    for (; fragmenter.next(slot(now)); ++pieces)
      send_packet(path.interface, path.next_hop, path.source, {}, now);
    flush(now);
    counters.add(pieces != 0 ? Counter::kIpFragOKs : Counter::kIpFragFails);
    counters.add(Counter::kIpFragCreates, pieces);
    return {};
  }
  send_packet(path.interface, path.next_hop, path.source, std::move(kept), now);
  return {};
}

std::expected<bool, DeliveryError> Stack::Parts::send_datagram(const FourTuple& tuple, const Path& path,
                                                               std::span<const Bytes> payload,
                                                               const udp::SendOptions& options,
                                                               const ip::Ipv4Fields& fields, Instant now) {
  seen_now_ = now;
  path_finder.set_now(now);
  if (!make_room(path.interface, now)) {
    counters.add(Counter::kIpOutDiscards);
    drop(DropReason::kDevRefused, path.interface, 0, now);
    return false;
  }
  const udp::SendVerdict verdict = udp::build_datagram(slot(now), tuple, payload, options, counters);
  TAPIR_INVARIANT(verdict == udp::SendVerdict::kBuilt,
                  "socket/ checks a datagram's size and joins its pieces before it is sent");
  const auto sent = send_slot(path, fields, {}, now);
  if (!sent) return std::unexpected(sent.error());
  // The payload is the caller's, and the call ends here.
  drain_neighbors(now);
  flush(now);
  return true;
}

void Stack::Parts::queue_reply(ip::Reply reply, Instant now) {
  const InterfaceId interface = reply.layer == ip::Reply::Layer::kIp ? reply.path.interface : reply.interface;
  const std::size_t bytes = reply.frame ? reply.frame.size() : 0;
  if (!replies.push(std::move(reply))) return drop(DropReason::kReplyQueueFull, interface, bytes, now);
  tracer.emit(now, Event::kReplyQueued, interface, replies.size());
}

void Stack::Parts::send_replies(Instant now) {
  while (!replies.empty()) {
    const ip::Reply& next = replies.front();
    const InterfaceId interface = next.layer == ip::Reply::Layer::kIp ? next.path.interface : next.interface;
    if (!make_room(interface, now)) {
      output_retry_at_ = later(now, kRoomRetry);
      break;
    }
    ip::Reply reply = replies.pop();
    reply.fill(slot(now));
    if (reply.layer == ip::Reply::Layer::kLink) {
      const Attached* to = attached(reply.interface);
      if (to == nullptr) continue;
      push_ethernet(reply.mac, to->mac, reply.ethertype);
      commit(reply.interface, std::move(reply.frame), now);
      continue;
    }
    // Too big to be sent unfragmented, though it answers a packet: nobody is to be told.
    if (!send_slot(reply.path, reply.fields, std::move(reply.frame), now))
      drop(DropReason::kPktTooBig, interface, 0, now);
  }
  send_tcp_replies(now);
}

void Stack::Parts::send_tcp_replies(Instant now) {
  while (const tcp::SegmentReply* const next = tcp.next_reply()) {
    // It leaves, but for odd routes, where the segment came from that it answers.
    if (!make_room(next->interface, now)) {
      output_retry_at_ = later(now, kRoomRetry);
      return;
    }
    const auto reply = tcp.poll_reply();
    ip::RouteQuery query;
    query.destination = reply->destination;
    query.source = reply->source;
    query.source_may_be_foreign = true;
    const auto path = routes.resolve(query, now);
    if (!path) {
      counters.add(Counter::kIpOutNoRoutes);
      drop(DropReason::kIpOutNoRoutes, reply->interface, 0, now);
      continue;
    }
    OutgoingFrame& out = slot(now);
    const bool syn = reply->segment.has(wire::kSyn);
    const std::size_t length = wire::tcp_header_length(reply->segment.options, syn);
    wire::emit_tcp(reply->segment, out.append_header(length));
    out.checksum = {true, 0, wire::kTcpChecksumOffset};
    out.ecn = reply->ecn;
    ip::Ipv4Fields fields;
    fields.tos = reply->tos;
    fields.may_fragment = false;
    if (!send_slot(*path, fields, {}, now)) drop(DropReason::kPktTooBig, path->interface, length, now);
  }
}

IpOptions Stack::Parts::written_options(const IpOptions& options, const IpAddress& source,
                                        Instant now) const {
  constexpr std::uint64_t kNanosecondsPerDay = 86'400'000'000'000;
  const std::uint64_t wall = config.wall_clock_offset_ns + to_nsec(now);
  return ip::written_options(options, source,
                             static_cast<std::uint32_t>(wall % kNanosecondsPerDay / 1'000'000), interfaces);
}

void Stack::Parts::send_segments(bool only_due, Instant now) {
  for (std::size_t count = 0; count < kSegmentsPerPollMax; ++count) {
    tcp::Engine::Output how;
    OutgoingFrame& out = slot(now);
    if (!tcp.poll_segment(out, how, only_due, now)) {
      if (!tcp.output_stalled()) return;
      // What a full device keeps waiting is asked for again once the batch is handed over, then from time to
      // time.
      if (batch.empty()) {
        output_retry_at_ = later(now, kRoomRetry);
        tcp.on_no_room(now);
        return;
      }
      flush(now);
      tcp.resume_output(true);
      continue;
    }
    out.checksum = {true, 0, wire::kTcpChecksumOffset};
    ip::Ipv4Fields fields;
    fields.tos = how.tos;
    fields.hop_limit = how.hop_limit;
    fields.discovery = how.dont_fragment ? ip::PathMtuDiscovery::kWant : ip::PathMtuDiscovery::kDont;
    fields.may_fragment = false;
    IpOptions options;
    if (how.ip_options->size != 0) [[unlikely]] {
      options = written_options(*how.ip_options, how.path.source, now);
      fields.options = options.view();
    }
    if (how.confirms_neighbor) neighbors.confirm(how.path.interface, how.path.next_hop, now);
    if (const auto sent = send_slot(how.path, fields, {}, now); !sent)
      deliver_error(sent.error(), how.path.interface, now);
  }
  output_retry_at_ = now;
}

void Stack::Parts::send_arp(const ip::ArpToSend& arp, Instant now) {
  if (attached(arp.interface) == nullptr) return;
  OutgoingFrame& out = slot(now);
  wire::emit_arp(arp.packet, out.append_header(wire::kArpLength));
  push_ethernet(arp.destination, arp.packet.sender_mac, wire::kEtherTypeArp);
  if (make_room(arp.interface, now))
    commit(arp.interface, {}, now);
  else
    drop(DropReason::kDevRefused, arp.interface, wire::kArpLength, now);
}

void Stack::Parts::drain_neighbors(Instant now) {
  if (draining_neighbors_ || neighbors.quiet()) return;
  draining_neighbors_ = true;
  while (const auto arp = neighbors.poll_arp()) send_arp(*arp, now);
  while (auto released = neighbors.poll_released()) {
    released->fill(slot(now));
    const Attached* to = attached(released->interface);
    if (to == nullptr) continue;
    push_ethernet(released->mac, to->mac, wire::kEtherTypeIpv4);
    if (make_room(released->interface, now))
      commit(released->interface, std::move(released->frame), now);
    else
      drop(DropReason::kDevRefused, released->interface, batch.slot().size(), now);
  }
  for (Frame packet; auto failure = neighbors.poll_failure(&packet);) {
    quote(packet.bytes(), *failure);
    // What we only passed on is reported to its sender (RFC 1812 §5.2.7.1).
    if (interfaces.is_local_address(failure->quoted.local.address))
      deliver_error(*failure, kNoInterface, now);
    else
      send_icmp_error(ip::IcmpErrorSpec::host_unreachable(), packet.bytes(), ip::LinkDestination::kHost,
                      kNoInterface, now);
  }
  draining_neighbors_ = false;
}

// Probes and announcements; addresses that turned out to be free are ours now.
void Stack::Parts::drain_claims(Instant now) {
  if (claims.quiet()) return;
  while (const auto arp = claims.poll_arp()) {
    tracer.emit(now, ip::Event::kArpSent, arp->interface, ip::trace_word(arp->packet.target_ip),
                static_cast<std::uint64_t>(arp->packet.operation));
    send_arp(*arp, now);
  }
  while (const auto outcome = claims.poll_outcome()) {
    tracer.emit(now, Event::kAddressClaimed, outcome->interface, ip::trace_word(outcome->address.address),
                outcome->granted ? 1 : 0);
    if (outcome->granted && interfaces.add_address(outcome->interface, outcome->address)) {
      (void)routes.add_connected(outcome->interface, outcome->address);
      groups.announce(outcome->interface, now);
    }
  }
}

void Stack::Parts::send_group_reports(Instant now) {
  while (groups.next_timeout() <= now) {
    auto report = groups.poll_report(now);
    if (!report) return;
    queue_reply(std::move(*report), now);
  }
}

// Connections ask for a new path when they next send.
void Stack::Parts::notice_route_changes(Instant now) {
  if (routes.generation() == routes_generation_) return;
  routes_generation_ = routes.generation();
  tcp.on_routes_changed(now);
}

// Most calls of a program cause none.
bool Stack::Parts::output_waits(Instant now) {
  if (tcp.output_wanted() || !batch.empty() || !looped_.empty() || !replies.empty() || !neighbors.quiet() ||
      output_retry_at_ <= now)
    return true;
  return attached(interfaces.loopback())->device->next_timeout() <= now;
}

void Stack::Parts::send_output(Instant now) {
  seen_now_ = now;
  path_finder.set_now(now);
  notice_route_changes(now);
  drain_neighbors(now);
  send_replies(now);
  send_segments(false, now);
  flush(now);
}

void Stack::Parts::poll_output(Instant now) {
  seen_now_ = now;
  path_finder.set_now(now);
  notice_route_changes(now);
  drain_claims(now);
  send_group_reports(now);
  if (!output_waits(now)) return;
  tcp.resume_output(output_retry_at_ <= now);
  output_retry_at_ = kNever;
  std::size_t loopback_left = kLoopbackFramesPerPoll;
  const InterfaceId loopback = interfaces.loopback();
  for (;;) {
    drain_claims(now);
    send_group_reports(now);
    drain_neighbors(now);
    send_replies(now);
    send_segments(false, now);
    drain_neighbors(now);
    flush(now);
    // What went to ourselves comes back now: the program's next look finds it arrived, as in Linux.
    std::size_t fed = loopback_left == 0 ? 0 : receive_from(loopback, loopback_left, now);
    fed += feed_looped(loopback_left - fed, now);
    if (fed == 0) return;
    loopback_left -= fed;
  }
}

}  // namespace tapir::stack
