// SPDX-License-Identifier: Apache-2.0
#include "cli/packet_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/tcp_segment.h"
#include "wire/udp.h"

namespace tapir::cli {
namespace {

const IpAddress kOurs = IpAddress::v4(10, 0, 0, 1);
const IpAddress kTheirs = IpAddress::v4(10, 0, 0, 2);

std::vector<std::uint8_t> packet(const IpAddress& from, const IpAddress& to, IpProtocol protocol,
                                 const std::vector<std::uint8_t>& payload) {
  wire::Ipv4Header header;
  header.src = from;
  header.dst = to;
  header.protocol = protocol;
  header.total_length = static_cast<std::uint16_t>(20 + payload.size());
  std::vector<std::uint8_t> bytes(20);
  wire::emit_ipv4(header, bytes);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

std::vector<std::uint8_t> tcp(bool ours, std::uint32_t seq, std::uint32_t ack, std::uint16_t flags,
                              std::size_t size) {
  wire::TcpSegment segment;
  segment.src_port = ours ? 7 : 4000;
  segment.dst_port = ours ? 4000 : 7;
  segment.seq = SeqNum(seq);
  segment.ack = SeqNum(ack);
  segment.flags = flags;
  segment.window = 100;
  std::vector<std::uint8_t> bytes(wire::kTcpHeaderMax);
  bytes.resize(wire::emit_tcp(segment, bytes) + size);
  return packet(ours ? kOurs : kTheirs, ours ? kTheirs : kOurs, IpProtocol::kTcp, bytes);
}

TEST(PacketText, ASuperSegmentBeyondTheLengthFieldIsShownWhole) {
  auto bytes = tcp(true, 1, 1, wire::kAck | wire::kPsh, 150'000);
  store_be<std::uint16_t>(bytes, 2, std::uint16_t{0});
  PacketText text;
  EXPECT_EQ(text.line(bytes, link::LinkType::kRawIp),
            "10.0.0.1:7 > 10.0.0.2:4000 P. 0:150000(150000) ack 0 win 100");
  bytes.resize(60'000);
  EXPECT_EQ(text.line(bytes, link::LinkType::kRawIp), "ip, malformed (60000)");
}

TEST(PacketText, CountsSequenceNumbersFromTheFirst) {
  PacketText text;
  const auto line = [&text](const std::vector<std::uint8_t>& bytes) {
    return text.line(bytes, link::LinkType::kRawIp);
  };
  using enum wire::TcpFlag;
  EXPECT_EQ(line(tcp(false, 5000, 0, kSyn, 0)), "10.0.0.2:4000 > 10.0.0.1:7 S 0:0(0) win 100");
  EXPECT_EQ(line(tcp(true, 0xffffffff, 5001, kSyn | kAck, 0)),
            "10.0.0.1:7 > 10.0.0.2:4000 S. 0:0(0) ack 1 win 100");
  EXPECT_EQ(line(tcp(false, 5001, 0, kAck | kPsh, 5)), "10.0.0.2:4000 > 10.0.0.1:7 P. 1:6(5) ack 1 win 100");
  EXPECT_EQ(line(tcp(true, 0, 5006, kAck | kFin, 0)), "10.0.0.1:7 > 10.0.0.2:4000 F. 1:1(0) ack 6 win 100");
}

TEST(PacketText, OfOtherProtocols) {
  PacketText text;
  const auto line = [&text](const std::vector<std::uint8_t>& bytes,
                            link::LinkType type = link::LinkType::kRawIp) { return text.line(bytes, type); };
  std::vector<std::uint8_t> datagram(8 + 12);
  wire::emit_udp({.src_port = 9, .dst_port = 4000, .length = 20, .checksum = 0, .payload = {}}, datagram);
  const auto udp = packet(kOurs, kTheirs, IpProtocol::kUdp, datagram);
  EXPECT_EQ(line(udp), "10.0.0.1:9 > 10.0.0.2:4000 udp (12)");

  std::vector<std::uint8_t> icmp(8 + 56);
  wire::emit_icmp(wire::IcmpMessage::echo(false, 4, 1), icmp);
  EXPECT_EQ(line(packet(kTheirs, kOurs, IpProtocol::kIcmp, icmp)),
            "10.0.0.2 > 10.0.0.1 icmp echo_request id 4 seq 1 (56)");
  icmp.resize(8);
  wire::emit_icmp(wire::IcmpMessage::unreachable(wire::kUnreachablePort), icmp);
  icmp.insert(icmp.end(), udp.begin(), udp.end());
  EXPECT_EQ(line(packet(kTheirs, kOurs, IpProtocol::kIcmp, icmp)),
            "10.0.0.2 > 10.0.0.1 icmp unreachable port_unreachable [10.0.0.1:9 > 10.0.0.2:4000 udp]");

  std::vector<std::uint8_t> arp(14 + wire::kArpLength);
  wire::emit_ethernet({wire::kBroadcastMac, {2, 0, 0, 0, 0, 2}, wire::kEtherTypeArp}, arp);
  wire::emit_arp({.operation = wire::ArpOperation::kRequest,
                  .sender_mac = {2, 0, 0, 0, 0, 2},
                  .sender_ip = kTheirs,
                  .target_mac = {},
                  .target_ip = kOurs},
                 MutableBytes(arp).subspan(14));
  EXPECT_EQ(line(arp, link::LinkType::kEthernet), "arp who-has 10.0.0.1 tell 10.0.0.2");
}

// Any cut, and any byte changed, has a line.
TEST(PacketText, OfWhatIsCutOff) {
  PacketText text;
  std::vector<std::uint8_t> frame(14);
  wire::emit_ethernet({{}, {}, wire::kEtherTypeIpv4}, frame);
  const auto inner = tcp(false, 1, 0, wire::kSyn, 3);
  frame.insert(frame.end(), inner.begin(), inner.end());
  for (std::size_t size = 0; size <= frame.size(); ++size)
    EXPECT_FALSE(text.line(Bytes(frame).first(size), link::LinkType::kEthernet).empty());
  for (std::size_t at = 0; at < frame.size(); ++at) {
    for (const int value : {0, 1, 15, 127, 255}) {
      std::vector<std::uint8_t> changed = frame;
      changed[at] = static_cast<std::uint8_t>(value);
      EXPECT_FALSE(text.line(changed, link::LinkType::kEthernet).empty());
    }
  }
}

}  // namespace
}  // namespace tapir::cli
