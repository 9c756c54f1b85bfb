// SPDX-License-Identifier: Apache-2.0
#include "inet/endpoint.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "inet/delivery_error.h"
#include "inet/flow_hash.h"

namespace tapir {
namespace {

TEST(Endpoint, ParsesAndFormats) {
  for (const char* text :
       {"10.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[2001:db8::1]:443"}) {
    const auto endpoint = Endpoint::parse(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(endpoint->to_string(), text);
  }
  EXPECT_EQ(Endpoint::parse("10.0.0.1:80")->port, 80);
  for (const char* wrong : {"", ":", ":80", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:080",
                            "10.0.0.1:8x", "10.0.0.1:100000", "::1:80", "[::1]", "[::1]:", "[::1:80",
                            "::1]:80", "[10.0.0.1]:80", "[]:80", "[:80", "10.0.0.1:-1"})
    EXPECT_FALSE(Endpoint::parse(wrong)) << wrong;
}

TEST(FlowHash, EveryFieldAndTheKeyMatter) {
  const SipKey key{1, 2};
  for (const char* addresses : {"10.0.0.1:80 10.0.0.2:1000", "[2001:db8::1]:80 [2001:db8::2]:1000"}) {
    const std::string text = addresses;
    const std::size_t space = text.find(' ');
    const FourTuple tuple{*Endpoint::parse(text.substr(0, space)), *Endpoint::parse(text.substr(space + 1))};
    std::set<std::uint64_t> seen = {four_tuple_hash(key, tuple)};
    EXPECT_EQ(four_tuple_hash(key, tuple), *seen.begin());
    FourTuple other = tuple;
    other.local.port = 81;
    EXPECT_TRUE(seen.insert(four_tuple_hash(key, other)).second);
    other = tuple;
    other.remote.port = 1001;
    EXPECT_TRUE(seen.insert(four_tuple_hash(key, other)).second);
    other = {tuple.remote, tuple.local};
    EXPECT_TRUE(seen.insert(four_tuple_hash(key, other)).second);
    other = {{tuple.remote.address, tuple.local.port}, {tuple.local.address, tuple.remote.port}};
    EXPECT_TRUE(seen.insert(four_tuple_hash(key, other)).second);
    for (std::size_t i = tuple.local.address.is_v4() ? 12 : 0; i < 16; ++i) {
      auto bytes = tuple.remote.address.bytes();
      bytes[i] ^= 1;
      other = tuple;
      other.remote.address = IpAddress::v6(bytes);
      EXPECT_TRUE(seen.insert(four_tuple_hash(key, other)).second) << i;
      bytes = tuple.local.address.bytes();
      bytes[i] ^= 1;
      other = tuple;
      other.local.address = IpAddress::v6(bytes);
      EXPECT_TRUE(seen.insert(four_tuple_hash(key, other)).second) << i;
    }
    EXPECT_TRUE(seen.insert(four_tuple_hash({1, 3}, tuple)).second);
    EXPECT_TRUE(seen.insert(four_tuple_hash({2, 2}, tuple)).second);
  }
}

TEST(FlowHash, OfOneEnd) {
  const SipKey key{1, 2};
  std::set<std::uint64_t> seen;
  for (const char* text : {"10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80", "[::]:80", "0.0.0.0:80", "[::1]:80"})
    EXPECT_TRUE(seen.insert(endpoint_hash(key, *Endpoint::parse(text))).second) << text;
}

TEST(DeliveryError, HasWordsForEveryKind) {
  std::set<std::string_view> seen;
  for (int kind = 0; kind <= static_cast<int>(DeliveryErrorKind::kParameterProblem); ++kind)
    EXPECT_TRUE(seen.insert(to_string(static_cast<DeliveryErrorKind>(kind))).second) << kind;
  EXPECT_FALSE(seen.contains("unknown"));
}

}  // namespace
}  // namespace tapir
