// SPDX-License-Identifier: Apache-2.0
#include "tcp/reset.h"

#include <gtest/gtest.h>

#include <array>

namespace tapir::tcp {
namespace {

wire::TcpSegment make(std::uint16_t flags, std::uint32_t seq, std::uint32_t ack) {
  wire::TcpSegment s;
  s.src_port = 1;
  s.dst_port = 2;
  s.flags = flags;
  s.seq = SeqNum(seq);
  s.ack = SeqNum(ack);
  return s;
}

// RFC 9293 §3.10.7.1, both forms.
TEST(Reset, TakesItsNumberFromTheAck) {
  const auto reset = build_reset(make(wire::kAck | wire::kPsh, 10, 20));
  ASSERT_TRUE(reset);
  EXPECT_EQ(reset->flags, wire::kRst);
  EXPECT_EQ(reset->seq.value(), 20U);
  EXPECT_EQ(reset->src_port, 2);
  EXPECT_EQ(reset->dst_port, 1);
}

TEST(Reset, ElseAcknowledgesAllThatCame) {
  const std::array<std::uint8_t, 5> data{};
  wire::TcpSegment s = make(wire::kSyn | wire::kFin, 0xffffffff, 20);
  s.payload = data;
  const auto reset = build_reset(s);
  ASSERT_TRUE(reset);
  EXPECT_EQ(reset->flags, wire::kRst | wire::kAck);
  EXPECT_EQ(reset->seq.value(), 0U);
  EXPECT_EQ(reset->ack.value(), 6U);
}

TEST(Reset, IsNeverAnsweredWithAReset) {
  EXPECT_FALSE(build_reset(make(wire::kRst, 1, 0)));
  EXPECT_FALSE(build_reset(make(wire::kRst | wire::kAck, 1, 2)));
}

}  // namespace
}  // namespace tapir::tcp
