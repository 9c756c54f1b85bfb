// SPDX-License-Identifier: Apache-2.0
#include "stack/ports.h"

#include <gtest/gtest.h>

#include <set>

#include "stack/parts.h"

namespace tapir::stack {
namespace {

constexpr IpAddress kOne = IpAddress::v4(10, 0, 0, 1);
constexpr IpAddress kTwo = IpAddress::v4(10, 0, 0, 2);

struct PortsTest : ::testing::Test {
  Stack stack{{.seed = 3}, Instant{1s}};
  Stack::Parts& parts = stack.parts();

  std::expected<Ports::Id, BindError> bind(const IpAddress& address, std::uint16_t port, Sharing sharing = {},
                                           IpProtocol protocol = IpProtocol::kTcp,
                                           InterfaceId interface = kNoInterface) {
    return parts.ports.bind(protocol, {address, port}, interface, sharing, parts.tcp);
  }
};

constexpr Sharing kReuse{.reuse_address = true, .reuse_port = false, .user = 0};
constexpr Sharing kReusePort{.reuse_address = false, .reuse_port = true, .user = 0};

TEST_F(PortsTest, OneHolderPerPortAndAddress) {
  EXPECT_TRUE(bind(kOne, 80));
  EXPECT_EQ(bind(kOne, 80).error(), BindError::kInUse);
  EXPECT_EQ(bind(IpAddress::any_v4(), 80).error(), BindError::kInUse) << "the wildcard overlaps";
  EXPECT_TRUE(bind(kTwo, 80)) << "another address";
  EXPECT_TRUE(bind(kOne, 81)) << "another port";
  EXPECT_TRUE(bind(kOne, 80, {}, IpProtocol::kUdp)) << "another protocol";
}

TEST_F(PortsTest, ReuseAddressSharesUntilSomebodyListens) {
  const auto first = bind(kOne, 80, kReuse);
  ASSERT_TRUE(first);
  EXPECT_FALSE(bind(kOne, 80)) << "both must ask for it";
  const auto second = bind(kOne, 80, kReuse);
  ASSERT_TRUE(second);
  EXPECT_TRUE(parts.ports.start_listening(*first, parts.tcp));
  EXPECT_FALSE(parts.ports.start_listening(*second, parts.tcp)) << "two listeners need SO_REUSEPORT";
  EXPECT_FALSE(bind(kOne, 80, kReuse));
  parts.ports.stop_listening(*first);
  EXPECT_TRUE(parts.ports.start_listening(*second, parts.tcp));
}

TEST_F(PortsTest, ReusePortSharesWithinOneUser) {
  const auto first = bind(kOne, 80, kReusePort);
  ASSERT_TRUE(first);
  EXPECT_TRUE(parts.ports.start_listening(*first, parts.tcp));
  const auto second = bind(kOne, 80, kReusePort);
  ASSERT_TRUE(second);
  EXPECT_TRUE(parts.ports.start_listening(*second, parts.tcp));
  EXPECT_FALSE(bind(kOne, 80, {.reuse_address = false, .reuse_port = true, .user = 1}));
}

TEST_F(PortsTest, DifferentDevicesDoNotConflict) {
  EXPECT_TRUE(bind(kOne, 80, {}, IpProtocol::kTcp, 1));
  EXPECT_TRUE(bind(kOne, 80, {}, IpProtocol::kTcp, 2));
  EXPECT_FALSE(bind(kOne, 80));
}

TEST_F(PortsTest, UdpSharesWithReuseAddressAlone) {
  EXPECT_TRUE(bind(kOne, 53, kReuse, IpProtocol::kUdp));
  EXPECT_TRUE(bind(kOne, 53, kReuse, IpProtocol::kUdp));
  EXPECT_FALSE(bind(kOne, 53, {}, IpProtocol::kUdp));
}

TEST_F(PortsTest, EphemeralPortsComeFromTheRangeEachOnceUntilItIsUsedUp) {
  parts.tcp_knobs.ip_local_port_range = {40000, 40009};
  std::set<std::uint16_t> seen;
  for (int i = 0; i < 10; ++i) {
    const auto id = bind(IpAddress::any_v4(), 0);
    ASSERT_TRUE(id);
    const std::uint16_t port = parts.ports.port_of(*id);
    EXPECT_GE(port, 40000);
    EXPECT_LE(port, 40009);
    EXPECT_TRUE(seen.insert(port).second);
  }
  EXPECT_EQ(bind(IpAddress::any_v4(), 0).error(), BindError::kNoneLeft);
}

TEST_F(PortsTest, ConnectSharesAPortBetweenDestinationsAndPrefersEvenOnes) {
  parts.tcp_knobs.ip_local_port_range = {40000, 40001};
  const auto connect = [&](std::uint16_t remote_port) {
    return parts.ports.bind_to_connect({{kOne, 0}, {kTwo, remote_port}}, kNoInterface, {}, parts.tcp,
                                       Instant{1s});
  };
  const auto first = connect(80);
  ASSERT_TRUE(first);
  EXPECT_EQ(parts.ports.port_of(*first), 40000);
  const auto second = connect(81);
  ASSERT_TRUE(second);
  EXPECT_EQ(parts.ports.port_of(*second), 40000) << "TCP has no such tuple yet, so the port is as good";
  EXPECT_FALSE(bind(kOne, 40000)) << "but bind() does not take it";
  EXPECT_TRUE(bind(kOne, 40001));
  parts.ports.release(*first, false, Instant{1s});
  parts.ports.release(*second, false, Instant{1s});
  EXPECT_TRUE(bind(kOne, 40000));
  EXPECT_EQ(connect(80).error(), BindError::kNoneLeft) << "what bind() took connect() leaves alone";
}

TEST_F(PortsTest, ReleasedPortsLeaveNothing) {
  const std::size_t before = stack.budget().used();
  const auto id = bind(kOne, 80);
  parts.ports.release(*id, true, Instant{1s});
  EXPECT_EQ(parts.ports.buckets(), 1u) << "a connection may be left";
  parts.ports.on_timeout(parts.tcp, parts.ports.next_timeout());
  EXPECT_EQ(parts.ports.buckets(), 0u);
  EXPECT_EQ(parts.ports.next_timeout(), kNever);
  EXPECT_EQ(stack.budget().used(), before);
}

}  // namespace
}  // namespace tapir::stack
