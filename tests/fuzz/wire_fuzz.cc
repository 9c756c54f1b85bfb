// SPDX-License-Identifier: Apache-2.0
// Every parser of wire/ over arbitrary bytes; what was parsed and can be written again must be the same.
#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/input.h"
#include "link/impair_config.h"
#include "wire/arp.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/igmp.h"
#include "wire/ipv4.h"
#include "wire/segment_text.h"
#include "wire/tcp_options.h"
#include "wire/tcp_segment.h"
#include "wire/transport_locator.h"
#include "wire/udp.h"
#include "wire/vlan.h"
#include "wire/vnet_hdr.h"

namespace tapir::fuzz {
namespace {

bool same(Bytes a, Bytes b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

void link_headers(Bytes bytes) {
  std::array<std::uint8_t, 64> out{};
  if (const auto header = wire::parse_ethernet(bytes)) {
    const std::size_t size = wire::emit_ethernet(*header, out);
    require(same(Bytes(out).first(size), bytes.first(size)), "Ethernet is written as it was read");
  }
  if (const auto tag = wire::parse_vlan(bytes)) {
    const std::size_t size = wire::emit_vlan(*tag, out);
    require(same(Bytes(out).first(size), bytes.first(size)), "a VLAN tag is written as it was read");
  }
  if (const auto packet = wire::parse_arp(bytes)) {
    const std::size_t size = wire::emit_arp(*packet, out);
    require(same(Bytes(out).first(size), bytes.first(size)), "ARP is written as it was read");
  }
}

void igmp(Bytes bytes) {
  if (const auto message = wire::parse_igmp(bytes)) {
    for (std::size_t i = 0; i < message->sources.size(); ++i)
      require(message->sources[i].is_v4(), "a source of an IGMP query is an IPv4 address");
    require(message->sources.size() * 4 <= bytes.size(), "an IGMP query has no more sources than bytes");
  }
  wire::IgmpRecordReader reader(bytes);
  std::size_t count = 0;
  while (const auto record = reader.next()) {
    ++count;
    require(record->sources.size() * 4 <= bytes.size(), "an IGMP record has no more sources than bytes");
  }
  require(count * wire::kIgmpRecordLength <= bytes.size(), "IGMP records take bytes");
}

void ipv4(Bytes bytes) {
  const auto header = wire::parse_ipv4(bytes);
  if (!header) return;
  require(header->header_length <= bytes.size() && header->total_length >= header->header_length,
          "IPv4 lengths lie inside the packet");
  std::array<std::uint8_t, wire::kIpv4HeaderMax> out{};
  const std::size_t size = wire::emit_ipv4(*header, out);
  require(size == header->header_length, "an IPv4 header keeps its length");
  require(wire::verify_ipv4_checksum(Bytes(out).first(size)), "a written IPv4 header has its checksum");
  std::vector<std::uint8_t> copy(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
  wire::refresh_ipv4_checksum(copy);
  require(same(copy, Bytes(out).first(size)), "IPv4 is written as it was read");
  wire::Ipv4OptionReader reader(header->options);
  std::size_t count = 0;
  while (reader.next()) require(++count <= wire::kIpv4HeaderMax, "IPv4 options end");
}

void transport(Bytes bytes) {
  if (const auto message = wire::parse_icmp(bytes)) {
    std::vector<std::uint8_t> copy(bytes.begin(), bytes.end());
    wire::seal_icmp(copy);
    require(wire::internet_checksum(copy) == 0, "a sealed ICMP message sums to 0");
    (void)message->is_error();
  }
  if (const auto datagram = wire::parse_udp(bytes))
    require(datagram->payload.size() + wire::kUdpHeaderLength <= bytes.size(), "UDP lies inside");
  const auto segment = wire::parse_tcp(bytes);
  if (!segment) return;
  require(segment->header_length + segment->payload.size() == bytes.size(),
          "a TCP segment is its header and payload");
  const bool syn = segment->has(wire::kSyn);
  std::array<std::uint8_t, wire::kTcpHeaderMax> out{};
  const std::size_t raw = wire::emit_tcp_raw(*segment, segment->option_bytes, out);
  const auto again = wire::parse_tcp(Bytes(out).first(raw));
  require(again && again->options == segment->options && same(again->option_bytes, segment->option_bytes),
          "raw options come back");
  if (wire::tcp_options_length(segment->options, syn) <= wire::kTcpOptionBytesMax) {
    const auto written = wire::parse_tcp(Bytes(out).first(wire::emit_tcp(*segment, out)));
    require(written && written->options == segment->options && written->flags == segment->flags &&
                written->seq == segment->seq,
            "TCP options come back");
  }
  (void)wire::format_segment(*segment);
}

void offloads(Bytes bytes) {
  const auto header = wire::parse_vnet(bytes, wire::kVnetHeaderShort);
  if (!header) return;
  std::vector<std::uint8_t> frame(bytes.begin() + wire::kVnetHeaderShort, bytes.end());
  for (const std::size_t network : {std::size_t{0}, wire::kEthernetHeaderLength}) {
    if (const auto where = wire::locate_transport(frame, network))
      require(where->network < where->transport && where->payload <= where->end &&
                  where->end <= frame.size() && where->checksum_field() + 2 <= frame.size(),
              "headers in their order");
    const auto verdict = wire::validate_vnet(*header, frame, network);
    if (verdict && (verdict->checksum == wire::VnetChecksum::kPartial ||
                    verdict->checksum == wire::VnetChecksum::kElsewhere))
      wire::complete_checksum(frame, verdict->checksum_start, verdict->checksum_offset);
  }
}

void text(Bytes bytes) {
  const std::string_view words(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  (void)wire::parse_segment_text(words);
  (void)wire::parse_tcp_option_list(words);
  (void)wire::parse_mac(words);
  (void)link::parse_impair(words);
}

}  // namespace
}  // namespace tapir::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const tapir::Bytes bytes(data, size);
  tapir::fuzz::link_headers(bytes);
  tapir::fuzz::ipv4(bytes);
  tapir::fuzz::igmp(bytes);
  tapir::fuzz::transport(bytes);
  tapir::fuzz::offloads(bytes);
  tapir::fuzz::text(bytes);
  return 0;
}
