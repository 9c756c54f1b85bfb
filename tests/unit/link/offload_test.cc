// SPDX-License-Identifier: Apache-2.0
#include "link/offload.h"

#include <gtest/gtest.h>

#include "link/pipe.h"
#include "unit/link/frames.h"

namespace tapir::link {
namespace {

// Offload over one end of a pipe that grants `granted`.
struct Rig {
  explicit Rig(const Offloads& granted, std::size_t frames_max = kPipeFramesMax) {
    auto [a, b] = make_pipe({.offloads = granted, .frames_max = frames_max});
    near = std::make_unique<Offload>(std::move(a));
    far = std::move(b);
  }
  std::vector<Frame> send(const OutgoingFrame& frame) {
    EXPECT_EQ(near->transmit({&frame, 1}, at(0ms)), 1U);
    return receiver.receive(*far, at(0ms));
  }
  Receiver receiver;
  std::unique_ptr<Offload> near;
  std::unique_ptr<PipeEnd> far;
};

TEST(Offload, CompletesAChecksum) {
  Rig rig({});
  for (const std::size_t size : {0U, 1U, 2U, 999U, 1400U}) {
    const auto payload = payload_bytes(size);
    const auto frames = rig.send(tcp_frame(payload, wire::kAck));
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].meta().checksum, ChecksumState::kNone);
    EXPECT_TRUE(is_sound_tcp(frames[0].bytes()));
  }
}

TEST(Offload, LeavesItToADeviceThatCan) {
  Rig rig(all_offloads());
  const auto payload = payload_bytes(5000);
  const OutgoingFrame super = tcp_frame(payload, wire::kAck, 1448);
  const auto frames = rig.send(super);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].meta().checksum, ChecksumState::kPartial);
  EXPECT_TRUE(std::ranges::equal(frames[0].bytes(), bytes_of(super)));
  EXPECT_EQ(rig.near->room(), rig.near->inner().room());
}

TEST(Offload, SplitsATcpSuperSegmentAsLinuxDoes) {
  Rig rig({});
  const auto payload = payload_bytes(3001);
  const auto frames =
      rig.send(tcp_frame(payload, wire::kAck | wire::kPsh | wire::kFin | wire::kCwr | wire::kEce, 1000));
  ASSERT_EQ(frames.size(), 4U);
  std::vector<std::uint8_t> joined;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const Bytes bytes = frames[i].bytes();
    EXPECT_TRUE(is_sound_tcp(bytes)) << i;
    EXPECT_EQ(wire::parse_ipv4(bytes.subspan(14))->id, static_cast<std::uint16_t>(0xfffe + i))
        << "counts on, and wraps";
    EXPECT_TRUE(wire::parse_ipv4(bytes.subspan(14))->dont_fragment);
    const wire::TcpSegment segment = tcp_of(bytes);
    EXPECT_EQ(segment.seq, SeqNum(0xffffff00) + static_cast<std::uint32_t>(i * 1000)) << "wraps too";
    EXPECT_EQ(segment.options.timestamps, (wire::TcpTimestamps{1, 2}));
    EXPECT_EQ(segment.has(wire::kCwr), i == 0);
    EXPECT_TRUE(segment.has(wire::kEce));
    EXPECT_TRUE(segment.has(wire::kAck));
    EXPECT_EQ(segment.has(wire::kPsh), i == 3);
    EXPECT_EQ(segment.has(wire::kFin), i == 3);
    EXPECT_EQ(segment.payload.size(), i < 3 ? 1000U : 1U);
    joined.insert(joined.end(), segment.payload.begin(), segment.payload.end());
  }
  EXPECT_EQ(joined, payload);
}

TEST(Offload, SplitsForADeviceThatSums) {
  Rig rig({.tx_checksum = true,
           .rx_checksum = false,
           .tso = false,
           .uso = false,
           .gso_max_size = 0,
           .gso_max_segs = 0});
  const auto payload = payload_bytes(2500);
  const auto frames = rig.send(tcp_frame(payload, wire::kAck, 1000));
  ASSERT_EQ(frames.size(), 3U);
  for (const Frame& frame : frames) {
    EXPECT_EQ(frame.meta().checksum, ChecksumState::kPartial);
    const Bytes segment = frame.bytes().subspan(34);
    EXPECT_EQ(load_be<std::uint16_t>(segment, 16),
              wire::pseudo_header_sum(kSrc, kDst, IpProtocol::kTcp, segment.size()));
  }
}

