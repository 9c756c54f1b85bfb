// SPDX-License-Identifier: Apache-2.0
#include "ip/input.h"

#include "unit/ip/fixture.h"

namespace tapir::ip {
namespace {

using trace::Counter;
using trace::DropReason;

struct InputTest : ::testing::Test, Host {
  Fragments fragments{pool, kKey, knobs, counters};
  Groups groups{interfaces, pool, kKey, Rng(5), knobs, {}};
  Ipv4Input ipv4{interfaces, routes, groups, fragments, knobs, counters, tracer};

  std::expected<Datagram, Rejected> input(const Data& bytes) {
    return ipv4.input(frame(bytes), LinkDestination::kHost, kStart);
  }
  DropReason reason_for(const Data& bytes) {
    const auto result = input(bytes);
    return result ? DropReason::kNone : result.error().reason;
  }
  DropReason reason_for(const char* from, const char* to) {
    wire::Ipv4Header header = header_from_peer();
    header.src = address(from);
    header.dst = address(to);
    return reason_for(packet_of(header, pattern(8)));
  }
};

TEST_F(InputTest, ADatagramForUs) {
  wire::Ipv4Header header = header_from_peer();
  header.tos = 0x12;
  header.ttl = 33;
  header.dont_fragment = true;
  Data bytes = packet_of(header, pattern(20));
  const Data whole = bytes;
  bytes.resize(60, 0xee);  // Ethernet's padding
  auto datagram = input(bytes);
  ASSERT_TRUE(datagram.has_value());
  EXPECT_EQ(datagram->source, kPeer);
  EXPECT_EQ(datagram->destination, kUs);
  EXPECT_EQ(datagram->protocol, IpProtocol::kUdp);
  EXPECT_EQ(datagram->tos, 0x12);
  EXPECT_EQ(datagram->ecn(), Ecn::kEct0);
  EXPECT_EQ(datagram->hop_limit, 33);
  EXPECT_EQ(datagram->header_size, 20);
  EXPECT_EQ(datagram->interface, tap);
  EXPECT_EQ(flat(datagram->frame.bytes()), pattern(20));
  EXPECT_EQ(flat(datagram->packet()), whole);
  datagram->frame.trim_front(8);
  EXPECT_EQ(flat(datagram->packet()), whole);
  EXPECT_EQ(count(Counter::kIpInReceives), 1u);
  EXPECT_EQ(count(Counter::kIpExtInOctets), 40u);
  EXPECT_EQ(count(Counter::kIpExtInECT0Pkts), 1u);
}

TEST_F(InputTest, HeaderMustBeTrue) {
  const Data good = packet_of(header_from_peer(), pattern(8));
  Data bad = good;
  bad[0] = 0x65;
  EXPECT_EQ(reason_for(bad), DropReason::kIpInHdr);
  bad = good;
  bad[0] = 0x44;
  EXPECT_EQ(reason_for(bad), DropReason::kIpInHdr);
  bad = good;
  bad[0] = 0x4f;  // 60 bytes of header in 28
  EXPECT_EQ(reason_for(bad), DropReason::kIpInHdr);
  bad = good;
  bad[10] ^= 1;
  EXPECT_EQ(reason_for(bad), DropReason::kIpCsum);
  EXPECT_EQ(reason_for(Data(good.begin(), good.begin() + 19)), DropReason::kIpInHdr);
  EXPECT_EQ(reason_for({}), DropReason::kIpInHdr);
  EXPECT_EQ(count(Counter::kIpInHdrErrors), 6u);
  EXPECT_EQ(count(Counter::kIpExtInCsumErrors), 1u);
}

TEST_F(InputTest, TotalLengthAgainstTheFrame) {
  for (unsigned length : {0u, 1u, 19u}) {
    Data bytes = packet_of(header_from_peer(), pattern(8));
    store_be<std::uint16_t>(bytes, 2, static_cast<std::uint16_t>(length));
    wire::refresh_ipv4_checksum(MutableBytes(bytes).first(20));
    EXPECT_EQ(reason_for(bytes), DropReason::kIpInHdr) << length;
  }
  for (unsigned length : {29u, 0xffffu}) {
    Data bytes = packet_of(header_from_peer(), pattern(8));
    store_be<std::uint16_t>(bytes, 2, static_cast<std::uint16_t>(length));
    wire::refresh_ipv4_checksum(MutableBytes(bytes).first(20));
    EXPECT_EQ(reason_for(bytes), DropReason::kPktTooSmall) << length;
  }
  EXPECT_EQ(count(Counter::kIpExtInTruncatedPkts), 2u);
  wire::Ipv4Header header = header_from_peer();
  header.total_length = 20;
  auto empty = input(packet_of(header, {}));
  ASSERT_TRUE(empty.has_value());
  EXPECT_EQ(empty->frame.size(), 0u);
}

TEST_F(InputTest, MartianSources) {
  EXPECT_EQ(reason_for("127.0.0.1", "10.0.0.1"), DropReason::kIpMartian);
  EXPECT_EQ(reason_for("127.9.9.9", "10.0.0.1"), DropReason::kIpMartian);
  EXPECT_EQ(reason_for("224.0.0.1", "10.0.0.1"), DropReason::kIpMartian);
  EXPECT_EQ(reason_for("255.255.255.255", "10.0.0.1"), DropReason::kIpMartian);
  EXPECT_EQ(reason_for("10.0.0.255", "10.0.0.1"), DropReason::kIpMartian);
  EXPECT_EQ(reason_for("0.0.0.0", "10.0.0.1"), DropReason::kIpMartian);
  EXPECT_EQ(reason_for("0.1.2.3", "10.0.0.1"), DropReason::kIpMartian);
  EXPECT_EQ(reason_for("10.0.0.1", "10.0.0.1"), DropReason::kIpLand);
  EXPECT_EQ(reason_for("10.0.0.1", "10.0.0.255"), DropReason::kIpLocalSource);
  // BOOTP: a host without an address asks everybody.
  EXPECT_EQ(reason_for("0.0.0.0", "255.255.255.255"), DropReason::kNone);
  EXPECT_EQ(reason_for("8.8.8.8", "10.0.0.1"), DropReason::kNone);
}

TEST_F(InputTest, Destinations) {
  EXPECT_EQ(reason_for("10.0.0.2", "127.0.0.1"), DropReason::kIpMartian);
  EXPECT_EQ(reason_for("10.0.0.2", "10.0.0.3"), DropReason::kIpInAddrErrors);
  EXPECT_EQ(reason_for("10.0.0.2", "0.0.0.0"), DropReason::kIpMartian);
  EXPECT_EQ(reason_for("10.0.0.2", "240.0.0.1"), DropReason::kIpInAddrErrors);
  EXPECT_EQ(reason_for("10.0.0.2", "10.0.0.255"), DropReason::kNone);
  EXPECT_EQ(reason_for("10.0.0.2", "224.0.0.1"), DropReason::kNone);
  EXPECT_EQ(count(Counter::kIpExtInBcastPkts), 1u);
  EXPECT_EQ(count(Counter::kIpExtInMcastPkts), 1u);
}

TEST_F(InputTest, TapipBug24_MulticastIsNotForwardedButDropped) {
  EXPECT_EQ(reason_for("10.0.0.2", "224.1.2.3"), DropReason::kMulticastNotJoined);
}

TEST_F(InputTest, OtherHostsFramesAreDroppedUnseen) {
  const auto result =
      ipv4.input(frame(packet_of(header_from_peer(), pattern(8))), LinkDestination::kOtherHost, kStart);
  EXPECT_EQ(result.error().reason, DropReason::kOtherHost);
  EXPECT_EQ(count(Counter::kIpInReceives), 0u);
}

TEST_F(InputTest, LoopbackMayCarryLoopbackAddresses) {
  wire::Ipv4Header header = header_from_peer();
  header.src = header.dst = address("127.0.0.1");
  auto result = ipv4.input(frame(packet_of(header, pattern(8)), lo), LinkDestination::kHost, kStart);
  EXPECT_TRUE(result.has_value());
  header.src = header.dst = kUs;
  result = ipv4.input(frame(packet_of(header, pattern(8)), lo), LinkDestination::kHost, kStart);
  EXPECT_TRUE(result.has_value());
}

TEST_F(InputTest, InterfaceThatIsDown) {
  ASSERT_TRUE(interfaces.set_up(tap, false));
  EXPECT_EQ(reason_for(packet_of(header_from_peer(), pattern(8))), DropReason::kDevReady);
}

TEST_F(InputTest, HarmlessOptionsAreIgnored) {
  wire::Ipv4Header header = header_from_peer();
  const Data options = {1, 1, 7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 200, 3, 9, 0, 0, 0, 0};
  header.options = options;
  auto datagram = input(packet_of(header, pattern(8)));
  ASSERT_TRUE(datagram.has_value());
  EXPECT_EQ(datagram->header_size, 40);
  EXPECT_EQ(flat(datagram->frame.bytes()), pattern(8));
}

TEST_F(InputTest, SourceRoutesAreDroppedSilently) {
  for (std::uint8_t kind : {std::uint8_t{131}, std::uint8_t{137}}) {
    wire::Ipv4Header header = header_from_peer();
    const Data options = {kind, 7, 4, 10, 0, 0, 9, 0};
    header.options = options;
    const auto result = input(packet_of(header, pattern(8)));
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().reason, DropReason::kIpSourceRoute);
    EXPECT_FALSE(result.error().error.has_value());
  }
}

TEST_F(InputTest, MalformedOptionsAreAParameterProblem) {
  const struct {
    Data options;
    std::uint8_t pointer;
  } cases[] = {
      {{7, 0, 4, 0}, 20},   // length 0: no endless loop
      {{7, 1, 4, 0}, 20},   // length 1
      {{1, 7, 40, 4}, 21},  // past the end
      {{1, 1, 1, 7}, 23},   // no room for a length
      {{7, 2, 0, 0}, 21},   // record route without a pointer
      {{7, 7, 3, 0, 0, 0, 0, 0}, 22},
      {{68, 3, 5, 0}, 21},  // timestamp too short
      {{68, 4, 4, 0}, 22},
  };
  for (const auto& [options, pointer] : cases) {
    wire::Ipv4Header header = header_from_peer();
    header.options = options;
    const Data bytes = packet_of(header, pattern(8));
    const auto result = input(bytes);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().reason, DropReason::kIpOptions);
    ASSERT_TRUE(result.error().error.has_value());
    EXPECT_EQ(result.error().error->type, wire::IcmpType::kParameterProblem);
    EXPECT_EQ(result.error().error->rest >> 24, pointer);
    EXPECT_EQ(flat(result.error().frame.bytes()), bytes);
  }
}

