// SPDX-License-Identifier: Apache-2.0
#include "ip/fragments.h"

#include "ip/fragmenter.h"
#include "unit/ip/fixture.h"

namespace tapir::ip {
namespace {

using trace::Counter;
using trace::DropReason;

struct FragmentsTest : ::testing::Test, Host {
  Fragments fragments{pool, kKey, knobs, counters};

  std::expected<Frame, FragmentVerdict> add_packet(const Data& bytes, Instant now = kStart) {
    Frame packet = frame(bytes);
    const auto header = wire::parse_ipv4(packet.bytes());
    return fragments.add(*header, std::move(packet), now);
  }
  // Bytes [begin, end) of `payload` as a fragment.
  std::expected<Frame, FragmentVerdict> add(const Data& payload, std::size_t begin, std::size_t end,
                                            bool more, std::uint16_t id = 1, Instant now = kStart) {
    wire::Ipv4Header header = header_from_peer();
    header.id = id;
    header.fragment_offset = static_cast<std::uint16_t>(begin);
    header.more_fragments = more;
    const auto at = [&](std::size_t i) { return payload.begin() + static_cast<std::ptrdiff_t>(i); };
    return add_packet(packet_of(header, Data(at(begin), at(end))), now);
  }
};

Data payload_of(const Frame& whole) {
  const auto header = wire::parse_ipv4(whole.bytes());
  EXPECT_FALSE(header->is_fragment());
  EXPECT_EQ(header->total_length, whole.size());
  EXPECT_TRUE(wire::verify_ipv4_checksum(whole.bytes().first(header->header_length)));
  return flat(whole.bytes().subspan(header->header_length));
}

TEST_F(FragmentsTest, AnyOrder) {
  const Data payload = pattern(4000);
  const std::pair<std::size_t, std::size_t> parts[] = {{0, 800}, {800, 1600}, {1600, 2400}, {2400, 4000}};
  std::array<std::size_t, 4> order = {0, 1, 2, 3};
  std::uint16_t id = 0;
  do {
    ++id;
    for (std::size_t i = 0; i < 4; ++i) {
      const auto [begin, end] = parts[order[i]];
      auto result = add(payload, begin, end, end != payload.size(), id);
      ASSERT_EQ(result.has_value(), i == 3);
      if (i == 3)
        EXPECT_EQ(payload_of(*result), payload);
      else
        EXPECT_TRUE(result.error().held);
    }
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_EQ(count(Counter::kIpReasmReqds), 24u * 4);
  EXPECT_EQ(count(Counter::kIpReasmOKs), 24u);
  EXPECT_EQ(fragments.bytes(), 0u);
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST_F(FragmentsTest, SixtyFiveThousandBytes) {
  const Data payload = pattern(65515);
  for (std::size_t at = 0; at < payload.size(); at += 1480) {
    const std::size_t end = std::min(at + 1480, payload.size());
    auto result = add(payload, at, end, end != payload.size());
    if (end != payload.size()) continue;
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(payload_of(*result), payload);
  }
}

TEST_F(FragmentsTest, TapipBug20_OverlappingFragmentsDropDatagram) {
  const Data payload = pattern(3000);
  // Over the one before, over the one after, over both, and around one.
  const std::pair<std::size_t, std::size_t> overlaps[] = {{792, 1000}, {1400, 1608}, {0, 2400}, {400, 1200}};
  std::uint16_t id = 0;
  for (const auto& [begin, end] : overlaps) {
    ++id;
    add(payload, 0, 800, true, id);
    add(payload, 1600, 2400, true, id);
    const auto result = add(payload, begin, end, true, id);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().reason, DropReason::kFragOverlap);
    EXPECT_EQ(fragments.datagrams(), 0u);
    EXPECT_EQ(fragments.bytes(), 0u);
  }
  EXPECT_EQ(count(Counter::kIpExtReasmOverlaps), 4u);
}

TEST_F(FragmentsTest, TapipBug20_OverlappingLastFragmentDropsDatagram) {
  const Data payload = pattern(3000);
  add(payload, 0, 1600, true);
  const auto result = add(payload, 1592, 3000, false);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().reason, DropReason::kFragOverlap);
  EXPECT_EQ(fragments.datagrams(), 0u);
}

TEST_F(FragmentsTest, DuplicatesAreDroppedAndTheFirstBytesStay) {
  const Data payload = pattern(1600);
  const Data other = pattern(1600, 99);
  add(payload, 0, 800, true);
  EXPECT_EQ(add(other, 0, 800, true).error().reason, DropReason::kDupFrag);
  EXPECT_EQ(add(other, 80, 160, true).error().reason, DropReason::kDupFrag);
  const auto whole = add(payload, 800, 1600, false);
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(payload_of(*whole), payload);
}

TEST_F(FragmentsTest, PastTheLongestPacketIsDropped) {
  const Data payload = pattern(65536);
  add(payload, 0, 1480, true);
  EXPECT_EQ(add(payload, 65528, 65536, false).error().reason, DropReason::kFragTooFar);
  EXPECT_EQ(fragments.datagrams(), 0u);
}

TEST_F(FragmentsTest, TwoEndsOrDataPastTheEndDropTheDatagram) {
  const Data payload = pattern(3000);
  add(payload, 800, 1600, false, 1);
  EXPECT_EQ(add(payload, 1600, 2400, false, 1).error().reason, DropReason::kFragInvalid);
  add(payload, 800, 1600, false, 2);
  EXPECT_EQ(add(payload, 1600, 2400, true, 2).error().reason, DropReason::kFragInvalid);
  add(payload, 800, 1600, true, 3);
  EXPECT_EQ(add(payload, 0, 808, false, 3).error().reason, DropReason::kFragInvalid);
  EXPECT_EQ(add(payload, 0, 4, true, 4).error().reason,
            DropReason::kFragInvalid);  // nothing is left of 4 bytes
  EXPECT_EQ(fragments.datagrams(), 0u);
}

TEST_F(FragmentsTest, OddLengthIsCutToEight) {
  const Data payload = pattern(1600);
  add(payload, 0, 805, true);
  const auto whole = add(payload, 800, 1600, false);
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(payload_of(*whole), payload);
}

TEST_F(FragmentsTest, TapipBug19_DatagramsOfOtherIdentificationDoNotMix) {
  const Data one = pattern(1600, 1);
  const Data two = pattern(1600, 2);
  add(one, 0, 800, true, 1);
  add(two, 0, 800, true, 2);
  EXPECT_EQ(payload_of(*add(two, 800, 1600, false, 2)), two);
  EXPECT_EQ(payload_of(*add(one, 800, 1600, false, 1)), one);
}

TEST_F(FragmentsTest, TimeoutTellsOnlyWithTheFirstFragment) {
  const Data payload = pattern(1600);
  add(payload, 0, 800, true, 1);
  add(payload, 800, 1600, false, 2, kStart + 1s);
  EXPECT_EQ(fragments.next_timeout(), kStart + 30s);
  EXPECT_FALSE(fragments.poll_expired(kStart + 30s - 1ns).has_value());
  auto expired = fragments.poll_expired(kStart + 30s);
  ASSERT_TRUE(expired.has_value());
  ASSERT_TRUE(static_cast<bool>(expired->first));
  EXPECT_EQ(wire::parse_ipv4(expired->first.bytes())->id, 1);
  EXPECT_EQ(expired->first.size(), 820u);
  EXPECT_FALSE(fragments.poll_expired(kStart + 30s).has_value());
  expired = fragments.poll_expired(kStart + 31s);
  ASSERT_TRUE(expired.has_value());
  EXPECT_FALSE(static_cast<bool>(expired->first));
  EXPECT_EQ(fragments.next_timeout(), kNever);
  EXPECT_EQ(count(Counter::kIpReasmTimeout), 2u);
}

TEST_F(FragmentsTest, TooManyPiecesDropTheDatagram) {
  const Data payload = pattern(8 * (kFragmentsPerDatagramMax + 1));
  for (std::size_t i = 0; i < kFragmentsPerDatagramMax; ++i) add(payload, i * 8, i * 8 + 8, true);
  EXPECT_EQ(fragments.fragments(), kFragmentsPerDatagramMax);
  EXPECT_EQ(add(payload, kFragmentsPerDatagramMax * 8, payload.size(), true).error().reason,
            DropReason::kFragTooMany);
  EXPECT_EQ(fragments.fragments(), 0u);
}

TEST_F(FragmentsTest, TapipBug21_AFloodOfFragmentsHasABound) {
  const Data payload = pattern(1600);
  for (std::uint32_t i = 0; i < 50000; ++i) {
    wire::Ipv4Header header = header_from_peer();
    header.src = IpAddress::v4(0x14000000 + i);
    header.more_fragments = true;
    add_packet(packet_of(header, pattern(800)), kStart + std::chrono::microseconds(i * 10));
    ASSERT_LE(fragments.bytes(), knobs.ipfrag_high_thresh);
  }
  // In the middle of it, others still get through.
  add(payload, 0, 800, true, 9, kStart + 500ms);
  for (std::uint32_t i = 0; i < 500; ++i) {
    wire::Ipv4Header header = header_from_peer();
    header.src = IpAddress::v4(0x15000000 + i);
    header.more_fragments = true;
    add_packet(packet_of(header, pattern(800)), kStart + 501ms);
  }
  EXPECT_TRUE(add(payload, 800, 1600, false, 9, kStart + 502ms).has_value());
}

TEST_F(FragmentsTest, SmallFragmentsDoNotHoldLargeBuffers) {
  Frame large = pool.allocate(60000);
  const Data bytes = [] {
    wire::Ipv4Header header = header_from_peer();
    header.more_fragments = true;
    return packet_of(header, pattern(80));
  }();
  std::copy(bytes.begin(), bytes.end(), large.mutable_bytes().begin());
  large.trim_back(large.size() - bytes.size());
  const auto header = wire::parse_ipv4(large.bytes());
  EXPECT_TRUE(fragments.add(*header, std::move(large), kStart).error().held);
  EXPECT_LT(fragments.bytes(), 1000u);
}

TEST_F(FragmentsTest, CongestionMarkSurvives) {
  const Data payload = pattern(1600);
  const auto part = [&](std::size_t begin, bool more, Ecn ecn, std::uint16_t id) {
    wire::Ipv4Header header = header_from_peer();
    header.tos = static_cast<std::uint8_t>(ecn);
    header.id = id;
    header.fragment_offset = static_cast<std::uint16_t>(begin);
    header.more_fragments = more;
    const auto at = payload.begin() + static_cast<std::ptrdiff_t>(begin);
    return add_packet(packet_of(header, Data(at, at + 800)));
  };
  part(0, true, Ecn::kEct0, 1);
  const auto marked = part(800, false, Ecn::kCe, 1);
  ASSERT_TRUE(marked.has_value());
  EXPECT_EQ(wire::parse_ipv4(marked->bytes())->ecn(), Ecn::kCe);
  part(0, true, Ecn::kNotEct, 2);
  EXPECT_FALSE(part(800, false, Ecn::kCe, 2).has_value());
}

TEST_F(FragmentsTest, NoMemoryDropsTheDatagram) {
  const Data payload = pattern(1600);
  add(payload, 0, 800, true);
  wire::Ipv4Header header = header_from_peer();
  header.id = 1;
  header.fragment_offset = 800;
  Frame last = frame(packet_of(header, Data(payload.begin() + 800, payload.end())));
  const auto parsed = wire::parse_ipv4(last.bytes());
  pool.fail_after(1);
  EXPECT_EQ(fragments.add(*parsed, std::move(last), kStart).error().reason, DropReason::kFragMemory);
  EXPECT_EQ(fragments.datagrams(), 0u);
}

// ---- cutting ----

struct FragmenterTest : FragmentsTest {
  OutgoingFrame packet;
  Data payload;