TEST(Offload, SplitsAUdpSuperDatagram) {
  Rig rig({});
  const auto payload = payload_bytes(2500);
  const auto frames = rig.send(udp_frame(payload, 1000));
  ASSERT_EQ(frames.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto datagram = wire::parse_udp(frames[i].bytes().subspan(34));
    ASSERT_TRUE(datagram);
    EXPECT_EQ(datagram->length, i < 2 ? 1008 : 508);
    EXPECT_NE(datagram->checksum, 0);
    EXPECT_TRUE(is_sound_tcp(frames[i].bytes())) << "the sums of UDP are made alike";
  }
}

TEST(Offload, EverySizeOfSegment) {
  const auto payload = payload_bytes(1300);
  for (std::uint16_t size = 21; size < 1400; size = static_cast<std::uint16_t>(size + 13)) {
    Rig rig({});
    const auto frames = rig.send(tcp_frame(payload, wire::kAck, size));
    ASSERT_EQ(frames.size(), (1300U + size - 1) / size);
    for (const Frame& frame : frames) ASSERT_TRUE(is_sound_tcp(frame.bytes()));
  }
}

TEST(Offload, RoomReckonsWithTheWorstExpansion) {
  Rig rig({}, 200);
  EXPECT_EQ(rig.near->room(), 200U / kSoftwareSegmentsMax);
  EXPECT_EQ(rig.near->offloads().gso_max_segs, kSoftwareSegmentsMax);
  EXPECT_EQ(rig.near->offloads().gso_max_size, 65535U);
  EXPECT_TRUE(rig.near->offloads().tso);
  const Rig brief({}, 10);
  EXPECT_EQ(brief.near->room(), 1U) << "a short queue still takes a super-segment of its own length";
  EXPECT_EQ(brief.near->offloads().gso_max_segs, 10);
}

TEST(Offload, StopsWhereTheDeviceIsFull) {
  Rig rig({}, 10);
  const auto payload = payload_bytes(4000);
  const std::array<OutgoingFrame, 4> batch = {tcp_frame(payload, wire::kAck, 1000), numbered_frame(1, {}),
                                              tcp_frame(payload, wire::kAck, 1000),
                                              tcp_frame(payload, wire::kAck, 1000)};
  EXPECT_EQ(rig.near->transmit(batch, at(0ms)), 3U) << "nine frames; four more do not fit";
  EXPECT_EQ(rig.receiver.receive(*rig.far, at(0ms)).size(), 9U);
  EXPECT_EQ(rig.near->lost(), 0U);
}

TEST(Offload, KeepsTheOrderOfPlainAndSplitFrames) {
  Rig rig({});
  const auto payload = payload_bytes(2000);
  const std::array<OutgoingFrame, 4> batch = {numbered_frame(1, {}), tcp_frame(payload, wire::kAck, 1000),
                                              numbered_frame(2, {}), numbered_frame(3, {})};
  EXPECT_EQ(rig.near->transmit(batch, at(0ms)), 4U);
  const auto frames = rig.receiver.receive(*rig.far, at(0ms));
  ASSERT_EQ(frames.size(), 5U);
  EXPECT_EQ(number_of(frames[0]), 1);
  EXPECT_EQ(tcp_of(frames[2].bytes()).seq, SeqNum(0xffffff00) + 1000);
  EXPECT_EQ(number_of(frames[3]), 2);
  EXPECT_EQ(number_of(frames[4]), 3);
}

TEST(Offload, ASuperSegmentThatLiesIsLost) {
  Rig rig({});
  const auto payload = payload_bytes(2000);
  OutgoingFrame udp_for_tcp = udp_frame(payload);
  udp_for_tcp.gso = {.type = GsoType::kTcpV6, .size = 100, .ecn = false};
  OutgoingFrame no_size = tcp_frame(payload, wire::kAck, 1000);
  no_size.gso.size = 0;
  OutgoingFrame too_many = tcp_frame(payload, wire::kAck, 1);
  for (const OutgoingFrame& frame : {udp_for_tcp, no_size, too_many}) EXPECT_TRUE(rig.send(frame).empty());
  EXPECT_EQ(rig.near->lost(), 3U);
}

