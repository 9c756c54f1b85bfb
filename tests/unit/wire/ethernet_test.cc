// SPDX-License-Identifier: Apache-2.0
#include "wire/ethernet.h"

#include <gtest/gtest.h>

#include <vector>

#include "wire/arp.h"
#include "wire/vlan.h"

namespace tapir::wire {
namespace {

constexpr MacAddress kOne = {0x00, 0x34, 0x45, 0x67, 0x89, 0xab};
constexpr MacAddress kTwo = {0x02, 0x00, 0x00, 0x00, 0x00, 0x02};

TEST(Mac, TextBothWays) {
  EXPECT_EQ(to_string(kOne), "00:34:45:67:89:ab");
  EXPECT_EQ(parse_mac("00:34:45:67:89:AB"), kOne);
  EXPECT_EQ(parse_mac("2:0:0:0:0:2"), kTwo);
  for (const char* wrong :
       {"", ":", "00:34:45:67:89", "00:34:45:67:89:ab:cd", "00:34:45:67:89:", "00-34-45-67-89-ab",
        "000:34:45:67:89:ab", "00:34:45:67:89:ag", "00:34:45:67:89:ab ", "::::::"})
    EXPECT_FALSE(parse_mac(wrong)) << wrong;
}

TEST(Mac, Kinds) {
  EXPECT_TRUE(is_broadcast(kBroadcastMac));
  EXPECT_TRUE(is_multicast(kBroadcastMac));
  EXPECT_FALSE(is_multicast(kOne));
  EXPECT_TRUE(is_zero(MacAddress{}));
  EXPECT_EQ(to_string(multicast_mac_v4(0xefffff01)), "01:00:5e:7f:ff:01");
  EXPECT_TRUE(is_multicast(multicast_mac_v4(0xe0000001)));
}

TEST(Ethernet, RoundTrip) {
  const EthernetHeader header{kTwo, kOne, kEtherTypeArp};
  std::vector<std::uint8_t> bytes(kEthernetHeaderLength);
  EXPECT_EQ(emit_ethernet(header, bytes), kEthernetHeaderLength);
  EXPECT_EQ(bytes[0], 0x02);
  EXPECT_EQ(bytes[12], 0x08);
  EXPECT_EQ(bytes[13], 0x06);
  EXPECT_EQ(parse_ethernet(bytes), header);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(parse_ethernet(Bytes(bytes).first(size)));
}

TEST(Vlan, RoundTrip) {
  for (const VlanTag& tag : {VlanTag{7, true, 4095, kEtherTypeIpv4}, VlanTag{0, false, 0, kEtherTypeIpv6},
                             VlanTag{3, false, 100, kEtherTypeArp}}) {
    std::vector<std::uint8_t> bytes(kVlanTagLength);
    EXPECT_EQ(emit_vlan(tag, bytes), kVlanTagLength);
    EXPECT_EQ(parse_vlan(bytes), tag);
    EXPECT_FALSE(parse_vlan(Bytes(bytes).first(3)));
  }
}

TEST(Arp, RoundTrip) {
  const ArpPacket packet{ArpOperation::kReply, kOne, IpAddress::v4(10, 0, 0, 1), kTwo,
                         IpAddress::v4(10, 0, 0, 2)};
  std::vector<std::uint8_t> bytes(kArpLength);
  EXPECT_EQ(emit_arp(packet, bytes), kArpLength);
  EXPECT_EQ(parse_arp(bytes), packet);
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(parse_arp(Bytes(bytes).first(size)));
  // Ethernet pads short frames.
  bytes.resize(46);
  EXPECT_EQ(parse_arp(bytes), packet);
}

TEST(Arp, OnlyIpv4OverEthernet) {
  const ArpPacket packet{
      ArpOperation::kRequest, kOne, IpAddress::v4(10, 0, 0, 1), {}, IpAddress::v4(10, 0, 0, 2)};
  std::vector<std::uint8_t> good(kArpLength);
  emit_arp(packet, good);
  for (const std::size_t field : {0U, 1U, 2U, 3U}) {
    auto bytes = good;
    bytes[field] ^= 0x10;
    EXPECT_FALSE(parse_arp(bytes)) << "byte " << field;
  }
  for (int value = 0; value < 256; ++value) {
    auto bytes = good;
    bytes[4] = static_cast<std::uint8_t>(value);
    EXPECT_EQ(parse_arp(bytes).has_value(), value == 6);
    bytes = good;
    bytes[5] = static_cast<std::uint8_t>(value);
    EXPECT_EQ(parse_arp(bytes).has_value(), value == 4);
  }
}

}  // namespace
}  // namespace tapir::wire
