// SPDX-License-Identifier: Apache-2.0
#include "sim/drill/packets.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sim/drill/symbols.h"
#include "tcp/md5.h"
#include "wire/checksum.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/segment_text.h"
#include "wire/tcp_segment.h"

namespace tapir::sim::drill {

namespace {

// packetdrill's packets come from next door.
constexpr std::uint8_t kInjectedTtl = 255;

// Bytes for segments that only need a length to be written down.
constexpr std::array<std::uint8_t, 65536> kZeros{};
Bytes zeros(std::size_t count) { return Bytes(kZeros).first(std::min(count, kZeros.size())); }

std::uint32_t add(std::uint32_t a, std::uint32_t b) { return a + b; }  // wraps

// Moves the SACK blocks of a raw option list by `offset`.
void shift_sack(MutableBytes options, std::uint32_t offset) {
  wire::TcpOptionReader reader(options);
  while (const auto item = reader.next()) {
    if (item->kind != wire::kTcpOptionSack || item->data.size() % 8 != 0) continue;
    for (std::size_t at = item->offset + 2; at < item->offset + 2 + item->data.size(); at += 4)
      store_be(options, at, add(load_be<std::uint32_t>(options, at), offset));
  }
}

std::uint8_t tos_of(const IpSpec& ip) {
  if (ip.tos) return *ip.tos;
  return static_cast<std::uint8_t>(ip.ecn);
}

wire::Ipv4Header ip_header(const IpAddress& from, const IpAddress& to, IpProtocol protocol,
                           std::size_t payload) {
  wire::Ipv4Header header;
  header.total_length = static_cast<std::uint16_t>(wire::kIpv4HeaderMin + payload);
  header.ttl = kInjectedTtl;
  header.protocol = protocol;
  header.src = from;
  header.dst = to;
  return header;
}

// IP header, TCP header with raw options, `payload` zeros; both checksums.
std::vector<std::uint8_t> emit(wire::Ipv4Header ip, const wire::TcpSegment& tcp, Bytes options,
                               std::size_t payload) {
  const std::size_t tcp_length = wire::kTcpHeaderMin + (options.size() + 3) / 4 * 4 + payload;
  ip.total_length = static_cast<std::uint16_t>(wire::kIpv4HeaderMin + tcp_length);
  std::vector<std::uint8_t> packet(wire::kIpv4HeaderMin + tcp_length);
  wire::emit_ipv4(ip, packet);
  const MutableBytes segment = MutableBytes(packet).subspan(wire::kIpv4HeaderMin);
  wire::emit_tcp_raw(tcp, options, segment);
  store_be(segment, wire::kTcpChecksumOffset,
           wire::transport_checksum(ip.src, ip.dst, IpProtocol::kTcp, segment));
  return packet;
}

std::string ip_text(const IpSpec& ip) {
  std::string text;
  if (ip.tos) text += fmt::format("[tos {:#x}] ", *ip.tos);
  if (ip.ecn_rule == IpSpec::EcnRule::kEct01) {
    text += "[ect01] ";
  } else if (ip.ecn_rule == IpSpec::EcnRule::kExact) {
    static constexpr std::string_view kNames[] = {"[noecn] ", "[ect1] ", "[ect0] ", "[ce] "};
    text += kNames[static_cast<std::size_t>(ip.ecn)];
  }
  if (ip.ttl) text += fmt::format("(ttl {}) ", *ip.ttl);
  return text;
}

std::string segment_text(std::uint16_t flags, std::uint32_t seq, std::uint32_t ack,
                         std::optional<std::uint16_t> window, std::uint16_t urgent, Bytes options,
                         std::uint32_t length) {
  wire::TcpSegment segment;
  segment.flags = flags;
  segment.seq = SeqNum(seq);
  segment.ack = SeqNum(ack);
  segment.window = window.value_or(0);
  segment.urgent = urgent;
  segment.option_bytes = options;
  segment.payload = zeros(length);
  return wire::format_segment(segment, {}, window.has_value());
}

std::optional<std::size_t> digest_at(Bytes options) {
  wire::TcpOptionReader reader(options);
  while (const auto item = reader.next())
    if (item->kind == wire::kTcpOptionMd5 && item->data.size() == kValidDigest.size())
      return item->offset + 2;
  return std::nullopt;
}

// RFC 2385's digest of a whole segment, with --tcp_md5_secret.
tcp::Md5Digest digest_of(const IpAddress& from, const IpAddress& to, Bytes segment, std::size_t header,
                         const Settings& settings) {
  tcp::Md5Key key;
  key.length = static_cast<std::uint8_t>(std::min(settings.md5_secret.size(), tcp::kMd5KeyBytesMax));
  std::copy_n(settings.md5_secret.begin(), key.length, key.bytes.begin());
  const Bytes payload = segment.subspan(header);
  return tcp::md5_signature(from, to, segment.first(header), {&payload, 1}, key);
}

// In place of kValidDigest in a built packet: the digest; then the checksum again.
void sign(std::vector<std::uint8_t>& packet, const wire::Ipv4Header& ip, Bytes options,
          const Settings& settings) {
  const auto at = digest_at(options);
  if (!at || !std::ranges::equal(options.subspan(*at, kValidDigest.size()), kValidDigest)) return;
  const MutableBytes segment = MutableBytes(packet).subspan(wire::kIpv4HeaderMin);
  const tcp::Md5Digest digest =
      digest_of(ip.src, ip.dst, segment, wire::kTcpHeaderMin + (options.size() + 3) / 4 * 4, settings);
  std::ranges::copy(digest, segment.begin() + static_cast<std::ptrdiff_t>(wire::kTcpHeaderMin + *at));
  store_be(segment, wire::kTcpChecksumOffset, std::uint16_t{0});
  store_be(segment, wire::kTcpChecksumOffset,
           wire::transport_checksum(ip.src, ip.dst, IpProtocol::kTcp, segment));
}

}  // namespace

std::optional<std::size_t> timestamp_at(Bytes options) {
  wire::TcpOptionReader reader(options);
  while (const auto item = reader.next())
    if (item->kind == wire::kTcpOptionTimestamps && item->data.size() == 8) return item->offset + 2;
  return std::nullopt;
}

std::expected<std::vector<std::uint8_t>, std::string> build_segment(const TcpSpec& spec, const IpSpec& ip,
                                                                    const Connection& connection,
                                                                    const Settings& settings) {
  const bool syn = (spec.flags & wire::kSyn) != 0;
  const bool ack = (spec.flags & wire::kAck) != 0;
  wire::TcpSegment tcp;
  tcp.src_port = connection.tuple.remote.port;
  tcp.dst_port = connection.tuple.local.port;
  tcp.flags = spec.flags;
  tcp.seq = SeqNum(spec.seq + connection.remote_offset(syn));
  if (ack) tcp.ack = SeqNum(spec.ack + connection.local_offset(syn));
  tcp.window = spec.window.value_or(0);
  tcp.urgent = spec.urgent;

  wire::TcpOptionWriter options = spec.options;
  shift_sack(options.mutable_bytes(), connection.local_offset(syn));
  if (const auto at = timestamp_at(options.bytes()); at && ack) {
    const auto echo = load_be<std::uint32_t>(options.bytes(), *at + 4);
    const auto known = connection.timestamps.find(echo);
    if (known != connection.timestamps.end())
      store_be(options.mutable_bytes(), *at + 4, known->second);
    else if (settings.ecr_scaled && connection.timestamp_offset)
      store_be(options.mutable_bytes(), *at + 4, add(echo, *connection.timestamp_offset));
    else
      return std::unexpected(fmt::format("TS ecr {}: no segment of ours with that TS val came before", echo));
  }
  if (spec.length + options.bytes().size() + 40 > 65535)
    return std::unexpected("the segment does not fit an IP packet");

  wire::Ipv4Header header =
      ip_header(connection.tuple.remote.address, connection.tuple.local.address, IpProtocol::kTcp, 0);
  header.tos = tos_of(ip);
  if (ip.ttl) header.ttl = *ip.ttl;
  std::vector<std::uint8_t> packet = emit(header, tcp, options.bytes(), spec.length);
  sign(packet, header, options.bytes(), settings);
  return packet;
}

std::vector<std::uint8_t> build_icmp(const IcmpSpec& spec, const Connection& connection,
                                     const Settings& settings) {
  wire::IcmpMessage icmp;
  icmp.type = static_cast<wire::IcmpType>(spec.type);
  icmp.code = spec.code;
  icmp.rest = spec.mtu;

  // RFC 792: the quoted IP header and 8 bytes; its length field tells of the whole segment.
  constexpr std::size_t kQuotedBytes = 8;
  wire::Ipv4Header quoted = ip_header(connection.tuple.local.address, connection.tuple.remote.address,
                                      IpProtocol::kTcp, wire::kTcpHeaderMin + spec.quoted_length);
  const std::size_t icmp_length = wire::kIcmpHeaderLength + wire::kIpv4HeaderMin + kQuotedBytes;
  std::vector<std::uint8_t> packet(wire::kIpv4HeaderMin + icmp_length);
  wire::emit_ipv4(ip_header(settings.remote, connection.tuple.local.address, IpProtocol::kIcmp, icmp_length),
                  packet);
  const MutableBytes message = MutableBytes(packet).subspan(wire::kIpv4HeaderMin);
  wire::emit_icmp(icmp, message);
  wire::emit_ipv4(quoted, message.subspan(wire::kIcmpHeaderLength));
  const MutableBytes tcp = message.subspan(wire::kIcmpHeaderLength + wire::kIpv4HeaderMin);
  store_be(tcp, 0, connection.tuple.local.port);
  store_be(tcp, 2, connection.tuple.remote.port);
  store_be(tcp, 4, add(spec.quoted_seq, connection.local_offset(false)));
  wire::seal_icmp(message);
  return packet;
}

std::vector<std::uint8_t> build_reset(const Connection& connection) {
  wire::TcpSegment tcp;
  tcp.src_port = connection.tuple.remote.port;
  tcp.dst_port = connection.tuple.local.port;
  tcp.flags = wire::kRst | wire::kAck;
  tcp.seq = connection.peer_next.value_or(connection.live_remote_isn + 1);
  tcp.ack = connection.live_local_isn + 1;
  return emit(ip_header(connection.tuple.remote.address, connection.tuple.local.address, IpProtocol::kTcp, 0),
              tcp, {}, 0);
}

std::optional<SeenSegment> read_segment(const SentPacket& packet, const Settings& settings) {
  const auto ip = wire::parse_ipv4(packet.bytes);
  if (!ip || ip->protocol != IpProtocol::kTcp || ip->total_length > packet.bytes.size()) return std::nullopt;
  const Bytes body = Bytes(packet.bytes).subspan(ip->header_length, ip->payload_length());
  const auto tcp = wire::parse_tcp(body);
  if (!tcp) return std::nullopt;
  SeenSegment seen;
  seen.at = packet.at;
  seen.order = packet.order;
  seen.tos = ip->tos;
  seen.ttl = ip->ttl;
  seen.tuple = {{ip->src, tcp->src_port}, {ip->dst, tcp->dst_port}};
  seen.flags = tcp->flags;
  seen.reserved = tcp->reserved;
  seen.seq = tcp->seq.value();
  seen.ack = tcp->ack.value();
  seen.window = tcp->window;
  seen.urgent = tcp->urgent;
  wire::TcpOptionReader reader(tcp->option_bytes);
  while (const auto item = reader.next()) seen.options.add(item->kind, item->data);
  if (const auto at = digest_at(seen.options.bytes()); at && !settings.md5_secret.empty()) {
    const MutableBytes place = seen.options.mutable_bytes().subspan(*at, kValidDigest.size());
    if (std::ranges::equal(place, digest_of(ip->src, ip->dst, body, tcp->header_length, settings)))
      std::ranges::copy(kValidDigest, place.begin());
  }
  seen.length = static_cast<std::uint32_t>(tcp->payload.size());
  seen.zero_payload =
      std::all_of(tcp->payload.begin(), tcp->payload.end(), [](std::uint8_t byte) { return byte == 0; });
  seen.segment_size = packet.segment_size;
  if (!wire::verify_ipv4_checksum(Bytes(packet.bytes).first(ip->header_length)))
    seen.malformed = "the IP header's checksum is wrong";
  else if (ip->total_length != packet.bytes.size())
    seen.malformed =
        fmt::format("the IP header says {} bytes, the packet has {}", ip->total_length, packet.bytes.size());
  else if (ip->header_length != wire::kIpv4HeaderMin)
    seen.malformed = "the IP header has options";
  else if (reader.malformed())
    seen.malformed = "a TCP option has a wrong length";
  else if (wire::transport_checksum(ip->src, ip->dst, IpProtocol::kTcp, body) != 0)
    seen.malformed = "the TCP checksum is wrong";
  return seen;
}

SeenSegment to_script(SeenSegment segment, const Connection& connection) {
  const bool syn = (segment.flags & wire::kSyn) != 0;
  segment.seq -= connection.local_offset(syn);
  if ((segment.flags & wire::kAck) != 0) segment.ack -= connection.remote_offset(syn);
  shift_sack(segment.options.mutable_bytes(), 0U - connection.remote_offset(syn));
  if (const auto at = timestamp_at(segment.options.bytes()); at && connection.timestamp_offset)
    store_be(segment.options.mutable_bytes(), *at,
             load_be<std::uint32_t>(segment.options.bytes(), *at) - *connection.timestamp_offset);
  return segment;
}

SeenSegment take_front(SeenSegment& segment, std::uint32_t bytes) {
  SeenSegment front = segment;
  front.length = bytes;
  front.flags = static_cast<std::uint16_t>(front.flags & ~(wire::kPsh | wire::kFin));
  if (bytes <= segment.segment_size) front.segment_size = 0;
  segment.seq += bytes;
  segment.length -= bytes;
  segment.flags = static_cast<std::uint16_t>(segment.flags & ~wire::kCwr);
  if (segment.length <= segment.segment_size) segment.segment_size = 0;
  return front;
}

bool merge(SeenSegment& segment, const SeenSegment& next) {
  constexpr std::uint16_t kMayDiffer = wire::kPsh | wire::kFin;
  if (next.tuple != segment.tuple || next.seq != segment.seq + segment.length ||
      (next.flags & ~kMayDiffer) != (segment.flags & ~kMayDiffer) ||
      (segment.flags & (wire::kFin | wire::kSyn | wire::kRst)) != 0 || next.ack != segment.ack ||
      next.tos != segment.tos || next.ttl != segment.ttl ||
      !std::ranges::equal(next.options.bytes(), segment.options.bytes()) || segment.length == 0 ||
      next.length == 0)
    return false;
  segment.length += next.length;
  // PSH is the last piece's: Linux sets it on every super-segment, whatever follows.
  segment.flags = next.flags;
  segment.window = next.window;
  segment.zero_payload = segment.zero_payload && next.zero_payload;
  segment.segment_size = 0;
  if (segment.malformed.empty()) segment.malformed = next.malformed;
  return true;
}

std::optional<std::string> difference(const TcpSpec& expected, const IpSpec& ip, const SeenSegment& seen) {
  if (!seen.malformed.empty()) return seen.malformed;
  if (ip.tos && seen.tos != *ip.tos) return fmt::format("tos: expected {:#x}, got {:#x}", *ip.tos, seen.tos);
  const auto ecn = static_cast<Ecn>(seen.tos & 3);
  if (ip.ecn_rule == IpSpec::EcnRule::kExact && ecn != ip.ecn)
    return fmt::format("ECN bits: expected {}, got {}", static_cast<int>(ip.ecn), static_cast<int>(ecn));
  if (ip.ecn_rule == IpSpec::EcnRule::kEct01 && ecn != Ecn::kEct0 && ecn != Ecn::kEct1)
    return fmt::format("ECN bits: expected ECT(0) or ECT(1), got {}", static_cast<int>(ecn));
  if (ip.ttl && seen.ttl != *ip.ttl) return fmt::format("ttl: expected {}, got {}", *ip.ttl, seen.ttl);

  if (expected.flags != seen.flags)
    return fmt::format("flags: expected {}, got {}", wire::format_tcp_flags(expected.flags),
                       wire::format_tcp_flags(seen.flags));
  if (seen.reserved != 0)
    return fmt::format("reserved bits of the TCP header: expected 0, got {}", seen.reserved);
  if (expected.seq != seen.seq)
    return fmt::format("sequence number: expected {}, got {}", expected.seq, seen.seq);
  if (expected.length != seen.length)
    return fmt::format("length of the payload: expected {}, got {}", expected.length, seen.length);
  if (expected.ack != seen.ack) return fmt::format("ack: expected {}, got {}", expected.ack, seen.ack);
  if (expected.window && *expected.window != seen.window)
    return fmt::format("window: expected {}, got {}", *expected.window, seen.window);
  if (expected.urgent != seen.urgent)
    return fmt::format("urgent pointer: expected {}, got {}", expected.urgent, seen.urgent);
  if (expected.check_options) {
    // Timestamps are another question: neither value nor echo is compared here.
    wire::TcpOptionWriter wanted = expected.options;
    wire::TcpOptionWriter got = seen.options;
    for (wire::TcpOptionWriter* list : {&wanted, &got})
      if (const auto at = timestamp_at(list->bytes())) store_be(list->mutable_bytes(), *at, std::uint64_t{0});
    if (!std::ranges::equal(wanted.bytes(), got.bytes()))
      return fmt::format("options: expected <{}>, got <{}>",
                         wire::format_tcp_options(expected.options.bytes()),
                         wire::format_tcp_options(seen.options.bytes()));
  }
  if (!seen.zero_payload) return "payload: expected zeros, got other bytes";
  return std::nullopt;
}

std::string to_text(const TcpSpec& spec, const IpSpec& ip) {
  std::string text = ip_text(ip) + segment_text(spec.flags, spec.seq, spec.ack, spec.window, spec.urgent,
                                                spec.options.bytes(), spec.length);
  return spec.check_options ? text : text + " <...>";
}

std::string to_text(const IcmpSpec& spec) {
  std::string text = "icmp " + icmp_names(spec.type, spec.code);
  if (spec.mtu != 0) text += fmt::format(" mtu {}", spec.mtu);
  return text + fmt::format(" [{}:{}({})]", spec.quoted_seq, add(spec.quoted_seq, spec.quoted_length),
                            spec.quoted_length);
}

std::string to_text(const SeenSegment& seen, bool with_window) {
  return segment_text(seen.flags, seen.seq, seen.ack, with_window ? std::optional(seen.window) : std::nullopt,
                      seen.urgent, seen.options.bytes(), seen.length);
}

}  // namespace tapir::sim::drill
