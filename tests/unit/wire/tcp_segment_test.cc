// SPDX-License-Identifier: Apache-2.0
#include "wire/tcp_segment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/rng.h"
#include "wire/segment_text.h"

namespace tapir::wire {
namespace {

TcpSegment sample(std::uint16_t flags) {
  TcpSegment segment;
  segment.src_port = 40'000;
  segment.dst_port = 80;
  segment.seq = SeqNum(0xfffffff0);
  segment.ack = SeqNum(0x12345678);
  segment.flags = flags;
  segment.window = 0xfedc;
  segment.urgent = 9;
  segment.reserved = 5;
  return segment;
}

std::vector<std::uint8_t> emitted(const TcpSegment& segment) {
  std::vector<std::uint8_t> bytes(kTcpHeaderMax);
  bytes.resize(emit_tcp(segment, bytes));
  return bytes;
}

// The options as they go out, in packetdrill's notation.
std::string options_on_wire(const TcpOptions& options, std::uint16_t flags) {
  TcpSegment segment = sample(flags);
  segment.options = options;
  const auto bytes = emitted(segment);
  EXPECT_EQ(bytes.size(), tcp_header_length(options, (flags & kSyn) != 0));
  EXPECT_EQ(bytes.size() % 4, 0U);
  const auto parsed = parse_tcp(bytes);
  EXPECT_TRUE(parsed);
  EXPECT_EQ(parsed->options, options) << "emit and parse are inverses";
  return format_tcp_options(parsed->option_bytes);
}

FastOpenOption cookie(std::string_view hex, bool experimental = false) {
  const auto list = parse_tcp_option_list("FO " + std::string(hex));
  const Bytes bytes = list->bytes().subspan(2);
  FastOpenOption option;
  option.length = static_cast<std::uint8_t>(bytes.size());
  option.experimental = experimental;
  std::ranges::copy(bytes, option.cookie.begin());
  return option;
}

TEST(TcpSegment, RoundTripOfEachFlag) {
  for (std::uint16_t flags = 0; flags < 0x200; ++flags) {
    auto bytes = emitted(sample(flags));
    ASSERT_EQ(bytes.size(), kTcpHeaderMin);
    bytes.insert(bytes.end(), {1, 2, 3});
    const auto parsed = parse_tcp(bytes);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->src_port, 40'000);
    EXPECT_EQ(parsed->dst_port, 80);
    EXPECT_EQ(parsed->seq, SeqNum(0xfffffff0));
    EXPECT_EQ(parsed->ack, SeqNum(0x12345678));
    EXPECT_EQ(parsed->flags, flags);
    EXPECT_EQ(parsed->reserved, 5);
    EXPECT_EQ(parsed->window, 0xfedc);
    EXPECT_EQ(parsed->checksum, 0);
    EXPECT_EQ(parsed->urgent, 9);
    EXPECT_EQ(parsed->header_length, 20);
    EXPECT_EQ(parsed->payload.size(), 3U);
    EXPECT_EQ(parsed->sequence_length(), 3U + ((flags & kSyn) != 0 ? 1 : 0) + ((flags & kFin) != 0 ? 1 : 0));
    EXPECT_EQ(parsed->end(), parsed->seq + parsed->sequence_length());
  }
}

TEST(TcpSegment, DataOffsetStaysInsideTheBytes) {
  for (std::size_t size = 0; size <= 70; ++size) {
    for (unsigned offset = 0; offset < 16; ++offset) {
      std::vector<std::uint8_t> bytes(size);
      if (size > kTcpDataOffsetOffset) bytes[kTcpDataOffsetOffset] = static_cast<std::uint8_t>(offset << 4);
      const auto parsed = parse_tcp(bytes);
      EXPECT_EQ(parsed.has_value(), size >= 20 && offset >= 5 && offset * 4 <= size)
          << size << " bytes, offset " << offset;
      if (parsed) {
        EXPECT_EQ(parsed->payload.size(), size - offset * 4);
      }
    }
  }
}

TEST(TcpOptions, LinuxOrderOnSyn) {
  TcpOptions options;
  options.mss = 1460;
  EXPECT_EQ(options_on_wire(options, kSyn), "mss 1460");
  options.window_scale = 8;
  EXPECT_EQ(options_on_wire(options, kSyn), "mss 1460,nop,wscale 8");
  options.sack_permitted = true;
  EXPECT_EQ(options_on_wire(options, kSyn), "mss 1460,nop,nop,sackOK,nop,wscale 8");
  options.timestamps = TcpTimestamps{100, 0};
  EXPECT_EQ(options_on_wire(options, kSyn), "mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8");
  options.sack_permitted = false;
  EXPECT_EQ(options_on_wire(options, kSyn | kAck), "mss 1460,nop,nop,TS val 100 ecr 0,nop,wscale 8");
  options.window_scale.reset();
  EXPECT_EQ(options_on_wire(options, kSyn | kAck), "mss 1460,nop,nop,TS val 100 ecr 0");
}

TEST(TcpOptions, LinuxOrderWithFastOpen) {
  TcpOptions options;
  options.mss = 1460;
  options.window_scale = 8;
  options.sack_permitted = true;
  options.fast_open = FastOpenOption{};
  EXPECT_EQ(options_on_wire(options, kSyn), "mss 1460,nop,nop,sackOK,nop,wscale 8,FO,nop,nop");
  options.fast_open = cookie("abcd1234");
  EXPECT_EQ(options_on_wire(options, kSyn), "mss 1460,nop,nop,sackOK,nop,wscale 8,FO abcd1234,nop,nop");
  options.fast_open = cookie("112233445566");
  EXPECT_EQ(options_on_wire(options, kSyn), "mss 1460,nop,nop,sackOK,nop,wscale 8,FO 112233445566");
  options.timestamps = TcpTimestamps{10000, 1};
  options.fast_open = cookie("1313a2da994a0951");
  EXPECT_EQ(options_on_wire(options, kSyn | kAck),
            "mss 1460,sackOK,TS val 10000 ecr 1,nop,wscale 8,FO 1313a2da994a0951,nop,nop");
  options.fast_open = cookie("00abaaabe8e954c2", true);
  EXPECT_EQ(options_on_wire(options, kSyn | kAck),
            "mss 1460,sackOK,TS val 10000 ecr 1,nop,wscale 8,FOEXP 00abaaabe8e954c2");
}

TEST(TcpOptions, LinuxOrderLater) {
  TcpOptions options;
  EXPECT_EQ(options_on_wire(options, kAck), "");
  options.timestamps = TcpTimestamps{7, 0xffffffff};
  EXPECT_EQ(options_on_wire(options, kAck), "nop,nop,TS val 7 ecr 4294967295");
  options.sack_count = 2;
  options.sack[0] = {SeqNum(1), SeqNum(2)};
  options.sack[1] = {SeqNum(30), SeqNum(40)};
  EXPECT_EQ(options_on_wire(options, kAck), "nop,nop,TS val 7 ecr 4294967295,nop,nop,sack 1:2 30:40");
  options.timestamps.reset();
  EXPECT_EQ(options_on_wire(options, kAck), "nop,nop,sack 1:2 30:40");
  options.sack_count = 0;
  options.sack = {};
  options.md5.emplace().fill(0xab);
  EXPECT_EQ(options_on_wire(options, kAck), "nop,nop,md5 abababababababababababababababab");
}

TEST(TcpOptions, SackBlocksThatFit) {
  TcpOptions options;
  EXPECT_EQ(sack_blocks_that_fit(options), 4U);
  options.timestamps = TcpTimestamps{};
  EXPECT_EQ(sack_blocks_that_fit(options), 3U);
  options.sack_count = 2;
  EXPECT_EQ(sack_blocks_that_fit(options), 3U) << "those already there do not count";
  options.md5.emplace();
  EXPECT_EQ(sack_blocks_that_fit(options), 0U);
  options.timestamps.reset();
  EXPECT_EQ(sack_blocks_that_fit(options), 2U);
}

TEST(TcpOptions, ThoseOfASynCountOnASynOnly) {
  const auto list = parse_tcp_option_list("mss 1460,sackOK,TS val 1 ecr 2,nop,wscale 8,FO abcd1234");
  ASSERT_TRUE(list);
  TcpOptions later;
  later.timestamps = TcpTimestamps{1, 2};
  EXPECT_EQ(parse_tcp_options(list->bytes(), false), later);
  const TcpOptions syn = parse_tcp_options(list->bytes(), true);
  EXPECT_EQ(syn.mss, 1460);
  EXPECT_EQ(syn.window_scale, 8);
  EXPECT_TRUE(syn.sack_permitted);
  EXPECT_EQ(syn.fast_open, cookie("abcd1234"));
}

// Each option at every length from 0 to 255: only the right one counts, and a length that cannot be ends the
// reading.
TEST(TcpOptions, EveryLengthOfEveryKind) {
  for (unsigned kind = 2; kind < 256; ++kind) {
    for (unsigned length = 0; length < 256; ++length) {
      std::vector<std::uint8_t> bytes(40, 1);
      bytes[0] = static_cast<std::uint8_t>(kind);
      bytes[1] = static_cast<std::uint8_t>(length);
      if (kind == kTcpOptionExperimental) store_be<std::uint16_t>(bytes, 2, kFastOpenExperiment);
      const TcpOptions options = parse_tcp_options(bytes, true);
      EXPECT_EQ(options.mss.has_value(), kind == 2 && length == 4);
      EXPECT_EQ(options.window_scale.has_value(), kind == 3 && length == 3);
      EXPECT_EQ(options.sack_permitted, kind == 4 && length == 2);
      EXPECT_EQ(options.sack_count,
                kind == 5 && length >= 10 && length <= 34 && length % 8 == 2 ? length / 8 : 0);
      EXPECT_EQ(options.timestamps.has_value(), kind == 8 && length == 10);
      EXPECT_EQ(options.md5.has_value(), kind == 19 && length == 18);
      const bool fast_open = kind == 34 && (length == 2 || (length >= 6 && length <= 18 && length % 2 == 0));
      const bool experimental =
          kind == 254 && (length == 4 || (length >= 8 && length <= 20 && length % 2 == 0));
      EXPECT_EQ(options.fast_open.has_value(), fast_open || experimental) << kind << ' ' << length;
    }
  }
}

TEST(TcpOptions, ValuesThatLinuxDoesNotTake) {
  EXPECT_FALSE(parse_tcp_options(parse_tcp_option_list("mss 0")->bytes(), true).mss);
  EXPECT_EQ(parse_tcp_options(parse_tcp_option_list("wscale 255")->bytes(), true).window_scale,
            kWindowScaleMax);
  EXPECT_EQ(parse_tcp_options(parse_tcp_option_list("mss 500,mss 600,mss 0")->bytes(), true).mss, 600)
      << "the last that is right wins";
  EXPECT_FALSE(parse_tcp_options(parse_tcp_option_list("eol,mss 500")->bytes(), true).mss)
      << "nothing counts behind end-of-list";
}

TEST(TcpOptions, AWrongLengthKeepsWhatCameBefore) {
  const std::uint8_t bytes[] = {2, 4, 5, 0xb4, 3, 0, 7, 4, 4, 2, 1, 1};
  const TcpOptions options = parse_tcp_options(bytes, true);
  EXPECT_EQ(options.mss, 1460);
  EXPECT_FALSE(options.window_scale);
  EXPECT_FALSE(options.sack_permitted);
}

TEST(TcpOptions, TheReaderAlwaysAdvances) {
  Rng rng(6);
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(rng.below(41)));
    rng.fill(bytes);
    TcpOptionReader reader(bytes);
    std::size_t steps = 0;
    std::size_t taken = 0;
    while (const auto item = reader.next()) {
      ++steps;
      taken = item->offset + (item->kind <= 1 ? 1 : 2 + item->data.size());
      ASSERT_LE(taken, bytes.size());
    }
    ASSERT_LE(steps, bytes.size());
    ASSERT_TRUE(reader.malformed() || taken == bytes.size());
    parse_tcp_options(bytes, true);
    format_tcp_options(bytes);
  }
}

