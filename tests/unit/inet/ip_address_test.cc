// SPDX-License-Identifier: Apache-2.0
#include "inet/ip_address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "base/rng.h"

namespace tapir {
namespace {

TEST(IpAddress, ParsesFourDecimalNumbers) {
  EXPECT_EQ(IpAddress::parse("10.0.0.1"), IpAddress::v4(0x0a000001));
  EXPECT_EQ(IpAddress::parse("255.255.255.255"), IpAddress::broadcast_v4());
  EXPECT_EQ(IpAddress::parse("0.0.0.0"), IpAddress::any_v4());
  for (const char* wrong :
       {"",          "1",        "1.2.3",    "1.2.3.4.5", "256.1.1.1",  "1.2.3.999",       "01.2.3.4",
        "1.2.3.00",  " 1.2.3.4", "1.2.3.4 ", "1..3.4",    ".1.2.3",     "1.2.3.",          "1.2.3.4.",
        "0x1.2.3.4", "+1.2.3.4", "-1.2.3.4", "1.2.3.a",   "1.2.3.1000", "1.2.3.4294967297"})
    EXPECT_FALSE(IpAddress::parse(wrong)) << wrong;
}

TEST(IpAddress, ParsesAndFormatsV6) {
  const struct {
    const char* text;
    const char* canonical;
  } kCases[] = {
      {"::", "::"},
      {"::1", "::1"},
      {"1::", "1::"},
      {"2001:db8::1", "2001:db8::1"},
      {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
      {"2001:0db8::0001", "2001:db8::1"},
      {"2001:db8:0:1:1:1:1:1",
       "2001:db8:0:1:1:1:1:1"},                       // one group of zeros is not shortened (RFC 5952 §4.2.2)
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},        // the longest run
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},  // the first of equal runs
      {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
      {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
      {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
      {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
      {"fe80::", "fe80::"},
      {"::ffff:10.0.0.1", "10.0.0.1"},  // an IPv4 address, in either notation
      {"::ffff:a00:1", "10.0.0.1"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
  };
  for (const auto& [text, canonical] : kCases) {
    const auto address = IpAddress::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->to_string(), canonical) << text;
    EXPECT_EQ(IpAddress::parse(canonical), address) << text;
  }
  for (const char* wrong : {":",
                            ":::",
                            "1",
                            "1:2:3:4:5:6:7",
                            "1:2:3:4:5:6:7:8:9",
                            "1:2:3:4:5:6:7:8::",
                            "::1:2:3:4:5:6:7:8",
                            "1::2::3",
                            "12345::",
                            "g::",
                            ":1::",
                            "1:::2",
                            "::1:",
                            "1:2:3:4:5:6:7:1.2.3.4",
                            "1.2.3.4::",
                            "::1.2.3",
                            "::1.2.3.4:5",
                            "::1.2.3.256",
                            "fe80::1%eth0",
                            "[::1]",
                            "::/64",
                            "1:2:3:4:5:6:7:"})
    EXPECT_FALSE(IpAddress::parse(wrong)) << wrong;
}

// The C library decides what an address is, for random text of the right letters.
TEST(IpAddress, AgreesWithInetPton) {
  constexpr std::string_view kLetters = "0123::::..af19";
  Rng rng(11);
  int good = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    for (std::uint64_t length = rng.between(1, 18); length > 0; --length)
      text.push_back(kLetters[rng.below(kLetters.size())]);
    std::array<std::uint8_t, 16> bytes{};
    std::array<std::uint8_t, 4> four{};
    const auto address = IpAddress::parse(text);
    if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) {
      ASSERT_TRUE(address) << text;
      ASSERT_EQ(address->bytes(), bytes) << text;
      ++good;
    } else if (inet_pton(AF_INET, text.c_str(), four.data()) == 1) {
      ASSERT_TRUE(address) << text;
      ASSERT_EQ(*address, IpAddress::v4(four[0], four[1], four[2], four[3]));
    } else {
      ASSERT_FALSE(address) << text;
    }
  }
  EXPECT_GT(good, 500);
}

TEST(IpAddress, TextIsReadBackForEveryPatternOfZeros) {
  for (unsigned pattern = 0; pattern < 256; ++pattern) {
    std::array<std::uint8_t, 16> bytes{};
    for (std::size_t i = 0; i < 8; ++i)
      if ((pattern >> i & 1) != 0)
        store_be<std::uint16_t>(bytes, 2 * i, static_cast<std::uint16_t>(0x10 + i));
    const IpAddress address = IpAddress::v6(bytes);
    EXPECT_EQ(IpAddress::parse(address.to_string()), address) << address.to_string();
  }
}

TEST(IpAddress, KnowsItsKinds) {
  const auto parse = [](const char* text) { return *IpAddress::parse(text); };
  EXPECT_TRUE(parse("0.0.0.0").is_unspecified());
  EXPECT_TRUE(parse("::").is_unspecified());
  EXPECT_FALSE(parse("::1").is_unspecified());
  EXPECT_FALSE(parse("0.0.0.1").is_unspecified());
  EXPECT_TRUE(parse("127.0.0.1").is_loopback());
  EXPECT_TRUE(parse("127.255.255.255").is_loopback());
  EXPECT_TRUE(parse("::1").is_loopback());
  EXPECT_FALSE(parse("128.0.0.1").is_loopback());
  EXPECT_FALSE(parse("::2").is_loopback());
  EXPECT_TRUE(parse("224.0.0.1").is_multicast());
  EXPECT_TRUE(parse("239.255.255.255").is_multicast());
  EXPECT_FALSE(parse("223.255.255.255").is_multicast());
  EXPECT_FALSE(parse("240.0.0.0").is_multicast());
  EXPECT_TRUE(parse("ff02::1").is_multicast());
  EXPECT_FALSE(parse("fe80::1").is_multicast());
  EXPECT_TRUE(parse("255.255.255.255").is_broadcast());
  EXPECT_FALSE(parse("10.0.0.255").is_broadcast());
  EXPECT_TRUE(parse("10.1.2.3").is_v4());
  EXPECT_FALSE(parse("::10.1.2.3").is_v4());
  EXPECT_EQ(parse("10.1.2.3").v4_bits(), 0x0a010203u);
}

TEST(IpPrefix, ContainsTheAddressesOfItsVersion) {
  const auto prefix = *IpPrefix::parse("10.1.2.3/20");
  EXPECT_TRUE(prefix.contains(*IpAddress::parse("10.1.0.0")));
  EXPECT_TRUE(prefix.contains(*IpAddress::parse("10.1.15.255")));
  EXPECT_FALSE(prefix.contains(*IpAddress::parse("10.1.16.0")));
  EXPECT_EQ(prefix.network().to_string(), "10.1.0.0/20");
  EXPECT_TRUE(IpPrefix::parse("0.0.0.0/0")->contains(*IpAddress::parse("1.2.3.4")));
  EXPECT_FALSE(IpPrefix::parse("0.0.0.0/0")->contains(*IpAddress::parse("::1")));
  EXPECT_FALSE(IpPrefix::parse("::/0")->contains(*IpAddress::parse("1.2.3.4")));
  EXPECT_TRUE(IpPrefix::parse("2001:db8::/33")->contains(*IpAddress::parse("2001:db8:7fff::1")));
  EXPECT_FALSE(IpPrefix::parse("2001:db8::/33")->contains(*IpAddress::parse("2001:db8:8000::1")));
  EXPECT_TRUE(IpPrefix::parse("::1")->contains(*IpAddress::parse("::1")));
  EXPECT_FALSE(IpPrefix::parse("::1")->contains(*IpAddress::parse("::")));
  EXPECT_EQ(IpPrefix::parse("fe80::abcd/10")->network().to_string(), "fe80::/10");
}

TEST(IpPrefix, HasABroadcastAddressWhenItHasMoreThanTwoHosts) {
  EXPECT_EQ(IpPrefix::parse("10.0.0.7/24")->broadcast(), IpAddress::parse("10.0.0.255"));
  EXPECT_EQ(IpPrefix::parse("10.0.0.5/30")->broadcast(), IpAddress::parse("10.0.0.7"));
  EXPECT_EQ(IpPrefix::parse("0.0.0.0/0")->broadcast(), IpAddress::broadcast_v4());
  EXPECT_FALSE(IpPrefix::parse("10.0.0.5/31")->broadcast());
  EXPECT_FALSE(IpPrefix::parse("10.0.0.5")->broadcast());
  EXPECT_FALSE(IpPrefix::parse("fe80::/10")->broadcast());
}

TEST(IpPrefix, ParsesTheLength) {
  EXPECT_EQ(IpPrefix::parse("10.0.0.1")->length, 32);
  EXPECT_EQ(IpPrefix::parse("::1")->length, 128);
  EXPECT_EQ(IpPrefix::parse("10.0.0.1/0")->length, 0);
  EXPECT_EQ(IpPrefix::parse("::1/128")->to_string(), "::1/128");
  for (const char* wrong : {"", "/", "/8", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/08", "10.0.0.1/-1",
                            "10.0.0.1/8/8", "::1/129", "10.0.0/8"})
    EXPECT_FALSE(IpPrefix::parse(wrong)) << wrong;
}

}  // namespace
}  // namespace tapir
