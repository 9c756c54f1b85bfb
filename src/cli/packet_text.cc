// SPDX-License-Identifier: Apache-2.0
#include "cli/packet_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/segment_text.h"
#include "wire/tcp_segment.h"
#include "wire/udp.h"

namespace tapir::cli {
namespace {

std::string endpoint_text(const Endpoint& endpoint) {
  return fmt::format("{}:{}", endpoint.address.to_string(), endpoint.port);
}

std::string arp_text(const wire::ArpPacket& arp) {
  if (arp.operation == wire::ArpOperation::kRequest)
    return fmt::format("arp who-has {} tell {}", arp.target_ip.to_string(), arp.sender_ip.to_string());
  if (arp.operation == wire::ArpOperation::kReply)
    return fmt::format("arp {} is-at {}", arp.sender_ip.to_string(), wire::to_string(arp.sender_mac));
  return fmt::format("arp operation {}", static_cast<unsigned>(arp.operation));
}

const char* unreachable_name(std::uint8_t code) {
  static constexpr const char* kNames[] = {"net_unreachable",
                                           "host_unreachable",
                                           "protocol_unreachable",
                                           "port_unreachable",
                                           "frag_needed",
                                           "source_route_failed",
                                           "net_unknown",
                                           "host_unknown",
                                           "source_host_isolated",
                                           "net_prohibited",
                                           "host_prohibited",
                                           "net_unreachable_for_tos",
                                           "host_unreachable_for_tos",
                                           "packet_filtered",
                                           "precedence_violation",
                                           "precedence_cutoff"};
  return code < std::size(kNames) ? kNames[code] : "unreachable";
}

// "10.0.0.1:9 > 10.0.0.2:4000 udp" of the packet that an error quotes.
std::string quoted_text(Bytes packet) {
  const auto ip = wire::parse_ipv4(packet);
  if (!ip) return "?";
  const char* protocol = ip->protocol == IpProtocol::kTcp   ? "tcp"
                         : ip->protocol == IpProtocol::kUdp ? "udp"
                                                            : "ip";
  const std::size_t at = ip->header_length;
  if ((ip->protocol != IpProtocol::kTcp && ip->protocol != IpProtocol::kUdp) || packet.size() < at + 4)
    return fmt::format("{} > {} protocol {}", ip->src.to_string(), ip->dst.to_string(),
                       static_cast<unsigned>(ip->protocol));
  return fmt::format("{} > {} {}", endpoint_text({ip->src, load_be<std::uint16_t>(packet, at)}),
                     endpoint_text({ip->dst, load_be<std::uint16_t>(packet, at + 2)}), protocol);
}

std::string icmp_text(Bytes bytes) {
  const auto icmp = wire::parse_icmp(bytes);
  if (!icmp) return "icmp, cut off";
  switch (icmp->type) {
    case wire::IcmpType::kEcho:
    case wire::IcmpType::kEchoReply:
      return fmt::format("icmp {} id {} seq {} ({})",
                         icmp->type == wire::IcmpType::kEcho ? "echo_request" : "echo_reply", icmp->id(),
                         icmp->sequence(), icmp->payload.size());
    case wire::IcmpType::kUnreachable: {
      const std::string mtu =
          icmp->code == wire::kUnreachableFragNeeded ? fmt::format(" mtu {}", icmp->mtu()) : "";
      return fmt::format("icmp unreachable {}{} [{}]", unreachable_name(icmp->code), mtu,
                         quoted_text(icmp->payload));
    }
    case wire::IcmpType::kTimeExceeded:
      return fmt::format("icmp time_exceeded {} [{}]",
                         icmp->code == wire::kTimeExceededTtl ? "ttl" : "reassembly",
                         quoted_text(icmp->payload));
    default:
      return fmt::format("icmp type {} code {} ({})", static_cast<unsigned>(icmp->type), icmp->code,
                         icmp->payload.size());
  }
}

// The header and what follows it. A super-segment of ours that is longer than its total length can say has 0
// there.
struct IpPacket {
  wire::Ipv4Header header;
  Bytes payload;
};

std::optional<IpPacket> parse_ip(Bytes packet) {
  if (packet.size() > wire::kIpv4PacketMax && load_be<std::uint16_t>(packet, 2) == 0) {
    std::array<std::uint8_t, wire::kIpv4HeaderMax> front;
    std::copy_n(packet.begin(), front.size(), front.begin());
    store_be<std::uint16_t>(front, 2, static_cast<std::uint16_t>(wire::kIpv4PacketMax));
    auto ip = wire::parse_ipv4(front);
    if (!ip) return std::nullopt;
    ip->options = {};
    return IpPacket{*ip, packet.subspan(ip->header_length)};
  }
  const auto ip = wire::parse_ipv4(packet);
  if (!ip || packet.size() < ip->total_length) return std::nullopt;
  return IpPacket{*ip, packet.subspan(ip->header_length, ip->payload_length())};
}

}  // namespace

std::string PacketText::line(Bytes frame, link::LinkType type) {
  if (type == link::LinkType::kRawIp) return ip_line(frame);
  const auto ethernet = wire::parse_ethernet(frame);
  if (!ethernet) return fmt::format("a frame of {} bytes, cut off", frame.size());
  const Bytes inner = frame.subspan(wire::kEthernetHeaderLength);
  if (ethernet->ethertype == wire::kEtherTypeIpv4) return ip_line(inner);
  if (ethernet->ethertype == wire::kEtherTypeIpv6) return fmt::format("ipv6 ({})", inner.size());
  if (ethernet->ethertype == wire::kEtherTypeArp) {
    const auto arp = wire::parse_arp(inner);
    return arp ? arp_text(*arp) : "arp, not of IPv4";
  }
  return fmt::format("ethertype 0x{:04x} ({})", ethernet->ethertype, inner.size());
}

std::string PacketText::ip_line(Bytes packet) {
  const auto parsed = parse_ip(packet);
  if (!parsed) return fmt::format("ip, malformed ({})", packet.size());
  const auto& [ip, payload] = *parsed;
  const std::string hosts = fmt::format("{} > {} ", ip.src.to_string(), ip.dst.to_string());
  if (ip.is_fragment() && (ip.fragment_offset != 0 || ip.protocol != IpProtocol::kTcp))
    return fmt::format("{}ip protocol {} id {} fragment {}{} ({})", hosts, static_cast<unsigned>(ip.protocol),
                       ip.id, ip.fragment_offset, ip.more_fragments ? "+" : "", payload.size());
  switch (ip.protocol) {
    case IpProtocol::kIcmp:
      return hosts + icmp_text(payload);
    case IpProtocol::kUdp:
      if (const auto udp = wire::parse_udp(payload))
        return fmt::format("{} > {} udp ({})", endpoint_text({ip.src, udp->src_port}),
                           endpoint_text({ip.dst, udp->dst_port}), udp->payload.size());
      return hosts + "udp, malformed";
    case IpProtocol::kTcp: {
      if (payload.size() < wire::kTcpHeaderMin) return hosts + "tcp, malformed";
      const Endpoint from{ip.src, load_be<std::uint16_t>(payload, 0)};
      const Endpoint to{ip.dst, load_be<std::uint16_t>(payload, 2)};
      return fmt::format("{} > {} {}", endpoint_text(from), endpoint_text(to), tcp_text(from, to, payload));
    }
    default:
      return fmt::format("{}ip protocol {} ({})", hosts, static_cast<unsigned>(ip.protocol), payload.size());
  }
}

std::string PacketText::tcp_text(const Endpoint& from, const Endpoint& to, Bytes bytes) {
  const auto segment = wire::parse_tcp(bytes);
  if (!segment) return "tcp, malformed";
  if (first_.size() >= kFlowsMax) first_.clear();
  const bool has_ack = segment->has(wire::kAck);
  if (segment->has(wire::kSyn)) {
    first_[direction(from, to)] = segment->seq;
    // A new connection: what the other side once counted from is over, unless this answers it.
    if (!has_ack) first_.erase(direction(to, from));
  }
  const auto mine = first_.try_emplace(direction(from, to), segment->seq).first;
  const auto theirs = has_ack ? first_.try_emplace(direction(to, from), segment->ack).first : first_.end();
  wire::SegmentTextBases bases;
  bases.seq = mine->second;
  if (theirs != first_.end()) bases.ack = theirs->second;
  return wire::format_segment(*segment, bases);
}

}  // namespace tapir::cli
