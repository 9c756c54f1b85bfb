// SPDX-License-Identifier: Apache-2.0
#include "ip/routes.h"

#include "unit/ip/fixture.h"

namespace tapir::ip {
namespace {

Route route_to(const char* to, InterfaceId interface, IpAddress gateway = {}, std::uint32_t metric = 0) {
  Route route;
  route.destination = prefix(to);
  route.gateway = gateway;
  route.interface = interface;
  route.metric = metric;
  return route;
}

TEST(Routes, OnLinkDestination) {
  Host host;
  const auto path = host.path_to(kPeer);
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(path->source, kUs);
  EXPECT_EQ(path->destination, kPeer);
  EXPECT_EQ(path->next_hop, kPeer);
  EXPECT_EQ(path->interface, host.tap);
  EXPECT_EQ(path->mtu, 1500u);
  EXPECT_EQ(path->advmss, 1460);
  EXPECT_EQ(path->initcwnd, 10);
  EXPECT_EQ(path->hop_limit, 64);
  EXPECT_FALSE(path->local);
  EXPECT_EQ(path->generation, host.routes.generation());
}

TEST(Routes, DefaultRouteGoesByTheGateway) {
  Host host;
  EXPECT_EQ(host.path_to(kFar).error(), RouteError::kNetUnreachable);
  host.add_default_route();
  const auto path = host.path_to(kFar);
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(path->next_hop, kGateway);
  EXPECT_EQ(path->source, kUs);
}

TEST(Routes, LongestPrefixThenLowestMetric) {
  Host host;
  host.add_default_route();
  ASSERT_TRUE(host.routes.add(route_to("192.0.0.0/8", host.tap, address("10.0.0.11"))));
  ASSERT_TRUE(host.routes.add(route_to("192.0.2.0/24", host.tap, address("10.0.0.12"), 200)));
  ASSERT_TRUE(host.routes.add(route_to("192.0.2.0/24", host.tap, address("10.0.0.13"), 100)));
  ASSERT_TRUE(host.routes.add(route_to("192.0.2.99/32", host.tap, address("10.0.0.14"))));
  EXPECT_EQ(host.path_to(address("192.9.9.9"))->next_hop, address("10.0.0.11"));
  EXPECT_EQ(host.path_to(kFar)->next_hop, address("10.0.0.13"));
  EXPECT_EQ(host.path_to(address("192.0.2.99"))->next_hop, address("10.0.0.14"));
  EXPECT_EQ(host.path_to(address("8.8.8.8"))->next_hop, kGateway);
}

TEST(Routes, AddRefusesDuplicatesAndUnreachableGateways) {
  Host host;
  EXPECT_EQ(host.routes.add(route_to("10.0.0.77/24", host.tap)).error(), RouteError::kExists);
  EXPECT_EQ(host.routes.add(route_to("192.0.2.0/24", host.tap, address("10.9.9.9"))).error(),
            RouteError::kBadGateway);
  EXPECT_EQ(host.routes.add(route_to("192.0.2.0/24", host.tap, kUs)).error(), RouteError::kBadGateway);
  EXPECT_EQ(host.routes.add(route_to("192.0.2.0/24", 9)).error(), RouteError::kNoInterface);
  EXPECT_EQ(host.routes.remove(route_to("192.0.2.0/24", host.tap)).error(), RouteError::kNotFound);
}

TEST(Routes, ReplaceAndRemove) {
  Host host;
  ASSERT_TRUE(host.routes.replace(route_to("192.0.2.0/24", host.tap, address("10.0.0.11"))));
  ASSERT_TRUE(host.routes.replace(route_to("192.0.2.0/24", host.tap, address("10.0.0.12"))));
  EXPECT_EQ(host.routes.list().size(), 2u);
  EXPECT_EQ(host.path_to(kFar)->next_hop, address("10.0.0.12"));
  ASSERT_TRUE(host.routes.remove(route_to("192.0.2.0/24", kNoInterface)));
  EXPECT_EQ(host.path_to(kFar).error(), RouteError::kNetUnreachable);
}

TEST(Routes, KindsThatGoNowhere) {
  Host host;
  host.add_default_route();
  Route route = route_to("192.0.2.0/25", kNoInterface);
  route.kind = RouteKind::kUnreachable;
  ASSERT_TRUE(host.routes.add(route));
  route.destination = prefix("198.51.100.0/24");
  route.kind = RouteKind::kProhibit;
  ASSERT_TRUE(host.routes.add(route));
  route.destination = prefix("203.0.113.0/24");
  route.kind = RouteKind::kBlackhole;
  ASSERT_TRUE(host.routes.add(route));
  EXPECT_EQ(host.path_to(kFar).error(), RouteError::kHostUnreachable);
  EXPECT_EQ(host.path_to(address("198.51.100.1")).error(), RouteError::kProhibited);
  EXPECT_EQ(host.path_to(address("203.0.113.1")).error(), RouteError::kBlackhole);
}

TEST(Routes, TapipBug14_LocalDestinationIsReachedFromItself) {
  Host host;
  const auto path = host.path_to(kUs);
  ASSERT_TRUE(path.has_value());
  EXPECT_TRUE(path->local);
  EXPECT_EQ(path->source, kUs);  // not 127.0.0.1
  EXPECT_EQ(path->interface, host.lo);
  EXPECT_EQ(path->mtu, 65535u);
  EXPECT_EQ(path->advmss, 65495);
  const auto loopback = host.path_to(address("127.1.2.3"));
  EXPECT_EQ(loopback->source, address("127.0.0.1"));
  EXPECT_EQ(loopback->destination, address("127.1.2.3"));
}

TEST(Routes, UnspecifiedDestinationIsOurselves) {
  Host host;
  EXPECT_EQ(host.path_to(IpAddress::any_v4())->destination, address("127.0.0.1"));
}

TEST(Routes, BoundSourceMustBeOurs) {
  Host host;
  RouteQuery query;
  query.destination = query.source.emplace(kPeer);
  EXPECT_EQ(host.routes.resolve(query, kStart).error(), RouteError::kBadSource);
  query.source_may_be_foreign = true;
  EXPECT_EQ(host.routes.resolve(query, kStart)->source, kPeer);
  query.source_may_be_foreign = false;
  query.source = IpAddress::any_v4();
  EXPECT_EQ(host.routes.resolve(query, kStart)->source, kUs);
}

TEST(Routes, BroadcastNeedsPermission) {
  Host host;
  host.add_default_route();
  RouteQuery query;
  query.destination = address("10.0.0.255");
  EXPECT_EQ(host.routes.resolve(query, kStart).error(), RouteError::kBroadcast);
  query.allow_broadcast = true;
  EXPECT_EQ(host.routes.resolve(query, kStart)->next_hop, address("10.0.0.255"));
  query.destination = IpAddress::broadcast_v4();
  EXPECT_EQ(host.routes.resolve(query, kStart)->next_hop, IpAddress::broadcast_v4());
}

TEST(Routes, BoundInterfaceAndNoRouteMeansOnLink) {
  Host host;
  RouteQuery query;
  query.destination = kFar;
  query.bound_interface = host.tap;
  const auto path = host.routes.resolve(query, kStart);
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(path->next_hop, kFar);
  ASSERT_TRUE(host.interfaces.set_up(host.tap, false));
  EXPECT_EQ(host.routes.resolve(query, kStart).error(), RouteError::kInterfaceDown);
  query.bound_interface = 9;
  EXPECT_EQ(host.routes.resolve(query, kStart).error(), RouteError::kNoInterface);
}

TEST(Routes, RoutesOverAnInterfaceThatIsDownDoNotCount) {
  Host host;
  ASSERT_TRUE(host.interfaces.set_up(host.tap, false));
  EXPECT_EQ(host.path_to(kPeer).error(), RouteError::kNetUnreachable);
}

TEST(Routes, AttributesReachThePath) {
  Host host;
  Route route = route_to("192.0.2.0/24", host.tap, kGateway);
  route.attributes.mtu = 1400;
  route.attributes.mtu_locked = true;
  route.attributes.initcwnd = 32;
  route.attributes.initrwnd = 20;
  route.attributes.hop_limit = 9;
  route.attributes.congctl = "reno";
  ASSERT_TRUE(host.routes.add(route));
  auto path = *host.path_to(kFar);
  EXPECT_EQ(path.mtu, 1400u);
  EXPECT_TRUE(path.mtu_locked);
  EXPECT_EQ(path.advmss, 1360);
  EXPECT_EQ(path.initcwnd, 32);
  EXPECT_EQ(path.initrwnd, 20);
  EXPECT_EQ(path.hop_limit, 9);
  EXPECT_EQ(host.routes.congestion_control(path), "reno");
  route.attributes.advmss = 900;
  ASSERT_TRUE(host.routes.replace(route));
  EXPECT_EQ(host.path_to(kFar)->advmss, 900);
  EXPECT_EQ(host.routes.congestion_control(*host.path_to(kPeer)), "");
}

TEST(Routes, MulticastDoesNotFollowTheGateway) {
  Host host;
  host.add_default_route();
  const auto path = host.path_to(address("224.1.2.3"));
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(path->next_hop, address("224.1.2.3"));
  EXPECT_EQ(path->hop_limit, 1);
}

TEST(Routes, RemovingAnAddressTakesItsRoutes) {
  Host host;
  host.add_default_route();
  host.routes.remove_address(host.tap, prefix("10.0.0.1/24"));
  EXPECT_EQ(host.routes.list().size(), 1u);
  host.routes.remove_interface(host.tap);
  EXPECT_TRUE(host.routes.list().empty());
}

TEST(Routes, TenThousandRoutesAreFound) {
  Host host;
  for (std::uint32_t i = 0; i < 10000; ++i) {
    Route route;
    route.destination = {IpAddress::v4(0x14000000 + (i << 8)), 24};
    route.gateway = kGateway;
    route.metric = i;
    ASSERT_TRUE(host.routes.add(route));
  }
  for (std::uint32_t i = 0; i < 10000; i += 37) {
    const Route* found = host.routes.lookup(IpAddress::v4(0x14000001 + (i << 8)));
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->metric, i);
  }
}

TEST(PathMtu, LearntMtuEntersPathsUntilItExpires) {
  Host host;
  host.add_default_route();
  const std::uint32_t before = host.routes.generation();
  EXPECT_TRUE(host.path_mtu.update(kFar, 1300, 1500, kStart));
  EXPECT_NE(host.routes.generation(), before);
  EXPECT_EQ(host.path_to(kFar)->mtu, 1300u);
  EXPECT_EQ(host.path_to(kFar)->interface_mtu, 1500u);
  EXPECT_EQ(host.path_to(kFar)->advmss, 1260);
  EXPECT_EQ(host.path_to(address("192.0.2.8"))->mtu, 1500u);
  EXPECT_EQ(host.path_mtu.next_timeout(), kStart + 600s);
  EXPECT_EQ(host.path_to(kFar, kStart + 600s)->mtu, 1500u);
  const std::uint32_t learnt = host.routes.generation();
  host.path_mtu.on_timeout(kStart + 600s);
  EXPECT_NE(host.routes.generation(), learnt);
  EXPECT_EQ(host.path_mtu.size(), 0u);
  EXPECT_EQ(host.path_mtu.next_timeout(), kNever);
}

TEST(PathMtu, FloorLocksThePath) {
  Host host;
  host.add_default_route();
  EXPECT_TRUE(host.path_mtu.update(kFar, 68, 1500, kStart));
  EXPECT_EQ(host.path_to(kFar)->mtu, 552u);
  EXPECT_TRUE(host.path_to(kFar)->mtu_locked);
  // An old router that says nothing (RFC 1191 §5).
  EXPECT_TRUE(host.path_mtu.update(address("192.0.2.8"), 0, 1500, kStart));
  EXPECT_EQ(host.path_to(address("192.0.2.8"))->mtu, 552u);
}

TEST(PathMtu, LargerIsNoNews) {
  Host host;
  EXPECT_FALSE(host.path_mtu.update(kFar, 1501, 1500, kStart));
  EXPECT_FALSE(host.path_mtu.update(kFar, 1500, 1500, kStart));
  EXPECT_EQ(host.path_mtu.size(), 0u);
  EXPECT_TRUE(host.path_mtu.update(kFar, 1400, 1500, kStart));
  EXPECT_FALSE(host.path_mtu.update(kFar, 1450, 1400, kStart));
  // The same again only lives longer.
  EXPECT_FALSE(host.path_mtu.update(kFar, 1400, 1400, kStart + 100s));
  EXPECT_NE(host.path_mtu.find(kFar, kStart + 650s), nullptr);
}

TEST(PathMtu, LockedRouteDoesNotLearn) {
  Host host;
  Route route = route_to("192.0.2.0/24", host.tap, kGateway);
  route.attributes.mtu = 1450;
  route.attributes.mtu_locked = true;
  ASSERT_TRUE(host.routes.add(route));
  host.path_mtu.update(kFar, 1300, 1450, kStart);
  EXPECT_EQ(host.path_to(kFar)->mtu, 1450u);
}

TEST(PathMtu, IsBoundedAndForgetsTheOldest) {
  Host host;
  for (std::uint32_t i = 0; i < 100000; ++i)
    host.path_mtu.update(IpAddress::v4(0x14000000 + i), 1400, 1500, kStart + std::chrono::microseconds(i));
  EXPECT_LE(host.path_mtu.size(), PathMtuCache::kSets * PathMtuCache::kWays);
  EXPECT_NE(host.path_mtu.find(IpAddress::v4(0x14000000 + 99999), kStart + 1s), nullptr);
  EXPECT_EQ(host.path_mtu.find(IpAddress::v4(0x14000000), kStart + 1s), nullptr);
  host.path_mtu.clear();
  EXPECT_EQ(host.path_mtu.size(), 0u);
}

}  // namespace
}  // namespace tapir::ip
