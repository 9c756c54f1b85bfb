// SPDX-License-Identifier: Apache-2.0
#include "udp/ports.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "udp/output.h"
#include "wire/checksum.h"
#include "wire/udp.h"

namespace tapir::udp {
namespace {

using trace::Counter;
using trace::DropReason;
using Data = std::vector<std::uint8_t>;

constexpr Instant kStart = Instant{} + 1000s;
constexpr IpAddress kUs = IpAddress::v4(10, 0, 0, 1);
constexpr IpAddress kAlsoUs = IpAddress::v4(10, 0, 0, 9);
constexpr IpAddress kPeer = IpAddress::v4(10, 0, 0, 2);
constexpr IpAddress kAny = IpAddress::any_v4();

struct UdpTest : ::testing::Test {
  MemoryBudget budget{std::size_t{64} << 20};
  FramePool pool{budget};
  trace::Counters counters;
  trace::Tracer tracer;
  UdpPorts ports{pool, SipKey{1, 2}, counters, tracer};

  PortHandle bound(IpAddress local, std::uint16_t port) {
    const PortHandle handle = ports.open();
    ports.bind(handle, {local, port});
    return handle;
  }
  PortHandle connected(IpAddress local, std::uint16_t port, IpAddress remote, std::uint16_t remote_port) {
    const PortHandle handle = bound(local, port);
    ports.connect(handle, {{local, port}, {remote, remote_port}});
    return handle;
  }
  PortHandle lookup(IpAddress local, std::uint16_t port, IpAddress remote = kPeer,
                    std::uint16_t remote_port = 5000, InterfaceId on = 2) {
    return ports.lookup({local, port}, {remote, remote_port}, on);
  }
  Data datagram(std::uint16_t from, std::uint16_t to, const Data& payload, IpAddress destination = kUs) {
    wire::UdpDatagram header{from, to, static_cast<std::uint16_t>(8 + payload.size()), 0, {}};
    Data bytes(8 + payload.size());
    wire::emit_udp(header, bytes);
    std::copy(payload.begin(), payload.end(), bytes.begin() + 8);
    const auto sum = wire::transport_checksum(kPeer, destination, IpProtocol::kUdp, bytes);
    store_be<std::uint16_t>(bytes, 6, wire::udp_checksum_on_wire(sum));
    return bytes;
  }
  static Arrival arrival(IpAddress destination = kUs, bool group = false) {
    return {kPeer, destination, 2, 0x10, 63, group};
  }
  Outcome input(const Data& bytes, const Arrival& from = arrival()) {
    Frame frame = pool.copy(bytes);
    frame.meta().received_at = kStart;
    return ports.input(from, std::move(frame), kStart);
  }
};

TEST_F(UdpTest, ADatagramArrives) {
  const PortHandle port = bound(kUs, 53);
  const Outcome outcome = input(datagram(5000, 53, {1, 2, 3}));
  ASSERT_EQ(outcome.touched.size(), 1u);
  EXPECT_EQ(outcome.touched[0], port);
  EXPECT_TRUE(ports.get(port)->readable());
  EXPECT_EQ(ports.get(port)->first_size(), 3u);
  const auto peeked = ports.get(port)->peek();
  EXPECT_EQ(Data(peeked->payload.begin(), peeked->payload.end()), (Data{1, 2, 3}));
  EXPECT_EQ(counters.get(Counter::kUdpInDatagrams), 0u);  // counted when read, as Linux does
  auto taken = ports.take(port);
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->from, (Endpoint{kPeer, 5000}));
  EXPECT_EQ(taken->to, (Endpoint{kUs, 53}));
  EXPECT_EQ(taken->interface, 2);
  EXPECT_EQ(taken->tos, 0x10);
  EXPECT_EQ(taken->hop_limit, 63);
  EXPECT_EQ(taken->received_at, kStart);
  EXPECT_EQ(Data(taken->payload.begin(), taken->payload.end()), (Data{1, 2, 3}));
  EXPECT_EQ(taken->frame.size(), 3u);
  EXPECT_EQ(counters.get(Counter::kUdpInDatagrams), 1u);
  EXPECT_FALSE(ports.take(port).has_value());
}

TEST_F(UdpTest, EmptyDatagramsCount) {
  const PortHandle port = bound(kUs, 53);
  input(datagram(5000, 53, {}));
  EXPECT_TRUE(ports.get(port)->readable());
  EXPECT_EQ(ports.take(port)->payload.size(), 0u);
}

TEST_F(UdpTest, ChecksumRules) {
  bound(kUs, 53);
  Data bytes = datagram(5000, 53, {1, 2, 3});
  bytes[8] ^= 1;
  EXPECT_EQ(input(bytes).dropped, DropReason::kUdpCsum);
  EXPECT_EQ(counters.get(Counter::kUdpInCsumErrors), 1u);
  EXPECT_EQ(counters.get(Counter::kUdpInErrors), 1u);
  store_be<std::uint16_t>(bytes, 6, 0);  // the sender computed none
  EXPECT_FALSE(input(bytes).dropped.has_value());
  // The device has checked, or the sender's machine left it to be filled in.
  for (ChecksumState state : {ChecksumState::kVerified, ChecksumState::kPartial}) {
    Frame frame = pool.copy(Bytes(bytes));
    store_be<std::uint16_t>(frame.mutable_bytes(), 6, 0x1234);
    frame.meta().checksum = state;
    EXPECT_FALSE(ports.input(arrival(), std::move(frame), kStart).dropped.has_value());
  }
}

TEST_F(UdpTest, LengthRules) {
  const PortHandle port = bound(kUs, 53);
  for (unsigned length : {0u, 1u, 7u, 12u, 0xffffu}) {
    Data bytes = datagram(5000, 53, {1, 2, 3});
    store_be<std::uint16_t>(bytes, 4, static_cast<std::uint16_t>(length));
    EXPECT_EQ(input(bytes).dropped, DropReason::kUdpLength) << length;
  }
  EXPECT_EQ(input(Data(7)).dropped, DropReason::kUdpLength);
  EXPECT_EQ(counters.get(Counter::kUdpInErrors), 6u);
  // What lies behind the length is not ours.
  Data bytes = datagram(5000, 53, {1, 2, 3});
  bytes.push_back(9);
  input(bytes);
  EXPECT_EQ(ports.take(port)->payload.size(), 3u);
}

TEST_F(UdpTest, NobodyThereIsPortUnreachable) {
  const Data bytes = datagram(5000, 54, {1});
  Outcome outcome = input(bytes);
  EXPECT_EQ(outcome.dropped, DropReason::kNoSocket);
  EXPECT_TRUE(outcome.port_unreachable);
  EXPECT_EQ(Data(outcome.rejected.bytes().begin(), outcome.rejected.bytes().end()), bytes);
  EXPECT_EQ(counters.get(Counter::kUdpNoPorts), 1u);
  // But not for damaged ones.
  Data damaged = bytes;
  damaged[8] ^= 1;
  EXPECT_FALSE(input(damaged).port_unreachable);
}

TEST_F(UdpTest, TapipBug15_DemultiplexingLooksAtAddresses) {
  const PortHandle any = bound(kAny, 53);
  const PortHandle exact = bound(kUs, 53);
  EXPECT_EQ(lookup(kUs, 53), exact);
  EXPECT_EQ(lookup(kAlsoUs, 53), any);
  EXPECT_FALSE(static_cast<bool>(lookup(kUs, 54)));
}

TEST_F(UdpTest, TapipBug15_ConnectedPortsHearTheirPeerOnly) {
  const PortHandle alone = connected(kUs, 53, kPeer, 5000);
  EXPECT_EQ(lookup(kUs, 53, kPeer, 5000), alone);
  EXPECT_FALSE(static_cast<bool>(lookup(kUs, 53, kPeer, 5001)));
  EXPECT_FALSE(static_cast<bool>(lookup(kUs, 53, kAlsoUs, 5000)));
  // Beside one that is not connected, each gets its own.
  const PortHandle open = bound(kUs, 53);
  EXPECT_EQ(lookup(kUs, 53, kPeer, 5000), alone);
  EXPECT_EQ(lookup(kUs, 53, kPeer, 5001), open);
  ports.disconnect(alone, {kUs, 53});
  EXPECT_FALSE(ports.get(alone)->connected());
}

TEST_F(UdpTest, BoundInterfaceBeatsNone) {
  const PortHandle anywhere = bound(kAny, 53);
  const PortHandle tap = bound(kAny, 53);
  ports.bind_interface(tap, 2);
  const PortHandle later = bound(kAny, 53);
  EXPECT_EQ(lookup(kUs, 53, kPeer, 5000, 2), tap);
  EXPECT_EQ(lookup(kUs, 53, kPeer, 5000, 3), later);
  ports.close(later);
  EXPECT_EQ(lookup(kUs, 53, kPeer, 5000, 3), anywhere);
}

TEST_F(UdpTest, SharersOfAPortSplitThePeers) {
  std::vector<PortHandle> sharers;
  for (int i = 0; i < 4; ++i) {
    sharers.push_back(bound(kAny, 53));
    ports.get(sharers.back())->reuse_port = true;
  }
  std::map<std::uint64_t, int> hits;
  for (std::uint16_t port = 1000; port < 5000; ++port) {
    const PortHandle chosen = lookup(kUs, 53, kPeer, port);
    EXPECT_EQ(lookup(kUs, 53, kPeer, port), chosen);  // a flow stays
    ++hits[chosen.packed()];
  }
  ASSERT_EQ(hits.size(), 4u);
  for (const auto& [handle, count] : hits) EXPECT_NEAR(count, 1000, 150);
}

TEST_F(UdpTest, ConnectMovesTheLocalAddress) {
  const PortHandle port = bound(kAny, 53);
  ports.connect(port, {{kUs, 53}, {kPeer, 7}});
  EXPECT_EQ(lookup(kUs, 53, kPeer, 7), port);
  EXPECT_FALSE(static_cast<bool>(lookup(kAlsoUs, 53, kPeer, 7)));
  ports.unbind(port);
  EXPECT_FALSE(static_cast<bool>(lookup(kUs, 53, kPeer, 7)));
  EXPECT_FALSE(ports.get(port)->bound());
}

TEST_F(UdpTest, TapipBug21_AnUnreadPortIsBounded) {
  const PortHandle port = bound(kUs, 53);
  ports.get(port)->receive_buffer = 10000;
  for (int i = 0; i < 1000; ++i) input(datagram(5000, 53, Data(100)));
  EXPECT_LE(ports.get(port)->queued_true_size(), 10000u);
  EXPECT_GT(ports.get(port)->queued(), 10u);
  EXPECT_EQ(ports.get(port)->drops(), counters.get(Counter::kUdpRcvbufErrors));
  EXPECT_EQ(ports.get(port)->queued() + ports.get(port)->drops(), 1000u);
  EXPECT_EQ(counters.dropped(DropReason::kSocketRcvbuff), ports.get(port)->drops());
}

TEST_F(UdpTest, AnEmptyQueueTakesOneOfAnySize) {
  const PortHandle port = bound(kUs, 53);
  ports.get(port)->receive_buffer = 2304;
  EXPECT_FALSE(input(datagram(5000, 53, Data(60000))).dropped.has_value());
  EXPECT_EQ(input(datagram(5000, 53, Data(1))).dropped, DropReason::kSocketRcvbuff);
  EXPECT_EQ(ports.take(port)->payload.size(), 60000u);
}

TEST_F(UdpTest, SmallPayloadsLeaveLargeBuffers) {
  const PortHandle port = bound(kUs, 53);
  const Data bytes = datagram(5000, 53, {1, 2, 3});
  Frame large = pool.allocate(60000);
  std::copy(bytes.begin(), bytes.end(), large.mutable_bytes().begin());
  large.trim_back(large.size() - bytes.size());
  EXPECT_FALSE(ports.input(arrival(), std::move(large), kStart).dropped.has_value());
  EXPECT_LT(ports.get(port)->queued_true_size(), 600u);
  EXPECT_EQ(ports.take(port)->payload.size(), 3u);
}

TEST_F(UdpTest, SuperDatagramsAreSplit) {
  const PortHandle port = bound(kUs, 53);
  Frame frame = pool.copy(datagram(5000, 53, Data(2500, 7)));
  frame.meta().checksum = ChecksumState::kPartial;
  frame.meta().gso = {GsoType::kUdp, 1000, false};
  EXPECT_FALSE(ports.input(arrival(), std::move(frame), kStart).dropped.has_value());
  ASSERT_EQ(ports.get(port)->queued(), 3u);
  EXPECT_EQ(ports.take(port)->payload.size(), 1000u);
  EXPECT_EQ(ports.take(port)->payload.size(), 1000u);
  EXPECT_EQ(ports.take(port)->payload.size(), 500u);
}

TEST_F(UdpTest, BroadcastsGoToAllWhoListen) {
  const IpAddress broadcast = IpAddress::v4(10, 0, 0, 255);
  const PortHandle one = bound(kAny, 53);
  const PortHandle two = bound(kAny, 53);
  const PortHandle exact = bound(broadcast, 53);
  bound(kUs, 53);
  connected(kAny, 53, kPeer, 9);
  const Outcome outcome = input(datagram(5000, 53, {1}, broadcast), arrival(broadcast, true));
  ASSERT_EQ(outcome.touched.size(), 3u);
  EXPECT_EQ(outcome.touched[0], one);
  EXPECT_EQ(outcome.touched[1], two);
  EXPECT_EQ(outcome.touched[2], exact);
  // Nobody: never an ICMP error.
  const Outcome none = input(datagram(5000, 99, {1}, broadcast), arrival(broadcast, true));
  EXPECT_FALSE(none.port_unreachable);
  EXPECT_EQ(counters.get(Counter::kUdpIgnoredMulti), 1u);
}

TEST_F(UdpTest, HardErrorsReachConnectedPorts) {
  const PortHandle port = connected(kUs, 4000, kPeer, 53);
  DeliveryError error;
  error.kind = DeliveryErrorKind::kPortUnreachable;
  error.from_icmp = true;
  error.icmp_type = error.icmp_code = 3;
  error.protocol = IpProtocol::kUdp;
  error.quoted = {{kUs, 4000}, {kPeer, 53}};
  EXPECT_EQ(ports.on_error(error, 2, kStart), port);
  EXPECT_TRUE(ports.get(port)->has_error());
  EXPECT_EQ(ports.get(port)->take_error()->kind, DeliveryErrorKind::kPortUnreachable);
  EXPECT_FALSE(ports.get(port)->take_error().has_value());
  // Soft ones do not, unless asked for.
  error.kind = DeliveryErrorKind::kHostUnreachable;
  error.icmp_code = 1;
  EXPECT_FALSE(static_cast<bool>(ports.on_error(error, 2, kStart)));
  ports.get(port)->receive_errors = true;
  EXPECT_EQ(ports.on_error(error, 2, kStart), port);
  // Somebody else's.
  error.quoted.remote.port = 54;
  EXPECT_FALSE(static_cast<bool>(ports.on_error(error, 2, kStart)));
  EXPECT_EQ(counters.dropped(DropReason::kIcmpNoFlow), 1u);
}

TEST_F(UdpTest, ErrorsDoNotReachUnconnectedPorts) {
  const PortHandle port = bound(kUs, 4000);
  DeliveryError error;
  error.kind = DeliveryErrorKind::kPortUnreachable;
  error.quoted = {{kUs, 4000}, {kPeer, 53}};
  EXPECT_FALSE(static_cast<bool>(ports.on_error(error, 2, kStart)));
  ports.get(port)->receive_errors = true;
  EXPECT_EQ(ports.on_error(error, 2, kStart), port);
}

TEST_F(UdpTest, FragmentationNeededIsAnErrorOfThoseWhoDiscover) {
  const PortHandle port = connected(kUs, 4000, kPeer, 53);
  DeliveryError error;
  error.kind = DeliveryErrorKind::kFragmentationNeeded;
  error.mtu = 1400;
  error.quoted = {{kUs, 4000}, {kPeer, 53}};
  EXPECT_EQ(ports.on_error(error, 2, kStart), port);
  ports.get(port)->path_mtu_discovery = false;
  EXPECT_FALSE(static_cast<bool>(ports.on_error(error, 2, kStart)));
}

TEST_F(UdpTest, CloseFreesTheQueue) {
  const PortHandle port = bound(kUs, 53);
  input(datagram(5000, 53, {1}));
  input(datagram(5000, 53, {2}));
  ports.close(port);
  EXPECT_EQ(ports.get(port), nullptr);
  EXPECT_EQ(pool.in_use(), 0u);
  EXPECT_EQ(counters.dropped(DropReason::kSocketClosed), 2u);
  EXPECT_TRUE(input(datagram(5000, 53, {1})).port_unreachable);
}

TEST_F(UdpTest, NoMemory) {
  bound(kUs, 53);
  Frame frame = pool.copy(datagram(5000, 53, Data(2500, 7)));
  frame.meta().gso = {GsoType::kUdp, 1000, false};
  frame.meta().checksum = ChecksumState::kPartial;
  pool.fail_after(1);
  EXPECT_EQ(ports.input(arrival(), std::move(frame), kStart).dropped, DropReason::kMemory);
  EXPECT_EQ(counters.get(Counter::kUdpMemErrors), 1u);
}

// ---- sending ----

TEST_F(UdpTest, BuildsADatagram) {
  const Data one = {1, 2, 3};
  const Data two = {4, 5};
  const Bytes spans[] = {one, two};
  OutgoingFrame out;
  const FourTuple tuple{{kUs, 4000}, {kPeer, 53}};
  EXPECT_EQ(build_datagram(out, tuple, spans, {}, counters), SendVerdict::kBuilt);
  Data bytes(out.size());
  out.copy_to(bytes);
  const auto parsed = wire::parse_udp(bytes);
  EXPECT_EQ(parsed->src_port, 4000);
  EXPECT_EQ(parsed->dst_port, 53);
  EXPECT_EQ(parsed->length, 13);
  EXPECT_EQ(Data(parsed->payload.begin(), parsed->payload.end()), (Data{1, 2, 3, 4, 5}));
  EXPECT_TRUE(out.checksum.wanted);
  EXPECT_EQ(out.checksum.offset, wire::kUdpChecksumOffset);
  SendOptions without;
  without.checksum = false;
  build_datagram(out, tuple, spans, without, counters);
  EXPECT_FALSE(out.checksum.wanted);
  EXPECT_EQ(counters.get(Counter::kUdpOutDatagrams), 2u);
}

TEST_F(UdpTest, SendLimits) {
  OutgoingFrame out;
  const FourTuple tuple{{kUs, 4000}, {kPeer, 53}};
  const Data longest(kPayloadMax);
  const Bytes fits[] = {longest};
  EXPECT_EQ(build_datagram(out, tuple, fits, {}, counters), SendVerdict::kBuilt);
  const Data one(1);
  const Bytes too_long[] = {longest, one};
  EXPECT_EQ(build_datagram(out, tuple, too_long, {}, counters), SendVerdict::kTooLong);
  SendOptions segments;
  segments.segment_size = 500;
  EXPECT_EQ(build_datagram(out, tuple, fits, segments, counters), SendVerdict::kTooLong);  // 132 segments
  segments.segment_size = 1000;
  EXPECT_EQ(build_datagram(out, tuple, fits, segments, counters), SendVerdict::kBuilt);
  EXPECT_EQ(out.gso.size, 1000);
  std::vector<Data> pieces(kOutgoingSpansMax + 1, Data(2));
  std::vector<Bytes> spans(pieces.begin(), pieces.end());
  EXPECT_EQ(build_datagram(out, tuple, spans, {}, counters), SendVerdict::kTooManySpans);
}

}  // namespace
}  // namespace tapir::udp
