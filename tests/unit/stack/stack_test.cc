// SPDX-License-Identifier: Apache-2.0
#include "stack/stack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "unit/stack/pair.h"

namespace tapir::stack {
namespace {

using testing::Pair;
using trace::Counter;

PingRequest ping_of(const IpAddress& to, std::size_t payload = 56) {
  PingRequest request;
  request.destination = to;
  request.id = 7;
  request.sequence = 1;
  request.payload = payload;
  return request;
}

std::optional<PingResult> ping(Pair& pair, Stack& from, const PingRequest& request) {
  auto echo = from.parts().pings.start(request, pair.now);
  if (!echo) return std::nullopt;
  from.parts().queue_reply(std::move(*echo), pair.now);
  std::optional<PingResult> result;
  pair.run_until([&] { return (result = from.parts().pings.take_result(request.id)).has_value(); }, 20s);
  return result;
}

TEST(Stack, PingsItsNeighbourAfterResolvingIt) {
  Pair pair;
  const auto result = ping(pair, pair.a, ping_of(Pair::b_address));
  ASSERT_TRUE(result);
  EXPECT_EQ(result->outcome, PingOutcome::kReply);
  EXPECT_EQ(result->from, Pair::b_address);
  EXPECT_EQ(result->payload, 56u);
  EXPECT_TRUE(result->payload_intact);
  EXPECT_EQ(pair.b.counters().get(Counter::kIcmpOutEchoReps), 1u);
  EXPECT_EQ(pair.a.parts().neighbors.size(), 1u);
}

TEST(Stack, PingsItself) {
  Pair pair;
  for (const IpAddress& own : {IpAddress::v4(127, 0, 0, 1), Pair::a_address, IpAddress::v4(127, 9, 9, 9)}) {
    const auto result = ping(pair, pair.a, ping_of(own));
    ASSERT_TRUE(result) << own.to_string();
    EXPECT_EQ(result->outcome, PingOutcome::kReply) << own.to_string();
  }
}

TEST(Stack, PingOf60000BytesIsFragmentedBothWays) {
  Pair pair;
  const auto result = ping(pair, pair.a, ping_of(Pair::b_address, 60000));
  ASSERT_TRUE(result);
  EXPECT_EQ(result->outcome, PingOutcome::kReply);
  EXPECT_EQ(result->payload, 60000u);
  EXPECT_TRUE(result->payload_intact);
  EXPECT_EQ(pair.a.counters().get(Counter::kIpFragOKs), 1u);
  EXPECT_EQ(pair.a.counters().get(Counter::kIpReasmOKs), 1u);
  EXPECT_EQ(pair.a.frames().in_use(), 0u);
}

TEST(Stack, PingToNobodyOnTheNetFailsAfterThreeRequests) {
  Pair pair;
  const auto result = ping(pair, pair.a, ping_of(IpAddress::v4(10, 0, 0, 99)));
  ASSERT_TRUE(result);
  EXPECT_EQ(result->outcome, PingOutcome::kError);
  EXPECT_EQ(result->error, DeliveryErrorKind::kHostUnreachable);
}

TEST(Stack, PingWithoutRouteIsRefused) {
  Pair pair;
  const auto echo = pair.a.parts().pings.start(ping_of(IpAddress::v4(192, 0, 2, 1)), pair.now);
  ASSERT_FALSE(echo);
  EXPECT_EQ(echo.error(), ip::RouteError::kNetUnreachable);
}

TEST(Stack, GoesThroughAGatewayWhenTold) {
  Pair pair;
  EXPECT_TRUE(pair.a.add_route({IpAddress::any_v4(), 0}, Pair::b_address, 2, 0, pair.now));
  EXPECT_FALSE(pair.a.add_route({IpAddress::any_v4(), 0}, Pair::b_address, 2, 0, pair.now)) << "it exists";
  // B is no router: the echo arrives at B's MAC and is dropped there.
  auto echo = pair.a.parts().pings.start(ping_of(IpAddress::v4(192, 0, 2, 1)), pair.now);
  ASSERT_TRUE(echo);
  pair.a.parts().queue_reply(std::move(*echo), pair.now);
  pair.settle();
  EXPECT_EQ(pair.b.counters().dropped(trace::DropReason::kIpInAddrErrors), 1u);
}

// A frame as the other end of the cable would send it.
void inject(Pair& pair, std::vector<std::uint8_t> bytes) {
  Frame frame = pair.a.frames().copy(Bytes(bytes));
  frame.meta().received_at = pair.now;
  pair.a.input(2, std::move(frame), pair.now);
  pair.a.poll_output(pair.now);
}

TEST(Stack, CountsWhatItDropsAtTheLinkByReason) {
  Pair pair;
  const std::vector<std::uint8_t> to_a = {0x02, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0x02};
  const auto with_type = [&](std::uint8_t high, std::uint8_t low) {
    std::vector<std::uint8_t> frame = to_a;
    frame.insert(frame.end(), {high, low});
    frame.resize(60);
    return frame;
  };
  inject(pair, {1, 2, 3});
  EXPECT_EQ(pair.a.counters().dropped(trace::DropReason::kPktTooSmall), 1u);
  std::vector<std::uint8_t> tagged = with_type(0x81, 0x00);
  tagged[15] = 5;  // a VLAN that is not ours; the tag of VLAN 0 is only a priority
  inject(pair, tagged);
  EXPECT_EQ(pair.a.counters().dropped(trace::DropReason::kVlan), 1u);
  inject(pair, with_type(0x86, 0xdd));
  EXPECT_EQ(pair.a.counters().dropped(trace::DropReason::kL2Unknown), 1u);
  std::vector<std::uint8_t> elsewhere = with_type(0x08, 0x00);
  elsewhere[5] = 0x77;
  inject(pair, elsewhere);
  EXPECT_EQ(pair.a.counters().dropped(trace::DropReason::kOtherHost), 1u);
  inject(pair, with_type(0x08, 0x06));
  EXPECT_EQ(pair.a.counters().dropped(trace::DropReason::kArpInvalid), 1u);
}

TEST(Stack, AnswersAnUnknownProtocolWithProtocolUnreachable) {
  Pair pair;
  ASSERT_TRUE(ping(pair, pair.a, ping_of(Pair::b_address)));
  // 10.0.0.2 > 10.0.0.1, protocol 132, no payload.
  std::vector<std::uint8_t> packet = {0x45, 0, 0, 20, 0, 1, 0, 0, 64, 132, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1};
  wire::refresh_ipv4_checksum(packet);
  std::vector<std::uint8_t> frame = {0x02, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0x02, 0x08, 0x00};
  frame.insert(frame.end(), packet.begin(), packet.end());
  inject(pair, frame);
  EXPECT_EQ(pair.a.counters().get(Counter::kIpInUnknownProtos), 1u);
  EXPECT_EQ(pair.a.counters().get(Counter::kIcmpOutDestUnreachs), 1u);
}

TEST(Stack, KnobsHaveLinuxNamesDefaultsAndBounds) {
  Stack stack({}, Instant{1s});
  EXPECT_EQ(stack.sysctl_get("net.ipv4.ip_default_ttl"), "64");
  EXPECT_EQ(stack.sysctl_get("net.ipv4.tcp_syn_retries"), "6");
  EXPECT_TRUE(stack.sysctl_set("net.ipv4.ip_default_ttl", " 32\n", Instant{1s}));
  EXPECT_EQ(stack.sysctl_get("net.ipv4.ip_default_ttl"), "32");
  EXPECT_FALSE(stack.sysctl_set("net.ipv4.ip_default_ttl", "0", Instant{1s}));
  EXPECT_FALSE(stack.sysctl_set("net.ipv4.ip_default_ttl", "x", Instant{1s}));
  EXPECT_FALSE(stack.sysctl_get("net.ipv4.nothing"));
  const auto names = stack.sysctl_names();
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  for (const std::string& name : names) EXPECT_TRUE(stack.sysctl_get(name)) << name;
}

TEST(Stack, TheSameSeedSendsTheSameBytes) {
  const auto digest = [](std::uint64_t seed) {
    Pair pair({.pipe = {}, .seed = seed});
    ping(pair, pair.a, ping_of(Pair::b_address, 3000));
    return std::pair{
        pair.a.parts().ipv4_output.identify(Pair::a_address, Pair::b_address, IpProtocol::kUdp, 1, pair.now),
        pair.now};
  };
  EXPECT_EQ(digest(5), digest(5));
}

}  // namespace
}  // namespace tapir::stack