  void make(std::size_t payload_size, wire::Ipv4Header header = header_from_peer()) {
    payload = pattern(payload_size);
    packet.clear();
    const auto front = packet.append_header(8);
    std::copy_n(payload.begin(), 8, front.begin());
    // Several spans, cut anywhere.
    const Bytes rest = Bytes(payload).subspan(8);
    for (std::size_t at = 0; at < rest.size(); at += 777)
      packet.add_payload(rest.subspan(at, std::min<std::size_t>(777, rest.size() - at)));
    header.total_length = static_cast<std::uint16_t>(wire::ipv4_header_length(header) + payload_size);
    wire::emit_ipv4(header, packet.push_header(wire::ipv4_header_length(header)));
    packet.network_offset = 0;
  }
  std::vector<Data> cut(std::uint32_t mtu) {
    std::vector<Data> all;
    Fragmenter fragmenter(packet, mtu);
    OutgoingFrame out;
    while (fragmenter.next(out)) all.push_back(flat(out));
    return all;
  }
};

TEST_F(FragmenterTest, PiecesFitAndMakeTheWholeAgain) {
  for (std::uint32_t mtu : {68u, 576u, 1499u, 1500u}) {
    make(5000);
    const auto all = cut(mtu);
    std::optional<Frame> whole;
    for (const Data& piece : all) {
      ASSERT_LE(piece.size(), mtu);
      auto result = add_packet(piece);
      if (result) whole = std::move(*result);
    }
    ASSERT_TRUE(whole.has_value()) << mtu;
    EXPECT_EQ(payload_of(*whole), payload);
  }
}

TEST_F(FragmenterTest, OffsetsAndFlagsInOrder) {
  make(3000);
  const auto all = cut(1500);
  ASSERT_EQ(all.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto header = *wire::parse_ipv4(all[i]);
    EXPECT_EQ(header.fragment_offset, i * 1480);
    EXPECT_EQ(header.more_fragments, i != 2);
    EXPECT_EQ(header.total_length, all[i].size());
    EXPECT_EQ(header.id, 77);
    EXPECT_TRUE(wire::verify_ipv4_checksum(Bytes(all[i]).first(20)));
  }
}

TEST_F(FragmenterTest, TapipBug19_AFragmentCutAgainKeepsItsOffset) {
  wire::Ipv4Header header = header_from_peer();
  header.fragment_offset = 2960;
  header.more_fragments = true;
  make(1480, header);
  const auto all = cut(576);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(wire::parse_ipv4(all[0])->fragment_offset, 2960);
  EXPECT_EQ(wire::parse_ipv4(all[1])->fragment_offset, 2960 + 552);
  EXPECT_EQ(wire::parse_ipv4(all[2])->fragment_offset, 2960 + 1104);
  EXPECT_TRUE(wire::parse_ipv4(all[2])->more_fragments);
}

TEST_F(FragmenterTest, OnlyCopiedOptionsGoIntoLaterPieces) {
  wire::Ipv4Header header = header_from_peer();
  const Data options = {7, 3, 4, 148, 4, 0, 0, 1};  // record route (not copied), router alert (copied), NOP
  header.options = options;
  make(2000, header);
  const auto all = cut(1500);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(flat(wire::parse_ipv4(all[0])->options), options);
  EXPECT_EQ(flat(wire::parse_ipv4(all[1])->options), (Data{1, 1, 1, 148, 4, 0, 0, 1}));
}

TEST_F(FragmenterTest, NoRoomForEightBytes) {
  make(100);
  EXPECT_TRUE(cut(27).empty());
  EXPECT_FALSE(cut(28).empty());
}

}  // namespace
}  // namespace tapir::ip