TEST_F(InputTest, FragmentsBecomeADatagram) {
  const Data payload = pattern(2000);
  wire::Ipv4Header header = header_from_peer();
  header.more_fragments = true;
  auto first = input(packet_of(header, Data(payload.begin(), payload.begin() + 1000)));
  ASSERT_FALSE(first.has_value());
  EXPECT_TRUE(first.error().held);
  header.more_fragments = false;
  header.fragment_offset = 1000;
  auto whole = input(packet_of(header, Data(payload.begin() + 1000, payload.end())));
  ASSERT_TRUE(whole.has_value());
  EXPECT_TRUE(whole->reassembled);
  EXPECT_EQ(flat(whole->frame.bytes()), payload);
  EXPECT_EQ(whole->interface, tap);
  EXPECT_TRUE(wire::verify_ipv4_checksum(whole->packet().first(20)));
  EXPECT_EQ(fragments.fragments(), 0u);
}

TEST_F(InputTest, EveryDropIsCountedOnce) {
  reason_for("127.0.0.1", "10.0.0.1");
  reason_for("10.0.0.2", "10.0.0.3");
  reason_for(Data(5));
  EXPECT_EQ(counters.dropped(), 3u);
  EXPECT_EQ(pool.in_use(), 0u);
}

}  // namespace
}  // namespace tapir::ip
