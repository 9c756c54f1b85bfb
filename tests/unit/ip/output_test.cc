// SPDX-License-Identifier: Apache-2.0
#include "ip/output.h"

#include <set>

#include "ip/fragmenter.h"
#include "unit/ip/fixture.h"
#include "wire/checksum.h"
#include "wire/tcp_segment.h"
#include "wire/udp.h"

namespace tapir::ip {
namespace {

using trace::Counter;

struct OutputTest : ::testing::Test, Host {
  Ipv4Output output{kKey, Rng(1), knobs, counters};
  OutgoingFrame packet;
  Data payload;

  // A UDP datagram 1000 -> 53, its checksum requested.
  void make(std::size_t payload_size) {
    payload = pattern(payload_size);
    packet.clear();
    wire::UdpDatagram header{1000, 53, static_cast<std::uint16_t>(8 + payload_size), 0, {}};
    wire::emit_udp(header, packet.append_header(8));
    packet.add_payload(payload);
    packet.checksum = {true, 0, wire::kUdpChecksumOffset};
  }
  static Ipv4Fields udp(PathMtuDiscovery discovery = PathMtuDiscovery::kWant) {
    Ipv4Fields fields;
    fields.protocol = IpProtocol::kUdp;
    fields.discovery = discovery;
    return fields;
  }
  wire::Ipv4Header header() const { return *wire::parse_ipv4(packet.header()); }
};

TEST_F(OutputTest, HeaderFields) {
  make(100);
  packet.ecn = Ecn::kEct0;
  Ipv4Fields fields = udp();
  fields.tos = 0xb9;  // its ECN bits do not count
  EXPECT_EQ(output.push_header(packet, *path_to(kPeer), fields, kStart), OutputVerdict::kSend);
  const auto sent = header();
  EXPECT_EQ(sent.src, kUs);
  EXPECT_EQ(sent.dst, kPeer);
  EXPECT_EQ(sent.tos, 0xb8 | 2);
  EXPECT_EQ(sent.total_length, 128);
  EXPECT_EQ(sent.ttl, 64);
  EXPECT_EQ(sent.protocol, IpProtocol::kUdp);
  EXPECT_TRUE(sent.dont_fragment);
  EXPECT_EQ(sent.id, 0);  // atomic (RFC 6864 §4.1)
  EXPECT_TRUE(wire::verify_ipv4_checksum(packet.header().first(20)));
  EXPECT_EQ(packet.network_offset, 0);
  EXPECT_EQ(packet.transport_offset, 20);
  EXPECT_EQ(packet.interface, tap);
  EXPECT_EQ(packet.checksum.start, 20);
  EXPECT_EQ(count(Counter::kIpOutRequests), 1u);
  EXPECT_EQ(count(Counter::kIpExtOutOctets), 128u);
}

TEST_F(OutputTest, PseudoHeaderThenCompletedChecksumIsRight) {
  for (std::size_t size : {0u, 1u, 99u, 1400u}) {
    make(size);
    ASSERT_TRUE(output.push_header(packet, *path_to(kPeer), udp(), kStart));
    complete_checksum(packet);
    EXPECT_FALSE(packet.checksum.wanted);
    const Data bytes = flat(packet);
    EXPECT_EQ(wire::transport_checksum(kUs, kPeer, IpProtocol::kUdp, Bytes(bytes).subspan(20)), 0);
  }
}

TEST_F(OutputTest, TtlOfTheSocketWinsOverThePaths) {
  make(10);
  Ipv4Fields fields = udp();
  fields.hop_limit = 3;
  ASSERT_TRUE(output.push_header(packet, *path_to(kPeer), fields, kStart));
  EXPECT_EQ(header().ttl, 3);
}

TEST_F(OutputTest, TooBigIsFragmentedOrAnError) {
  const struct {
    PathMtuDiscovery discovery;
    bool error;
  } cases[] = {{PathMtuDiscovery::kDont, false},     {PathMtuDiscovery::kWant, false},
               {PathMtuDiscovery::kDo, true},        {PathMtuDiscovery::kProbe, true},
               {PathMtuDiscovery::kInterface, true}, {PathMtuDiscovery::kOmit, false}};
  for (const auto& [discovery, error] : cases) {
    make(3000);
    const auto result = output.push_header(packet, *path_to(kPeer), udp(discovery), kStart);
    ASSERT_EQ(result.has_value(), !error) << static_cast<int>(discovery);
    if (error) {
      EXPECT_EQ(result.error().kind, DeliveryErrorKind::kFragmentationNeeded);
      EXPECT_FALSE(result.error().from_icmp);
      EXPECT_EQ(result.error().mtu, 1500u);
      EXPECT_EQ(result.error().quoted.local, (Endpoint{kUs, 1000}));
      EXPECT_EQ(result.error().quoted.remote, (Endpoint{kPeer, 53}));
      continue;
    }
    EXPECT_EQ(*result, OutputVerdict::kFragment);
    EXPECT_FALSE(header().dont_fragment);
    EXPECT_FALSE(packet.checksum.wanted);
    const Data bytes = flat(packet);
    EXPECT_EQ(wire::transport_checksum(kUs, kPeer, IpProtocol::kUdp, Bytes(bytes).subspan(20)), 0);
  }
}

TEST_F(OutputTest, ExactlyTheMtuFits) {
  make(1472);
  EXPECT_EQ(output.push_header(packet, *path_to(kPeer), udp(PathMtuDiscovery::kDo), kStart),
            OutputVerdict::kSend);
  make(1473);
  EXPECT_FALSE(output.push_header(packet, *path_to(kPeer), udp(PathMtuDiscovery::kDo), kStart).has_value());
}

TEST_F(OutputTest, LearntMtuCountsButNotForProbes) {
  path_mtu.update(kPeer, 1000, 1500, kStart);
  make(1200);
  EXPECT_EQ(output.push_header(packet, *path_to(kPeer), udp(PathMtuDiscovery::kDo), kStart).error().mtu,
            1000u);
  make(1200);
  EXPECT_EQ(output.push_header(packet, *path_to(kPeer), udp(PathMtuDiscovery::kProbe), kStart),
            OutputVerdict::kSend);
  EXPECT_TRUE(header().dont_fragment);
}

TEST_F(OutputTest, LockedPathSendsWithoutDf) {
  path_mtu.update(kPeer, 68, 1500, kStart);
  make(100);
  ASSERT_TRUE(output.push_header(packet, *path_to(kPeer), udp(), kStart));
  EXPECT_FALSE(header().dont_fragment);
}

TEST_F(OutputTest, TcpSegmentTooBigForDfIsAnError) {
  make(3000);
  Ipv4Fields fields = udp();
  fields.protocol = IpProtocol::kTcp;
  fields.may_fragment = false;
  const auto result = output.push_header(packet, *path_to(kPeer), fields, kStart);
  ASSERT_FALSE(result.has_value());
  EXPECT_TRUE(result.error().quoted_seq.has_value());
}

TEST_F(OutputTest, SuperSegmentIsMeasuredByItsPieces) {
  make(30000);
  packet.gso = {GsoType::kUdp, 1400, false};
  EXPECT_EQ(output.push_header(packet, *path_to(kPeer), udp(PathMtuDiscovery::kDo), kStart),
            OutputVerdict::kSend);
  EXPECT_EQ(header().total_length, 30028);
  const std::uint16_t first = header().id;
  make(1400);
  // The next one counts on from its pieces.
  EXPECT_GE(static_cast<std::uint16_t>(output.identify(kUs, kPeer, IpProtocol::kUdp, 1, kStart) - first), 22);
  make(30000);
  packet.gso = {GsoType::kUdp, 1473, false};
  EXPECT_FALSE(output.push_header(packet, *path_to(kPeer), udp(), kStart).has_value());
}

// Linux 6.3: what is longer than the field can say leaves with 0 in it.
TEST_F(OutputTest, ASuperSegmentBeyondTheLengthFieldGoesWhereSuchAreTaken) {
  const auto tcp = [this](std::size_t size) {
    payload = pattern(size);
    packet.clear();
    wire::emit_tcp({}, packet.append_header(wire::kTcpHeaderMin));
    packet.add_payload(payload);
    packet.checksum = {true, 0, wire::kTcpChecksumOffset};
    packet.gso = {GsoType::kTcpV4, 1448, false};
  };
  Ipv4Fields fields;
  fields.protocol = IpProtocol::kTcp;
  Path path = *path_to(kPeer);
  path.offloads.gso_max_size = 100'000;
  tcp(65'495);
  ASSERT_TRUE(output.push_header(packet, path, fields, kStart));
  EXPECT_EQ(header().total_length, 65'535);
  for (const std::size_t size : {65'496U, 99'960U}) {
    tcp(size);
    ASSERT_TRUE(output.push_header(packet, path, fields, kStart));
    EXPECT_EQ(load_be<std::uint16_t>(packet.header(), 2), 0);
    EXPECT_TRUE(wire::verify_ipv4_checksum(packet.header().first(20)));
    complete_checksum(packet);
    EXPECT_EQ(wire::transport_checksum(kUs, kPeer, IpProtocol::kTcp, Bytes(flat(packet)).subspan(20)), 0);
  }
  tcp(99'961);
  EXPECT_FALSE(output.push_header(packet, path, fields, kStart).has_value())
      << "longer than the device takes";
  path.offloads.gso_max_size = 65'535;
  tcp(65'496);
  EXPECT_FALSE(output.push_header(packet, path, fields, kStart).has_value());
}

TEST_F(OutputTest, LongerThanAnyPacket) {
  make(65508);
  const auto result = output.push_header(packet, *path_to(kPeer), udp(PathMtuDiscovery::kDont), kStart);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().mtu, 65535u);
}

TEST_F(OutputTest, TapipBug19_IdentificationDiffersFromDatagramToDatagram) {
  std::set<std::uint16_t> seen;
  for (int i = 0; i < 100; ++i) {
    make(3000);
    ASSERT_TRUE(output.push_header(packet, *path_to(kPeer), udp(), kStart + std::chrono::milliseconds(i)));
    seen.insert(header().id);
  }
  EXPECT_EQ(seen.size(), 100u);
}

TEST_F(OutputTest, IdentificationOfOneDestinationTellsNothingOfAnother) {
  const auto ids = [&](SipKey key, std::uint64_t seed) {
    Ipv4Output some(key, Rng(seed), knobs, counters);
    return std::pair(some.identify(kUs, kPeer, IpProtocol::kUdp, 1, kStart),
                     some.identify(kUs, kFar, IpProtocol::kUdp, 1, kStart));
  };
  const auto [near, far] = ids(kKey, 1);
  EXPECT_NE(near, far);
  EXPECT_NE(ids(kKey, 2).first, near);          // another boot
  EXPECT_NE(ids(SipKey{1, 2}, 1).first, near);  // another secret
  EXPECT_EQ(ids(kKey, 1).first, near);          // the same seed replays
}

}  // namespace
}  // namespace tapir::ip