TEST(TcpOptions, TheWriterStopsAtFortyBytes) {
  TcpOptionWriter writer;
  for (int i = 0; i < 38; ++i) EXPECT_TRUE(writer.nop());
  EXPECT_FALSE(writer.window_scale(7));
  EXPECT_TRUE(writer.sack_permitted());
  EXPECT_FALSE(writer.eol());
  EXPECT_EQ(writer.bytes().size(), 40U);
  TcpOptionWriter other;
  EXPECT_FALSE(other.md5(std::vector<std::uint8_t>(15)));
  EXPECT_FALSE(other.sack(std::vector<SackBlock>(5)));
  EXPECT_FALSE(other.fast_open(std::vector<std::uint8_t>(39), false));
  EXPECT_FALSE(other.fast_open(std::vector<std::uint8_t>(37), true));
  EXPECT_TRUE(other.bytes().empty());
}

TEST(TcpSegment, RawOptionsKeepTheirOrder) {
  const auto list = parse_tcp_option_list("nop,wscale 3,mss 9,eol,sackOK");
  ASSERT_TRUE(list);
  std::vector<std::uint8_t> bytes(kTcpHeaderMax);
  bytes.resize(emit_tcp_raw(sample(kSyn), list->bytes(), bytes));
  const auto parsed = parse_tcp(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(format_tcp_options(parsed->option_bytes), "nop,wscale 3,mss 9,eol,sackOK,eol");
}

}  // namespace
}  // namespace tapir::wire
