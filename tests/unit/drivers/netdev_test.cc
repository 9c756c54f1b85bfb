// SPDX-License-Identifier: Apache-2.0
#include "drivers/netdev.h"

#include "drivers/netns.h"
#include "unit/drivers/in_namespace.h"

namespace tapir::drivers {
namespace {

IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }

TEST(NetdevTest, LinksAddressesAndRoutes) {
  run_in_namespace([]() -> std::string {
    EXPECT_TRUE(has_net_admin());
    const auto made = create_veth_pair("va", "vb");
    if (!made) return made.error();
    EXPECT_TRUE(link_exists("va"));
    EXPECT_TRUE(link_exists("vb"));
    EXPECT_FALSE(create_veth_pair("va", "vc"));
    EXPECT_TRUE(set_mtu("va", 1400));
    EXPECT_EQ(get_mtu("va"), 1400U);
    EXPECT_TRUE(set_link_up("va"));
    EXPECT_TRUE(set_link_up("vb"));
    EXPECT_TRUE(add_address("va", prefix("10.1.0.1/24")));
    const auto again = add_address("va", prefix("10.1.0.1/24"));
    EXPECT_FALSE(again);
    if (!again) {
      EXPECT_EQ(again.error(), "the address 10.1.0.1/24 cannot be given to va: it has it already");
    }
    EXPECT_TRUE(add_route(prefix("10.2.0.0/16"), IpAddress::v4(10, 1, 0, 2), "va"));
    EXPECT_TRUE(add_route(prefix("0.0.0.0/0"), IpAddress::v4(10, 1, 0, 2), "va"));
    EXPECT_FALSE(add_route(prefix("10.2.0.0/16"), IpAddress::v4(10, 1, 0, 2), "va"));
    EXPECT_TRUE(add_route(prefix("10.3.0.0/16"), IpAddress(), "va"));
    const auto congctl =
        replace_route_congctl(prefix("10.1.0.0/24"), IpAddress::v4(10, 1, 0, 1), "va", "reno");
    EXPECT_TRUE(congctl) << congctl.error();
    // Every interface tells alike, and none that is not there.
    EXPECT_EQ(takes_long_super_segments("va"), takes_long_super_segments("lo"));
    EXPECT_TRUE(delete_link("va"));
    EXPECT_FALSE(link_exists("vb"));
    EXPECT_FALSE(takes_long_super_segments("va"));
    EXPECT_FALSE(set_link_up("va"));
    return "";
  });
}

}  // namespace
}  // namespace tapir::drivers