TEST(Segmenter, CutsALongSuperSegmentIntoOrdinaryOnes) {
  const auto payload = payload_bytes(150'001);
  const OutgoingFrame frame = tcp_frame(payload, wire::kAck | wire::kPsh | wire::kFin | wire::kCwr, 1000);
  const auto parts = Segmenter::into_super_segments(frame, wire::kIpv4PacketMax);
  ASSERT_TRUE(parts);
  ASSERT_EQ(parts->segments(), 3U) << "65 segments in each";
  std::vector<std::uint8_t> joined;
  for (std::size_t i = 0; i < 3; ++i) {
    OutgoingFrame part;
    parts->emit(i, ChecksumWork::kDevice, part);
    EXPECT_EQ(part.gso.type, GsoType::kTcpV4);
    EXPECT_EQ(part.gso.size, 1000);
    EXPECT_EQ(part.gso.ecn, i == 0) << "CWR is on the first only";
    EXPECT_TRUE(part.checksum.wanted);
    OutgoingFrame summed;
    ASSERT_TRUE(with_checksum(part, summed));
    const auto bytes = bytes_of(summed);
    EXPECT_TRUE(is_sound_tcp(bytes)) << i;
    EXPECT_EQ(wire::parse_ipv4(Bytes(bytes).subspan(14))->id, static_cast<std::uint16_t>(0xfffe + i * 65));
    const wire::TcpSegment segment = tcp_of(bytes);
    EXPECT_EQ(segment.seq, SeqNum(0xffffff00) + static_cast<std::uint32_t>(i * 65'000));
    EXPECT_EQ(segment.has(wire::kCwr), i == 0);
    EXPECT_EQ(segment.has(wire::kPsh), i == 2);
    EXPECT_EQ(segment.has(wire::kFin), i == 2);
    EXPECT_EQ(segment.payload.size(), i < 2 ? 65'000U : 20'001U);
    joined.insert(joined.end(), segment.payload.begin(), segment.payload.end());
  }
  EXPECT_EQ(joined, payload);
  // The last may be a plain segment.
  const auto short_tail = payload_bytes(65'400);
  const OutgoingFrame with_tail = tcp_frame(short_tail, wire::kAck, 1000);
  OutgoingFrame last;
  Segmenter::into_super_segments(with_tail, wire::kIpv4PacketMax)->emit(1, ChecksumWork::kDevice, last);
  EXPECT_EQ(last.gso.type, GsoType::kNone);
  EXPECT_EQ(last.payload_size(), 400U);
  const auto jumbo = payload_bytes(120'000);
  const OutgoingFrame of_jumbo_segments = tcp_frame(jumbo, wire::kAck, 40'000);
  const auto single = Segmenter::into_super_segments(of_jumbo_segments, wire::kIpv4PacketMax);
  ASSERT_TRUE(single);
  EXPECT_EQ(single->segments(), 3U) << "two together would be too long";
  single->emit(0, ChecksumWork::kDevice, last);
  EXPECT_EQ(last.gso.type, GsoType::kNone);
  EXPECT_EQ(last.payload_size(), 40'000U);
  const auto datagram = payload_bytes(3000);
  EXPECT_FALSE(Segmenter::into_super_segments(udp_frame(datagram, 1000), wire::kIpv4PacketMax))
      << "of TCP only";
}

TEST(Segmenter, SplitsReceivedFrames) {
  auto [a, b] = make_pipe({.offloads = all_offloads()});
  Receiver receiver;
  const auto payload = payload_bytes(5000);
  const OutgoingFrame super = tcp_frame(payload, wire::kAck | wire::kPsh, 1448);
  a->transmit({&super, 1}, at(0ms));
  auto frames = receiver.receive(*b, at(0ms));
  const auto segmenter = Segmenter::of(frames[0], 14);
  ASSERT_TRUE(segmenter);
  ASSERT_EQ(segmenter->segments(), 4U);
  std::size_t total = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    OutgoingFrame out;
    segmenter->emit(i, ChecksumWork::kSoftware, out);
    const auto bytes = bytes_of(out);
    EXPECT_TRUE(is_sound_tcp(bytes));
    EXPECT_EQ(out.network_offset, 14);
    EXPECT_EQ(out.transport_offset, 34);
    total += tcp_of(bytes).payload.size();
  }
  EXPECT_EQ(total, 5000U);
}

TEST(Segmenter, CompletesAPartialFrame) {
  auto [a, b] = make_pipe({.offloads = all_offloads()});
  Receiver receiver;
  const auto payload = payload_bytes(333);
  const std::array<OutgoingFrame, 2> batch = {tcp_frame(payload, wire::kAck), udp_frame(payload)};
  a->transmit(batch, at(0ms));
  for (Frame& frame : receiver.receive(*b, at(0ms))) {
    EXPECT_FALSE(is_sound_tcp(frame.bytes()));
    EXPECT_TRUE(complete_partial(frame, 14));
    EXPECT_TRUE(is_sound_tcp(frame.bytes()));
    EXPECT_EQ(frame.meta().checksum, ChecksumState::kNone);
  }
}

}  // namespace
}  // namespace tapir::link
