// SPDX-License-Identifier: Apache-2.0
#include "ip/interfaces.h"

#include "unit/ip/fixture.h"

namespace tapir::ip {
namespace {

TEST(Interfaces, NumbersFromOneAndRefusesATakenName) {
  Host host;
  EXPECT_EQ(host.lo, 1);
  EXPECT_EQ(host.tap, 2);
  EXPECT_EQ(host.interfaces.loopback(), host.lo);
  Interface again;
  again.name = "tap0";
  EXPECT_EQ(host.interfaces.add(again), kNoInterface);
  EXPECT_EQ(host.interfaces.find("tap0")->id, host.tap);
  EXPECT_EQ(host.interfaces.find(InterfaceId{3}), nullptr);
}

TEST(Interfaces, AllOf127IsLocal) {
  Host host;
  EXPECT_TRUE(host.interfaces.is_local_address(address("127.0.0.1")));
  EXPECT_TRUE(host.interfaces.is_local_address(address("127.200.3.4")));
  EXPECT_TRUE(host.interfaces.is_local_address(kUs));
  EXPECT_FALSE(host.interfaces.is_local_address(kPeer));
}

TEST(Interfaces, TapipBug24_OnlyBroadcastsOfOurNetsAreBroadcasts) {
  Host host;
  EXPECT_EQ(host.interfaces.classify(address("10.0.0.255")), AddressKind::kBroadcast);
  EXPECT_EQ(host.interfaces.classify(address("10.0.0.0")), AddressKind::kBroadcast);
  EXPECT_EQ(host.interfaces.classify(address("255.255.255.255")), AddressKind::kBroadcast);
  // Hosts of other nets, whatever their last byte.
  EXPECT_EQ(host.interfaces.classify(address("10.0.1.255")), AddressKind::kElsewhere);
  EXPECT_EQ(host.interfaces.classify(address("10.0.1.0")), AddressKind::kElsewhere);
  ASSERT_TRUE(host.interfaces.add_address(host.tap, prefix("172.16.0.1/16")));
  EXPECT_EQ(host.interfaces.classify(address("172.16.0.255")), AddressKind::kElsewhere);
  EXPECT_EQ(host.interfaces.classify(address("172.16.255.255")), AddressKind::kBroadcast);
}

TEST(Interfaces, PointToPointNetsHaveNoBroadcast) {
  Host host;
  ASSERT_TRUE(host.interfaces.add_address(host.tap, prefix("192.168.5.0/31")));
  EXPECT_EQ(host.interfaces.classify(address("192.168.5.0")), AddressKind::kLocal);
  EXPECT_EQ(host.interfaces.classify(address("192.168.5.1")), AddressKind::kElsewhere);
}

TEST(Interfaces, KindsOfAddresses) {
  Host host;
  EXPECT_EQ(host.interfaces.classify(address("0.0.0.0")), AddressKind::kUnspecified);
  EXPECT_EQ(host.interfaces.classify(address("0.1.2.3")), AddressKind::kReserved);
  EXPECT_EQ(host.interfaces.classify(address("240.0.0.1")), AddressKind::kReserved);
  EXPECT_EQ(host.interfaces.classify(address("224.0.0.1")), AddressKind::kMulticast);
  EXPECT_EQ(host.interfaces.classify(address("239.255.255.255")), AddressKind::kMulticast);
}

TEST(Interfaces, SourceIsThePrimaryAddressOfTheNet) {
  Host host;
  ASSERT_TRUE(host.interfaces.add_address(host.tap, prefix("10.0.0.9/24")));
  ASSERT_TRUE(host.interfaces.add_address(host.tap, prefix("172.16.0.1/16")));
  const Interface& tap = *host.interfaces.find(host.tap);
  EXPECT_EQ(host.interfaces.source_for(tap, kPeer), kUs);
  EXPECT_EQ(host.interfaces.source_for(tap, address("172.16.9.9")), address("172.16.0.1"));
  EXPECT_EQ(host.interfaces.source_for(tap, kFar), kUs);
  // An interface without addresses borrows one, but never a loopback one.
  Interface bare;
  bare.name = "bare";
  const InterfaceId id = host.interfaces.add(bare);
  EXPECT_EQ(host.interfaces.source_for(*host.interfaces.find(id), kFar), kUs);
}

TEST(Interfaces, EveryChangeMovesTheGeneration) {
  Host host;
  std::uint32_t before = host.interfaces.generation();
  ASSERT_TRUE(host.interfaces.add_address(host.tap, prefix("10.9.0.1/24")));
  EXPECT_NE(host.interfaces.generation(), before);
  before = host.interfaces.generation();
  ASSERT_FALSE(host.interfaces.add_address(host.tap, prefix("10.9.0.1/24")));
  EXPECT_EQ(host.interfaces.generation(), before);
  ASSERT_TRUE(host.interfaces.set_mtu(host.tap, 1400));
  EXPECT_NE(host.interfaces.generation(), before);
  ASSERT_TRUE(host.interfaces.remove_address(host.tap, address("10.9.0.1")));
  EXPECT_FALSE(host.interfaces.remove_address(host.tap, address("10.9.0.1")));
}

}  // namespace
}  // namespace tapir::ip
