// SPDX-License-Identifier: Apache-2.0
#include "wire/checksum.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"

namespace tapir::wire {
namespace {

// RFC 1071 §4.1, the definition: 16-bit big-endian words, one after the other.
std::uint16_t naive_sum(Bytes bytes) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    sum += i % 2 == 0 ? static_cast<std::uint64_t>(bytes[i]) << 8 : bytes[i];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}
std::uint16_t naive_checksum(Bytes bytes) { return static_cast<std::uint16_t>(~naive_sum(bytes)); }

std::vector<std::uint8_t> random_bytes(Rng& rng, std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  rng.fill(bytes);
  return bytes;
}

TEST(Checksum, Rfc1071Example) {
  const std::uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(internet_checksum(bytes), static_cast<std::uint16_t>(~0xddf2));
}

TEST(Checksum, EmptyAndConstantRuns) {
  EXPECT_EQ(internet_checksum({}), 0xffff);
  for (const std::uint8_t value : {std::uint8_t{0x00}, std::uint8_t{0xff}}) {
    for (const std::size_t size : {1U, 2U, 127U, 128U, 129U, 4096U, 65535U}) {
      const std::vector<std::uint8_t> bytes(size, value);
      EXPECT_EQ(internet_checksum(bytes), naive_checksum(bytes)) << size << " bytes of " << int{value};
    }
  }
}

TEST(Checksum, AgreesWithTheDefinitionAtAnyLengthAndAlignment) {
  Rng rng(1);
  const auto bytes = random_bytes(rng, 70'000);
  for (int i = 0; i < 3000; ++i) {
    const std::size_t offset = static_cast<std::size_t>(rng.below(64));
    const std::size_t size = static_cast<std::size_t>(rng.below(i % 10 == 0 ? 66'000 : 700));
    const Bytes run = Bytes(bytes).subspan(offset, size);
    ASSERT_EQ(internet_checksum(run), naive_checksum(run)) << "offset " << offset << " size " << size;
  }
}

TEST(Checksum, PiecesOfAnyParityAreOneRun) {
  Rng rng(2);
  for (int i = 0; i < 500; ++i) {
    const auto bytes = random_bytes(rng, static_cast<std::size_t>(rng.below(2000)));
    ChecksumAccumulator accumulator;
    for (Bytes rest(bytes); !rest.empty();) {
      const auto piece = static_cast<std::size_t>(rng.between(1, rest.size()));
      accumulator.add(rest.first(piece));
      rest = rest.subspan(piece);
    }
    ASSERT_EQ(accumulator.finish(), naive_checksum(bytes));
  }
}

TEST(Checksum, CopyingSumsWhatItCopies) {
  Rng rng(3);
  for (int i = 0; i < 1000; ++i) {
    const auto bytes = random_bytes(rng, static_cast<std::size_t>(rng.below(1000)) + 8);
    const std::size_t offset = static_cast<std::size_t>(rng.below(8));
    const Bytes source = Bytes(bytes).subspan(offset);
    std::vector<std::uint8_t> copy(source.size() + 1, 0xa5);
    ASSERT_EQ(copy_and_checksum(copy, source), naive_sum(source));
    ASSERT_TRUE(std::equal(source.begin(), source.end(), copy.begin()));
    ASSERT_EQ(copy.back(), 0xa5) << "nothing is written behind the copy";
  }
}

TEST(Checksum, NumbersAreBytesOfTheRun) {
  const std::uint8_t bytes[] = {0xab, 0x12, 0x34, 0xde, 0xad, 0xbe, 0xef};
  ChecksumAccumulator accumulator;
  accumulator.add(Bytes(bytes).first(1));
  accumulator.add_be16(0x1234);
  accumulator.add_be32(0xdeadbeef);
  EXPECT_EQ(accumulator.sum(), naive_sum(bytes));
}

TEST(Checksum, IncrementalUpdateEqualsSummingAgain) {
  Rng rng(4);
  for (int i = 0; i < 2000; ++i) {
    auto bytes = random_bytes(rng, 40);
    const std::uint16_t before = internet_checksum(bytes);
    const std::size_t at = static_cast<std::size_t>(rng.below(18)) * 2;
    const auto old16 = load_be<std::uint16_t>(bytes, at);
    const auto old32 = load_be<std::uint32_t>(bytes, at);
    const std::uint32_t fresh = i % 7 == 0 ? 0 : rng.next_u32();
    auto changed = bytes;
    store_be<std::uint16_t>(changed, at, static_cast<std::uint16_t>(fresh));
    ASSERT_EQ(update_checksum16(before, old16, static_cast<std::uint16_t>(fresh)),
              internet_checksum(changed));
    changed = bytes;
    store_be<std::uint32_t>(changed, at, fresh);
    ASSERT_EQ(update_checksum32(before, old32, fresh), internet_checksum(changed));
  }
}

TEST(Checksum, PseudoHeaderOfIpv4) {
  const IpAddress src = IpAddress::v4(192, 0, 2, 1);
  const IpAddress dst = IpAddress::v4(198, 51, 100, 255);
  const std::uint8_t header[] = {192, 0, 2, 1, 198, 51, 100, 255, 0, 6, 0x12, 0x34};
  EXPECT_EQ(pseudo_header_sum(src, dst, IpProtocol::kTcp, 0x1234), naive_sum(header));
}

TEST(Checksum, PseudoHeaderOfIpv6) {
  std::array<std::uint8_t, 16> src = {0x20, 0x01, 0x0d, 0xb8};
  std::array<std::uint8_t, 16> dst = {0xfe, 0x80};
  src[15] = 1;
  dst[14] = 0xab;
  std::vector<std::uint8_t> header(src.begin(), src.end());
  header.insert(header.end(), dst.begin(), dst.end());
  const std::uint8_t tail[] = {0, 1, 0x23, 0x45, 0, 0, 0, 17};
  header.insert(header.end(), std::begin(tail), std::end(tail));
  EXPECT_EQ(pseudo_header_sum(IpAddress::v6(src), IpAddress::v6(dst), IpProtocol::kUdp, 0x12345),
            naive_sum(header));
}

TEST(Checksum, TransportChecksumOfASealedSegmentIsZero) {
  const IpAddress src = IpAddress::v4(10, 0, 0, 1);
  const IpAddress dst = IpAddress::v4(10, 0, 0, 2);
  Rng rng(5);
  auto segment = random_bytes(rng, 77);
  store_be<std::uint16_t>(segment, 16, 0);
  store_be<std::uint16_t>(segment, 16, transport_checksum(src, dst, IpProtocol::kTcp, segment));
  EXPECT_EQ(transport_checksum(src, dst, IpProtocol::kTcp, segment), 0);
  segment[76] ^= 1;
  EXPECT_NE(transport_checksum(src, dst, IpProtocol::kTcp, segment), 0);
}

}  // namespace
}  // namespace tapir::wire
