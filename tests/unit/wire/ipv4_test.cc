// SPDX-License-Identifier: Apache-2.0
#include "wire/ipv4.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "unit/wire/length_boundaries.h"

namespace tapir::wire {
namespace {

Ipv4Header sample() {
  Ipv4Header header;
  header.tos = 0x2e;
  header.total_length = 100;
  header.id = 0xbeef;
  header.dont_fragment = true;
  header.fragment_offset = 0;
  header.ttl = 3;
  header.protocol = IpProtocol::kUdp;
  header.src = IpAddress::v4(192, 0, 2, 1);
  header.dst = IpAddress::v4(198, 51, 100, 2);
  return header;
}

std::vector<std::uint8_t> packet_of(const Ipv4Header& header, std::size_t size = 100) {
  std::vector<std::uint8_t> packet(size);
  emit_ipv4(header, packet);
  return packet;
}

void expect_same(const Ipv4Header& a, const Ipv4Header& b) {
  EXPECT_EQ(a.tos, b.tos);
  EXPECT_EQ(a.total_length, b.total_length);
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.reserved_flag, b.reserved_flag);
  EXPECT_EQ(a.dont_fragment, b.dont_fragment);
  EXPECT_EQ(a.more_fragments, b.more_fragments);
  EXPECT_EQ(a.fragment_offset, b.fragment_offset);
  EXPECT_EQ(a.ttl, b.ttl);
  EXPECT_EQ(a.protocol, b.protocol);
  EXPECT_EQ(a.src, b.src);
  EXPECT_EQ(a.dst, b.dst);
}

TEST(Ipv4, RoundTrip) {
  const auto packet = packet_of(sample());
  const auto parsed = parse_ipv4(packet);
  ASSERT_TRUE(parsed);
  expect_same(*parsed, sample());
  EXPECT_EQ(parsed->header_length, 20);
  EXPECT_EQ(parsed->payload_length(), 80U);
  EXPECT_TRUE(parsed->options.empty());
  EXPECT_TRUE(verify_ipv4_checksum(Bytes(packet).first(20)));
  EXPECT_FALSE(parsed->is_fragment());
  EXPECT_EQ(parsed->ecn(), Ecn::kEct0);
}

TEST(Ipv4, EveryFlagAndTheLargestOffset) {
  Ipv4Header header = sample();
  header.reserved_flag = header.more_fragments = true;
  header.dont_fragment = false;
  header.fragment_offset = 65528;
  const auto parsed = parse_ipv4(packet_of(header));
  ASSERT_TRUE(parsed);
  expect_same(*parsed, header);
  EXPECT_TRUE(parsed->is_fragment());
}

TEST(Ipv4, OptionsArePaddedWithEndOfList) {
  const std::uint8_t options[] = {7, 7, 4, 0, 0, 0, 0, 1, 1};
  Ipv4Header header = sample();
  header.options = options;
  EXPECT_EQ(ipv4_header_length(header), 32U);
  const auto packet = packet_of(header);
  const auto parsed = parse_ipv4(packet);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->header_length, 32);
  const std::vector<std::uint8_t> expected = {7, 7, 4, 0, 0, 0, 0, 1, 1, 0, 0, 0};
  EXPECT_TRUE(std::ranges::equal(parsed->options, expected));
  EXPECT_TRUE(verify_ipv4_checksum(Bytes(packet).first(32)));
}

TEST(Ipv4, AChangedBitBreaksTheChecksum) {
  auto packet = packet_of(sample());
  for (std::size_t bit = 0; bit < 160; ++bit) {
    packet[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    EXPECT_FALSE(verify_ipv4_checksum(Bytes(packet).first(20))) << "bit " << bit;
    packet[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
  }
  packet[8] = 9;
  refresh_ipv4_checksum(MutableBytes(packet).first(20));
  EXPECT_TRUE(verify_ipv4_checksum(Bytes(packet).first(20)));
}

TEST(Ipv4, ShortPacketsAreRefused) {
  const auto packet = packet_of(sample());
  for (std::size_t size = 0; size < 20; ++size) EXPECT_FALSE(parse_ipv4(Bytes(packet).first(size)));
  EXPECT_TRUE(parse_ipv4(Bytes(packet).first(20))) << "a quoted header is alone";
}

TEST(Ipv4, VersionIsFour) {
  auto packet = packet_of(sample());
  for (unsigned version = 0; version < 16; ++version) {
    packet[0] = static_cast<std::uint8_t>(version << 4 | 5);
    EXPECT_EQ(parse_ipv4(packet).has_value(), version == 4);
  }
}

TEST(Ipv4, HeaderLengthStaysInsideThePacket) {
  for (const std::size_t size : {20U, 24U, 59U, 60U, 100U}) {
    auto packet = packet_of(sample());
    packet.resize(size);
    for (unsigned ihl = 0; ihl < 16; ++ihl) {
      packet[0] = static_cast<std::uint8_t>(0x40 | ihl);
      const auto parsed = parse_ipv4(packet);
      EXPECT_EQ(parsed.has_value(), ihl >= 5 && ihl * 4 <= size) << "ihl " << ihl << " of " << size;
      if (parsed) {
        EXPECT_EQ(parsed->options.size(), ihl * 4 - 20);
      }
    }
  }
}

TEST(Ipv4, TotalLengthCoversTheHeader) {
  for (const std::uint32_t length : length_boundaries(20, 100)) {
    auto packet = packet_of(sample());
    store_be<std::uint16_t>(packet, 2, static_cast<std::uint16_t>(length));
    const auto parsed = parse_ipv4(packet);
    EXPECT_EQ(parsed.has_value(), length >= 20) << length;
    if (parsed) {
      EXPECT_EQ(parsed->payload_length(), length - 20);
    }
  }
}

TEST(Ipv4Options, WalksWhatIsThere) {
  const std::uint8_t bytes[] = {1, 1, 148, 4, 0, 0, 7, 3, 4, 0, 99};
  Ipv4OptionReader reader(bytes);
  EXPECT_EQ(reader.next()->kind, Ipv4OptionKind::kNop);
  EXPECT_EQ(reader.next()->kind, Ipv4OptionKind::kNop);
  const auto alert = reader.next();
  ASSERT_TRUE(alert);
  EXPECT_EQ(alert->kind, Ipv4OptionKind::kRouterAlert);
  EXPECT_EQ(alert->data.size(), 2U);
  EXPECT_EQ(alert->offset, 2U);
  EXPECT_EQ(reader.next()->kind, Ipv4OptionKind::kRecordRoute);
  EXPECT_FALSE(reader.next());
  EXPECT_FALSE(reader.malformed()) << "what follows end-of-list is padding";
}

TEST(Ipv4Options, EveryLengthEndsTheWalk) {
  for (unsigned length = 0; length < 256; ++length) {
    std::vector<std::uint8_t> bytes(40, 1);
    bytes[3] = 131;
    bytes[4] = static_cast<std::uint8_t>(length);
    Ipv4OptionReader reader(bytes);
    int steps = 0;
    while (reader.next()) ++steps;
    EXPECT_LE(steps, 40);
    EXPECT_EQ(reader.malformed(), length < 2 || length > 37) << length;
    if (reader.malformed()) {
      EXPECT_EQ(reader.error_offset(), 3U);
    }
  }
  const std::uint8_t cut[] = {7};
  Ipv4OptionReader reader(cut);
  EXPECT_FALSE(reader.next());
  EXPECT_TRUE(reader.malformed());
}

}  // namespace
}  // namespace tapir::wire
