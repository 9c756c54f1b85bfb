// SPDX-License-Identifier: Apache-2.0
#include "link/capture.h"

#include <gtest/gtest.h>

#include <bit>
#include <string>

#include "link/pipe.h"
#include "unit/link/frames.h"

namespace tapir::link {
namespace {

struct MemorySink : ByteSink {
  bool write(Bytes bytes) override {
    if (broken) return false;
    all.insert(all.end(), bytes.begin(), bytes.end());
    return true;
  }
  std::vector<std::uint8_t> all;
  bool broken = false;
};

std::uint32_t u32(Bytes bytes, std::size_t at) { return std::byteswap(load_be<std::uint32_t>(bytes, at)); }
std::uint16_t u16(Bytes bytes, std::size_t at) { return std::byteswap(load_be<std::uint16_t>(bytes, at)); }

struct Block {
  std::uint32_t type;
  Bytes body;
};

// The file as its blocks; both lengths of each must agree.
std::vector<Block> blocks_of(Bytes file) {
  std::vector<Block> blocks;
  while (!file.empty()) {
    const std::uint32_t length = u32(file, 4);
    EXPECT_EQ(length % 4, 0U);
    EXPECT_GE(length, 12U);
    EXPECT_LE(length, file.size());
    if (length < 12 || length > file.size()) break;
    EXPECT_EQ(u32(file, length - 4), length);
    blocks.push_back({u32(file, 0), file.subspan(8, length - 12)});
    file = file.subspan(length);
  }
  return blocks;
}

// The option `code` of a list, as text.
std::string option_of(Bytes options, std::uint16_t code) {
  while (options.size() >= 4 && u16(options, 0) != 0) {
    const std::size_t length = u16(options, 2);
    if (u16(options, 0) == code) return {reinterpret_cast<const char*>(options.data()) + 4, length};
    options = options.subspan(4 + (length + 3) / 4 * 4);
  }
  return "(none)";
}

TEST(Pcapng, SectionAndInterface) {
  MemorySink sink;
  PcapngWriter writer(sink);
  EXPECT_TRUE(writer.begin());
  EXPECT_EQ(writer.add_interface(LinkType::kEthernet, "tap0"), 0U);
  EXPECT_EQ(writer.add_interface(LinkType::kRawIp, "lo"), 1U);
  const auto blocks = blocks_of(sink.all);
  ASSERT_EQ(blocks.size(), 3U);
  EXPECT_EQ(blocks[0].type, 0x0a0d0d0aU);
  EXPECT_EQ(u32(blocks[0].body, 0), 0x1a2b3c4dU);
  EXPECT_EQ(u16(blocks[0].body, 4), 1);
  EXPECT_EQ(blocks[1].type, 1U);
  EXPECT_EQ(u16(blocks[1].body, 0), 1);
  EXPECT_EQ(option_of(blocks[1].body.subspan(8), 2), "tap0");
  EXPECT_EQ(option_of(blocks[1].body.subspan(8), 9), "\x09");
  EXPECT_EQ(u16(blocks[2].body, 0), 101);
}

TEST(Pcapng, PacketsWithCommentsAndSnapLength) {
  MemorySink sink;
  PcapngWriter writer(sink, 5);
  const std::vector<std::uint8_t> one = {1, 2, 3};
  const std::vector<std::uint8_t> two = {4, 5, 6, 7};
  const std::array<Bytes, 2> pieces = {one, two};
  EXPECT_TRUE(writer.packet(3, 0x0123456789abcdef, CaptureDirection::kOut, pieces, "cwnd 10"));
  const auto blocks = blocks_of(sink.all);
  ASSERT_EQ(blocks.size(), 1U);
  const Bytes body = blocks[0].body;
  EXPECT_EQ(blocks[0].type, 6U);
  EXPECT_EQ(u32(body, 0), 3U);
  EXPECT_EQ(u32(body, 4), 0x01234567U);
  EXPECT_EQ(u32(body, 8), 0x89abcdefU);
  EXPECT_EQ(u32(body, 12), 5U);
  EXPECT_EQ(u32(body, 16), 7U);
  EXPECT_TRUE(std::ranges::equal(body.subspan(20, 8), std::vector<std::uint8_t>{1, 2, 3, 4, 5, 0, 0, 0}));
  EXPECT_EQ(option_of(body.subspan(28), 2), std::string("\x02\0\0\0", 4));
  EXPECT_EQ(option_of(body.subspan(28), 1), "cwnd 10");
}

TEST(Pcapng, TheLongestPacketAndComment) {
  MemorySink sink;
  PcapngWriter writer(sink);
  const std::vector<std::uint8_t> packet(70'000);
  const std::array<Bytes, 1> pieces = {packet};
  EXPECT_TRUE(writer.packet(0, 0, CaptureDirection::kIn, pieces, std::string(10'000, 'x')));
  const auto blocks = blocks_of(sink.all);
  ASSERT_EQ(blocks.size(), 1U);
  EXPECT_EQ(u32(blocks[0].body, 16), 70'000U);
}

TEST(Pcapng, AfterAFailureNothingIsWritten) {
  MemorySink sink;
  PcapngWriter writer(sink);
  sink.broken = true;
  EXPECT_FALSE(writer.begin());
  sink.broken = false;
  EXPECT_FALSE(writer.packet(0, 0, CaptureDirection::kIn, {}));
  EXPECT_TRUE(writer.failed());
  EXPECT_TRUE(sink.all.empty());
}

TEST(CaptureDevice, WritesWhatPassesBothWays) {
  MemorySink sink;
  PcapngWriter writer(sink);
  writer.begin();
  auto [a, b] = make_pipe({.frames_max = 1});
  Capture capture(std::move(a), writer, "pipe0", 1'700'000'000s);
  Receiver receiver;
  const auto payload = payload_bytes(30);
  const std::array<OutgoingFrame, 2> batch = {numbered_frame(1, payload), numbered_frame(2, payload)};
  EXPECT_EQ(capture.transmit(batch, at(1ns)), 1U);
  EXPECT_EQ(b->transmit(std::span(batch).subspan(1), at(2ns)), 1U);
  EXPECT_EQ(receiver.receive(capture, at(3ns)).size(), 1U);
  const auto blocks = blocks_of(sink.all);
  ASSERT_EQ(blocks.size(), 4U) << "the frame that was refused is not shown";
  for (std::size_t i = 0; i < 2; ++i) {
    const Bytes body = blocks[2 + i].body;
    const std::uint64_t nsec = static_cast<std::uint64_t>(u32(body, 4)) << 32 | u32(body, 8);
    EXPECT_EQ(nsec, 1'700'000'000'000'000'000U + (i == 0 ? 1 : 3));
    EXPECT_TRUE(std::ranges::equal(body.subspan(20, 45), bytes_of(batch[i])));
    EXPECT_EQ(option_of(body.subspan(68), 2)[0], i == 0 ? 2 : 1);
  }
}

}  // namespace
}  // namespace tapir::link
