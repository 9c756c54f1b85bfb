// SPDX-License-Identifier: Apache-2.0
#include "tcp/md5.h"

#include <gtest/gtest.h>

#include <string_view>

#include "wire/tcp_segment.h"

namespace tapir::tcp {
namespace {

Md5Key key_of(IpAddress address, std::uint8_t prefix, std::string_view text) {
  Md5Key key;
  key.address = address;
  key.prefix_length = prefix;
  key.length = static_cast<std::uint8_t>(text.size());
  std::copy(text.begin(), text.end(), key.bytes.begin());
  return key;
}

// RFC 2385 §2.0, computed by Python's hashlib over the bytes in the RFC's order, for a segment
// from 10.0.0.1:1234 to 10.0.0.2:80, seq 1000, ack 2000, PSH, window 500, with the option and "hello".
TEST(Md5, TheDigestIsRfc2385s) {
  if (!md5_available()) GTEST_SKIP() << "built without libcrypto";
  wire::TcpSegment segment;
  segment.src_port = 1234;
  segment.dst_port = 80;
  segment.seq = SeqNum(1000);
  segment.ack = SeqNum(2000);
  segment.flags = wire::kAck | wire::kPsh;
  segment.window = 500;
  segment.options.md5.emplace();
  std::array<std::uint8_t, 40> header{};
  ASSERT_EQ(wire::emit_tcp(segment, header), 40u);
  store_be(header, wire::kTcpChecksumOffset, std::uint16_t{0xbeef});  // does not count
  const std::array<std::uint8_t, 5> text = {'h', 'e', 'l', 'l', 'o'};
  const std::array<Bytes, 2> pieces = {Bytes(text).first(2), Bytes(text).subspan(2)};
  const Md5Key key = key_of(IpAddress::v4(10, 0, 0, 2), 32, "tapir knows");
  const Md5Digest expected = {0x94, 0x2b, 0xdf, 0xc1, 0x6d, 0x4c, 0xab, 0xc3,
                              0xe3, 0x23, 0x91, 0x25, 0xe2, 0x9c, 0x02, 0x40};
  EXPECT_EQ(md5_signature(IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2), header, pieces, key),
            expected);
  EXPECT_NE(md5_signature(IpAddress::v4(10, 0, 0, 2), IpAddress::v4(10, 0, 0, 1), header, pieces, key),
            expected);
  EXPECT_NE(md5_signature(IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2), header,
                          std::span(pieces).first(1), key),
            expected);
}

TEST(Md5, TheLongestPrefixWins) {
  Md5Keys keys({});
  std::uint32_t list = 0;
  EXPECT_FALSE(keys.any());
  ASSERT_TRUE(keys.set(list, key_of(IpAddress::any_v4(), 0, "all")));
  ASSERT_TRUE(keys.set(list, key_of(IpAddress::v4(10, 0, 0, 0), 8, "ten")));
  ASSERT_TRUE(keys.set(list, key_of(IpAddress::v4(10, 0, 0, 7), 32, "seven")));
  EXPECT_EQ(keys.find(list, IpAddress::v4(10, 0, 0, 7))->length, 5);
  EXPECT_EQ(keys.find(list, IpAddress::v4(10, 9, 0, 7))->length, 3);
  EXPECT_EQ(keys.find(list, IpAddress::v4(11, 0, 0, 7))->prefix_length, 0);
  EXPECT_TRUE(keys.remove(list, IpAddress::any_v4(), 0));
  EXPECT_FALSE(keys.remove(list, IpAddress::any_v4(), 0));
  EXPECT_EQ(keys.find(list, IpAddress::v4(11, 0, 0, 7)), nullptr);
  keys.clear(list);
  EXPECT_EQ(list, 0u);
  EXPECT_FALSE(keys.any());
}

TEST(Md5, TheSamePeerAgainReplacesItsKey) {
  Md5Keys keys({});
  std::uint32_t list = 0;
  ASSERT_TRUE(keys.set(list, key_of(IpAddress::v4(10, 0, 0, 7), 32, "old")));
  ASSERT_TRUE(keys.set(list, key_of(IpAddress::v4(10, 0, 0, 7), 32, "newer")));
  EXPECT_EQ(keys.first(list)->length, 5);
  EXPECT_TRUE(keys.remove(list, IpAddress::v4(10, 0, 0, 7), 32));
  EXPECT_EQ(list, 0u);
}

TEST(Md5, AListHasItsLimit) {
  Md5Keys keys({});
  std::uint32_t list = 0;
  for (std::size_t i = 0; i < kMd5KeysPerSocketMax; ++i)
    ASSERT_TRUE(keys.set(list, key_of(IpAddress::v4(static_cast<std::uint32_t>(i)), 32, "k")));
  EXPECT_FALSE(keys.set(list, key_of(IpAddress::broadcast_v4(), 32, "k")));
  keys.clear(list);
}

TEST(Md5, OwnersOfOneListAreToldApart) {
  Md5Keys keys({});
  std::uint32_t list = 0;
  ASSERT_TRUE(keys.set(list, key_of(IpAddress::v4(10, 0, 0, 7), 32, "one"), 1));
  ASSERT_TRUE(keys.set(list, key_of(IpAddress::v4(10, 0, 0, 7), 32, "other"), 2));
  EXPECT_EQ(keys.of_owner(list, 1)->length, 3);
  EXPECT_EQ(keys.of_owner(list, 2)->length, 5);
  keys.remove_owner(list, 1);
  EXPECT_EQ(keys.of_owner(list, 1), nullptr);
  EXPECT_EQ(keys.of_owner(list, 2)->length, 5);
  keys.clear(list);
}

}  // namespace
}  // namespace tapir::tcp
