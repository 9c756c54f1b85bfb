// SPDX-License-Identifier: Apache-2.0
#include "wire/vnet_hdr.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"
#include "unit/wire/length_boundaries.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/tcp_segment.h"
#include "wire/transport_locator.h"
#include "wire/udp.h"

namespace tapir::wire {
namespace {

const IpAddress kSrc = IpAddress::v4(10, 0, 0, 2);
const IpAddress kDst = IpAddress::v4(10, 0, 0, 1);

// An Ethernet frame with a TCP segment of `payload` bytes, its checksum left partial.
std::vector<std::uint8_t> tcp_frame(std::size_t payload) {
  std::vector<std::uint8_t> frame(14 + 20 + 20 + payload, 0x61);
  emit_ethernet({{}, {}, kEtherTypeIpv4}, frame);
  Ipv4Header ip;
  ip.total_length = static_cast<std::uint16_t>(frame.size() - 14);
  ip.src = kSrc;
  ip.dst = kDst;
  emit_ipv4(ip, MutableBytes(frame).subspan(14));
  TcpSegment tcp;
  tcp.flags = kAck;
  emit_tcp(tcp, MutableBytes(frame).subspan(34));
  store_be<std::uint16_t>(frame, 50, pseudo_header_sum(kSrc, kDst, IpProtocol::kTcp, 20 + payload));
  return frame;
}

VnetHeader super_header() {
  return {.flags = kVnetNeedsChecksum,
          .gso_type = kVnetGsoTcpV4,
          .header_length = 54,
          .gso_size = 1448,
          .checksum_start = 34,
          .checksum_offset = 16,
          .num_buffers = 0};
}

TEST(Vnet, RoundTripIsLittleEndian) {
  const VnetHeader header{.flags = 1,
                          .gso_type = 0x81,
                          .header_length = 0x0102,
                          .gso_size = 0x0304,
                          .checksum_start = 0x0506,
                          .checksum_offset = 0x0708,
                          .num_buffers = 0x090a};
  std::vector<std::uint8_t> bytes(12);
  EXPECT_EQ(emit_vnet(header, kVnetHeaderLong, bytes), 12U);
  EXPECT_EQ(bytes, (std::vector<std::uint8_t>{1, 0x81, 2, 1, 4, 3, 6, 5, 8, 7, 0x0a, 9}));
  EXPECT_EQ(parse_vnet(bytes, kVnetHeaderLong), header);
  VnetHeader brief = header;
  brief.num_buffers = 0;
  EXPECT_EQ(parse_vnet(bytes, kVnetHeaderShort), brief);
  EXPECT_FALSE(parse_vnet(Bytes(bytes).first(11), kVnetHeaderLong));
  EXPECT_FALSE(parse_vnet(Bytes(bytes).first(9), kVnetHeaderShort));
}

TEST(Vnet, AnHonestSuperSegment) {
  const auto frame = tcp_frame(10'000);
  VnetHeader header = super_header();
  header.gso_type |= kVnetGsoEcn;
  const auto verdict = validate_vnet(header, frame, 14);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->checksum, VnetChecksum::kPartial);
  EXPECT_EQ(verdict->checksum_start, 34U);
  EXPECT_EQ(verdict->checksum_offset, 16U);
  EXPECT_EQ(verdict->gso, VnetGso::kTcpV4);
  EXPECT_EQ(verdict->gso_size, 1448);
  EXPECT_TRUE(verdict->ecn);
}

TEST(Vnet, PlainFrames) {
  const std::vector<std::uint8_t> frame(60);
  EXPECT_EQ(validate_vnet({}, frame, 14)->checksum, VnetChecksum::kNone);
  VnetHeader valid;
  valid.flags = kVnetDataValid;
  EXPECT_EQ(validate_vnet(valid, frame, 14)->checksum, VnetChecksum::kVerified);
}

TEST(Vnet, ChecksumPositionsStayInsideTheFrame) {
  const auto frame = tcp_frame(100);
  for (const std::uint32_t start : length_boundaries(34, static_cast<std::uint32_t>(frame.size() - 1))) {
    for (const std::uint32_t offset :
         length_boundaries(16, static_cast<std::uint32_t>(frame.size() - 2 - 34))) {
      VnetHeader header;
      header.flags = kVnetNeedsChecksum;
      header.checksum_start = static_cast<std::uint16_t>(start);
      header.checksum_offset = static_cast<std::uint16_t>(offset);
      const auto verdict = validate_vnet(header, frame, 14);
      ASSERT_EQ(verdict.has_value(), start < frame.size() && start + offset + 2 <= frame.size())
          << start << ' ' << offset;
      if (!verdict) {
        EXPECT_EQ(verdict.error(), VnetFault::kChecksumOutside);
        continue;
      }
      EXPECT_EQ(verdict->checksum,
                start == 34 && offset == 16 ? VnetChecksum::kPartial : VnetChecksum::kElsewhere);
      auto copy = frame;
      complete_checksum(copy, verdict->checksum_start, verdict->checksum_offset);
    }
  }
}

TEST(Vnet, CompletedChecksumsAreRight) {
  auto frame = tcp_frame(101);
  complete_checksum(frame, 34, 16);
  EXPECT_EQ(transport_checksum(kSrc, kDst, IpProtocol::kTcp, Bytes(frame).subspan(34)), 0);
}

TEST(Vnet, HeaderLengthMayLie) {
  const auto frame = tcp_frame(3000);
  for (const std::uint32_t length : length_boundaries(54, static_cast<std::uint32_t>(frame.size()))) {
    VnetHeader header = super_header();
    header.header_length = static_cast<std::uint16_t>(length);
    const auto verdict = validate_vnet(header, frame, 14);
    EXPECT_EQ(verdict.has_value(), length <= frame.size()) << length;
  }
}

TEST(Vnet, GsoSizeMayLie) {
  const auto frame = tcp_frame(20'000);
  for (const std::uint32_t size : length_boundaries(3, 20'000)) {
    VnetHeader header = super_header();
    header.gso_size = static_cast<std::uint16_t>(size);
    const auto verdict = validate_vnet(header, frame, 14);
    if (size == 0) {
      EXPECT_EQ(verdict.error(), VnetFault::kGsoSizeZero);
    } else if (20'000 / size > kVnetSegmentsMax) {
      EXPECT_EQ(verdict.error(), VnetFault::kGsoTooManySegments) << size;
    } else {
      ASSERT_TRUE(verdict) << size;
      EXPECT_EQ(verdict->gso, size < 20'000 ? VnetGso::kTcpV4 : VnetGso::kNone)
          << "one segment is no super-segment: " << size;
    }
  }
}

TEST(Vnet, GsoTypeMayLie) {
  const auto frame = tcp_frame(3000);
  for (unsigned type = 0; type < 256; ++type) {
    VnetHeader header = super_header();
    header.gso_type = static_cast<std::uint8_t>(type);
    const auto verdict = validate_vnet(header, frame, 14);
    const unsigned kind = type & 0x7f;
    EXPECT_EQ(verdict.has_value(), kind == kVnetGsoNone || kind == kVnetGsoTcpV4) << type;
    if (!verdict) {
      const bool other = kind == kVnetGsoTcpV6 || type == kVnetGsoUdp;
      EXPECT_EQ(verdict.error(), other ? VnetFault::kGsoWrongProtocol : VnetFault::kUnknownGso) << type;
    }
  }
}

TEST(Vnet, ASuperSegmentSaysWhoSumsIt) {
  const auto frame = tcp_frame(3000);
  VnetHeader header = super_header();
  header.flags = 0;
  EXPECT_EQ(validate_vnet(header, frame, 14).error(), VnetFault::kGsoWithoutChecksum);
  header.flags = kVnetDataValid;
  EXPECT_EQ(validate_vnet(header, frame, 14)->checksum, VnetChecksum::kVerified);
  header = super_header();
  header.checksum_offset = 18;
  EXPECT_EQ(validate_vnet(header, frame, 14).error(), VnetFault::kGsoWithoutChecksum);
}

TEST(Vnet, FramesThatAreCutOff) {
  const auto frame = tcp_frame(3000);
  for (std::size_t size = 0; size < frame.size(); size += size < 80 ? 1 : 97) {
    EXPECT_FALSE(validate_vnet(super_header(), Bytes(frame).first(size), 14)) << size;
  }
}

TEST(Vnet, NoBytesAtAllMakeItFault) {
  Rng rng(7);
  const auto good = tcp_frame(600);
  for (int i = 0; i < 20'000; ++i) {
    auto frame = good;
    for (int changes = 0; changes < 3; ++changes)
      frame[static_cast<std::size_t>(rng.below(70))] = static_cast<std::uint8_t>(rng.next_u32());
    frame.resize(static_cast<std::size_t>(rng.below(frame.size() + 1)));
    std::vector<std::uint8_t> bytes(12);
    rng.fill(bytes);
    bytes[0] &= 3;
    bytes[1] &= 0x87;
    for (const std::size_t high : {3U, 7U, 9U}) bytes[high] &= 1;
    const auto verdict = validate_vnet(*parse_vnet(bytes, 12), frame, 14);
    if (verdict &&
        (verdict->checksum == VnetChecksum::kPartial || verdict->checksum == VnetChecksum::kElsewhere))
      complete_checksum(frame, verdict->checksum_start, verdict->checksum_offset);
  }
}

TEST(TransportLocator, LooksThroughVlanTags) {
  const auto plain = tcp_frame(10);
  std::vector<std::uint8_t> tagged(plain.begin(), plain.begin() + 12);
  tagged.insert(tagged.end(), {0x81, 0x00, 0x00, 0x05});
  tagged.insert(tagged.end(), plain.begin() + 12, plain.end());
  const auto where = locate_transport(tagged, 14);
  ASSERT_TRUE(where);
  EXPECT_EQ(where->network, 18U);
  EXPECT_EQ(where->transport, 38U);
  EXPECT_EQ(where->payload, 58U);
  EXPECT_EQ(where->end, tagged.size());
  EXPECT_EQ(where->checksum_field(), 54U);
}

TEST(TransportLocator, BareIpAndPadding) {
  auto frame = tcp_frame(1);
  frame.erase(frame.begin(), frame.begin() + 14);
  frame.resize(frame.size() + 5);
  const auto where = locate_transport(frame, 0);
  ASSERT_TRUE(where);
  EXPECT_EQ(where->end, 41U);
}

TEST(TransportLocator, FragmentsAndOthersAreNotFound) {
  auto frame = tcp_frame(10);
  frame[20] = 0x20;  // more fragments
  EXPECT_FALSE(locate_transport(frame, 14));
  frame = tcp_frame(10);
  frame[23] = 1;  // ICMP
  EXPECT_FALSE(locate_transport(frame, 14));
  frame = tcp_frame(10);
  frame[13] = 6;  // ARP
  EXPECT_FALSE(locate_transport(frame, 14));
}

}  // namespace
}  // namespace tapir::wire
