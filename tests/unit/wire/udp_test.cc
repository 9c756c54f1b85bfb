// SPDX-License-Identifier: Apache-2.0
#include "wire/udp.h"

#include <gtest/gtest.h>

#include <vector>

#include "unit/wire/length_boundaries.h"

namespace tapir::wire {
namespace {

TEST(Udp, RoundTrip) {
  std::vector<std::uint8_t> bytes(20, 0x55);
  const UdpDatagram datagram{
      .src_port = 1234, .dst_port = 53, .length = 18, .checksum = 0xabcd, .payload = {}};
  EXPECT_EQ(emit_udp(datagram, bytes), kUdpHeaderLength);
  const auto parsed = parse_udp(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->src_port, 1234);
  EXPECT_EQ(parsed->dst_port, 53);
  EXPECT_EQ(parsed->length, 18);
  EXPECT_EQ(parsed->checksum, 0xabcd);
  EXPECT_EQ(parsed->payload.size(), 10U) << "what lies behind the length is not the datagram's";
}

TEST(Udp, LengthIsBetweenHeaderAndBytes) {
  for (const std::uint32_t length : length_boundaries(8, 20)) {
    std::vector<std::uint8_t> bytes(20);
    store_be<std::uint16_t>(bytes, 4, static_cast<std::uint16_t>(length));
    EXPECT_EQ(parse_udp(bytes).has_value(), length >= 8 && length <= 20) << length;
  }
  for (std::size_t size = 0; size < 8; ++size) EXPECT_FALSE(parse_udp(std::vector<std::uint8_t>(size, 8)));
}

TEST(Udp, AComputedZeroIsSentAsAllOnes) {
  EXPECT_EQ(udp_checksum_on_wire(0), 0xffff);
  EXPECT_EQ(udp_checksum_on_wire(1), 1);
  EXPECT_EQ(udp_checksum_on_wire(0xffff), 0xffff);
}

}  // namespace
}  // namespace tapir::wire
