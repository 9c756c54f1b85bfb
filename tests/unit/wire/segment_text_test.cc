// SPDX-License-Identifier: Apache-2.0
#include "wire/segment_text.h"

#include <gtest/gtest.h>

#include <vector>

namespace tapir::wire {
namespace {

// Builds the segment that the text describes, parses its bytes, and writes them down again.
std::string there_and_back(std::string_view text) {
  const auto read = parse_segment_text(text);
  EXPECT_TRUE(read) << text << ": " << (read ? "" : read.error());
  if (!read) return "";
  TcpSegment segment;
  segment.flags = read->flags;
  segment.seq = SeqNum(read->seq);
  segment.ack = SeqNum(read->ack.value_or(0));
  segment.window = read->window.value_or(0);
  segment.urgent = read->urgent.value_or(0);
  std::vector<std::uint8_t> bytes(kTcpHeaderMax);
  bytes.resize(emit_tcp_raw(segment, read->options.bytes(), bytes));
  bytes.resize(bytes.size() + read->length);
  return format_segment(*parse_tcp(bytes), {}, read->window.has_value());
}

TEST(SegmentText, WrittenAsRead) {
  for (const char* text : {
           "S 0:0(0) win 32792 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8>",
           "S. 0:0(0) ack 1 win 65535 <mss 1460,nop,nop,sackOK,nop,wscale 8>",
           "S. 1234:1234(0) ack 999001 <mss 1460,sackOK,TS val 100 ecr 100,nop,wscale 8>",
           "S 0:900(900) <mss 1460,nop,nop,sackOK,nop,wscale 8,FO 1234abcd5678dcba,nop,nop>",
           "S 0:0(0) <mss 1460,nop,nop,sackOK,nop,wscale 8,FO,nop,nop>",
           "S. 0:0(0) ack 1428933 <mss 1460,sackOK,TS val 10000 ecr 1,nop,wscale 8,FOEXP 00abaaabe8e954c2>",
           "P. 1:1001(1000) ack 1",
           ". 1:1(0) ack 1001 win 256 <nop,nop,sack 2001:3001 4001:5001>",
           "F. 1:1(0) ack 2",
           "FP. 1:11(10) ack 1",
           "SF 0:0(0)",
           "SEW 0:0(0)",
           "R 1:1(0)",
           "R. 1:1(0) ack 1 win 0",
           "- 0:10(10)",
           "U. 1:3(2) ack 1 win 5 urg 2",
           ". 4294967290:4(10) ack 4294967295",
           ". 1:1(0) ack 1 <nop,nop,md5 000102030405060708090a0b0c0d0e0f>",
           ". 1:1(0) ack 1 <kind 99 0a0b,kind 30 0102>",
           "S 0:0(0) <mss 1460,sackOK,eol,eol>",
       })
    EXPECT_EQ(there_and_back(text), text);
}

TEST(SegmentText, SpacesAreFree) {
  const auto read = parse_segment_text(
      "  S.   0 : 0 ( 0 )  ack 1   < mss 1460 , sackOK,TS  val 10000 ecr 1,nop , wscale 8, FO "
      "1313a2da994a0951,nop,nop >");
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(format_tcp_options(read->options.bytes()),
            "mss 1460,sackOK,TS val 10000 ecr 1,nop,wscale 8,FO 1313a2da994a0951,nop,nop");
}

TEST(SegmentText, WhatIsLeftOutStaysOpen) {
  const auto read = parse_segment_text("P. 1:11(10) ack 1 <...>");
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->any_options);
  EXPECT_FALSE(read->window);
  EXPECT_FALSE(read->urgent);
  EXPECT_EQ(read->ack, 1U);
  EXPECT_EQ(read->end, 11U);
  EXPECT_FALSE(parse_segment_text("R 1:1(0)")->ack);
  EXPECT_FALSE(parse_segment_text("R 1:1(0)")->any_options);
}

TEST(SegmentText, AccEcnCount) {
  const auto read = parse_segment_text("S5. 0:0(0) ack 1");
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->has_ace);
  EXPECT_EQ(read->flags, kSyn | kAck | kAe | kEce);
  EXPECT_TRUE(parse_segment_text(".0 0:0(0) ack 1")->has_ace);
  EXPECT_EQ(format_tcp_flags(kSyn | kAck | kAe | kEce | kCwr), "SEWA.");
}

TEST(SegmentText, NumbersAreRelativeToTheirBases) {
  TcpSegment segment;
  segment.flags = kAck;
  segment.seq = SeqNum(5);
  segment.ack = SeqNum(1000);
  segment.window = 7;
  const auto list = parse_tcp_option_list("TS val 300 ecr 0,TS val 300 ecr 90,sack 1010:1020");
  ASSERT_TRUE(list);
  segment.option_bytes = list->bytes();
  const SegmentTextBases bases{.seq = SeqNum(0xfffffffe), .ack = SeqNum(999), .ts_value = 200, .ts_echo = 80};
  EXPECT_EQ(format_segment(segment, bases),
            ". 7:7(0) ack 1 win 7 <TS val 100 ecr 0,TS val 100 ecr 10,sack 11:21>");
}

TEST(SegmentText, BytesThatAreNoOptionAreShown) {
  const std::uint8_t bytes[] = {1, 3, 0, 9};
  EXPECT_EQ(format_tcp_options(bytes), "nop,malformed 030009");
  const std::uint8_t odd[] = {2, 3, 7, 1};
  EXPECT_EQ(format_tcp_options(odd), "kind 2 07,nop");
}

TEST(SegmentText, ErrorsSayWhatIsWrong) {
  const auto error = [](std::string_view text) {
    const auto read = parse_segment_text(text);
    EXPECT_FALSE(read) << text;
    return read ? "" : read.error();
  };
  EXPECT_EQ(error("X 0:0(0)"), "'X' are no TCP flags");
  EXPECT_EQ(error(""), "'' are no TCP flags");
  EXPECT_EQ(error(". 0:5(4)"), "inconsistent segment 0:5(4)");
  EXPECT_EQ(error(". 0-0(0)"), "expected SEQ:END(LENGTH), found '-0(0)'");
  EXPECT_EQ(error(". 0:0(0) ack"), "expected a number after ack, found the end");
  EXPECT_EQ(error(". 0:0(0) win 65536"), "expected a number of 16 bits after win, found '65536'");
  EXPECT_EQ(error(". 0:0(0) ack 1 wim 3"), "expected the end of the segment, found 'wim 3'");
  EXPECT_EQ(error(". 0:0(0) <mss 1460"), "the options' '<' has no '>'");
  EXPECT_EQ(error(". 0:0(0) <mss>"), "expected a number of 16 bits after mss, found the end");
  EXPECT_EQ(error(". 0:0(0) <mss 1 2>"), "expected ',' after option mss, found '2'");
  EXPECT_EQ(error(". 0:0(0) <nope>"), "'nope' is no TCP option");
  EXPECT_EQ(error(". 0:0(0) <nop,>"), "'' is no TCP option");
  EXPECT_EQ(error(". 0:0(0) <FO abc>"), "FO: 'abc' is not an even number of hex digits (at most 80)");
  EXPECT_EQ(error(". 0:0(0) <sack 1:2 2:3 3:4 4:5 5:6>"), "a sack option holds at most 4 blocks");
  EXPECT_EQ(error(". 0:0(0) <sack 1:2 2:3 3:4 4:5,TS val 1 ecr 1>"), "TCP options take more than 40 bytes");
  EXPECT_EQ(error(". 0:0(0) <md5 00>"), "md5 wants a digest of 16 bytes");
}

}  // namespace
}  // namespace tapir::wire
