// SPDX-License-Identifier: Apache-2.0
#include "unit/tcp/engine_fixture.h"

namespace tapir::tcp {
namespace {

using trace::Counter;
using trace::DropReason;

class HalfOpenTest : public EngineTest {
 protected:
  Sent begin(wire::TcpSegment first = syn()) {
    inject(first);
    return only();
  }
};

TEST_F(HalfOpenTest, TheSynAckAnswersWhatWasAsked) {
  listen();
  wire::TcpSegment s = syn();
  s.options.timestamps = wire::TcpTimestamps{500, 0};
  const Sent answer = begin(s);
  EXPECT_EQ(answer.segment.flags, wire::kSyn | wire::kAck);
  EXPECT_EQ(answer.segment.ack.value(), 1001U);
  EXPECT_EQ(answer.segment.options.mss, 1460);
  EXPECT_EQ(answer.segment.options.window_scale, 10);  // tcp_rmem[2] of 32 MiB
  EXPECT_TRUE(answer.segment.options.sack_permitted);
  ASSERT_TRUE(answer.segment.options.timestamps);
  EXPECT_EQ(answer.segment.options.timestamps->echo, 500U);
  EXPECT_EQ(answer.segment.window, 65160);  // 45 segments of 1448 in 64 KiB
}

TEST_F(HalfOpenTest, NothingUnaskedIsOffered) {
  listen();
  wire::TcpSegment s = make(wire::kSyn, 1000, 0);
  const Sent bare = begin(s);
  EXPECT_EQ(bare.segment.options.mss, 1460);
  EXPECT_FALSE(bare.segment.options.window_scale);
  EXPECT_FALSE(bare.segment.options.timestamps);
  EXPECT_FALSE(bare.segment.options.sack_permitted);
  EXPECT_EQ(bare.segment.window, 64240);
}

TEST_F(HalfOpenTest, KnobsSwitchOptionsOff) {
  knobs.tcp_timestamps = knobs.tcp_sack = knobs.tcp_window_scaling = 0;
  listen();
  wire::TcpSegment s = syn();
  s.options.timestamps = wire::TcpTimestamps{500, 0};
  const Sent answer = begin(s);
  EXPECT_FALSE(answer.segment.options.window_scale);
  EXPECT_FALSE(answer.segment.options.timestamps);
  EXPECT_FALSE(answer.segment.options.sack_permitted);
}

TEST_F(HalfOpenTest, EcnIsAcceptedWhenAskedFor) {
  listen();
  wire::TcpSegment s = syn();
  s.flags |= wire::kEce | wire::kCwr;
  EXPECT_TRUE(begin(s).segment.has(wire::kEce));
  knobs.tcp_ecn = 0;
  s.src_port = 4001;
  EXPECT_FALSE(begin(s).segment.has(wire::kEce));
}

TEST_F(HalfOpenTest, MaxSegmentLimitsBothDirections) {
  SocketOptions options;
  options.max_segment = 1000;
  listen(8, options);
  EXPECT_EQ(begin().segment.options.mss, 1000);
}

// 1 s, doubling, tcp_synack_retries times; then it is forgotten.
TEST_F(HalfOpenTest, TheSynAckIsSentAgainAndGivenUp) {
  listen(100);
  const SeqNum iss = begin().segment.seq;
  Duration wait = 1s;
  for (int i = 0; i < 5; ++i, wait *= 2) {
    EXPECT_EQ(engine->next_timeout(), now + wait) << i;
    advance(wait - 1ns);
    EXPECT_TRUE(output().empty()) << i;
    advance(1ns);
    EXPECT_EQ(only().segment.seq, iss) << i;
  }
  EXPECT_EQ(engine->gauges().half_open, 1U);
  advance(32s);
  EXPECT_TRUE(output().empty());
  EXPECT_EQ(engine->gauges().half_open, 0U);
  EXPECT_EQ(count(Counter::kTcpRetransSegs), 5U);
  EXPECT_EQ(engine->next_timeout(), kNever);
}

TEST_F(HalfOpenTest, TheSameSynIsAnsweredAgainButNotTooOften) {
  listen();
  const SeqNum iss = begin().segment.seq;
  inject(syn());
  EXPECT_EQ(only().segment.seq, iss);
  inject(syn());
  EXPECT_TRUE(output().empty());
  EXPECT_EQ(count(Counter::kTcpExtTCPACKSkippedSynRecv), 1U);
  advance(500ms);
  inject(syn());
  EXPECT_EQ(only().segment.seq, iss);
}

TEST_F(HalfOpenTest, OutOfWindowIsAcknowledgedAndDropped) {
  listen();
  const SeqNum iss = begin().segment.seq;
  inject(make(wire::kAck, 900, iss.value() + 1));
  const Sent ack = only();
  EXPECT_EQ(ack.segment.flags, wire::kAck);
  EXPECT_EQ(ack.segment.seq, iss + 1);
  EXPECT_EQ(ack.segment.ack.value(), 1001U);
  EXPECT_EQ(engine->gauges().half_open, 1U);
}

TEST_F(HalfOpenTest, AnAckOfSomethingElseIsReset) {
  listen();
  const SeqNum iss = begin().segment.seq;
  inject(make(wire::kAck, 1001, iss.value() + 2));
  const Sent rst = only();
  EXPECT_EQ(rst.segment.flags, wire::kRst);
  EXPECT_EQ(rst.segment.seq, iss + 2);
  EXPECT_EQ(engine->gauges().half_open, 1U);
}

TEST_F(HalfOpenTest, AnExactResetEndsItAGuessDoesNot) {
  listen();
  begin();
  inject(make(wire::kRst, 1002, 0));
  EXPECT_EQ(only().segment.flags, wire::kAck);  // RFC 5961: challenged
  EXPECT_EQ(engine->gauges().half_open, 1U);
  inject(make(wire::kRst, 999, 0));
  EXPECT_EQ(engine->gauges().half_open, 1U);
  inject(make(wire::kRst, 1001, 0));
  EXPECT_EQ(engine->gauges().half_open, 0U);
  EXPECT_EQ(count(Counter::kTcpExtEmbryonicRsts), 1U);
  EXPECT_EQ(count(Counter::kTcpAttemptFails), 1U);
}

TEST_F(HalfOpenTest, AnotherSynInTheWindowEndsIt) {
  listen();
  begin();
  inject(syn(1100));
  EXPECT_TRUE(only().segment.has(wire::kRst));
  EXPECT_EQ(engine->gauges().half_open, 0U);
}

TEST_F(HalfOpenTest, AnOldTimestampIsRefused) {
  const ListenerId listener = listen();
  wire::TcpSegment s = syn();
  s.options.timestamps = wire::TcpTimestamps{500, 0};
  const Sent answer = begin(s);
  wire::TcpSegment ack = make(wire::kAck, 1001, answer.segment.seq.value() + 1);
  ack.options.timestamps = wire::TcpTimestamps{499, answer.segment.options.timestamps->value};
  inject(ack);
  EXPECT_FALSE(engine->acceptable(listener));
  EXPECT_EQ(count(Counter::kTcpExtPAWSEstab), 1U);
  ack.options.timestamps = wire::TcpTimestamps{501, answer.segment.options.timestamps->value + 5};
  inject(ack);
  EXPECT_EQ(count(Counter::kTcpExtTSEcrRejected), 1U);
  ack.options.timestamps = wire::TcpTimestamps{501, answer.segment.options.timestamps->value};
  inject(ack);
  EXPECT_TRUE(engine->acceptable(listener));
}

TEST_F(HalfOpenTest, DataMayComeWithTheAck) {
  const ListenerId listener = listen();
  const SeqNum iss = begin().segment.seq;
  inject(make(wire::kAck | wire::kPsh, 1001, iss.value() + 1), 10);
  EXPECT_EQ(engine->connection(engine->accept(listener, now))->readable_bytes(), 10U);
}

TEST_F(HalfOpenTest, DeferAcceptWaitsForData) {
  SocketOptions options;
  options.defer_accept = 2;
  const ListenerId listener = listen(8, options);
  const SeqNum iss = begin().segment.seq;
  inject(make(wire::kAck, 1001, iss.value() + 1));
  EXPECT_FALSE(engine->acceptable(listener));
  EXPECT_EQ(count(Counter::kTcpExtTCPDeferAcceptDrop), 1U);
  inject(make(wire::kAck | wire::kPsh, 1001, iss.value() + 1), 10);
  EXPECT_TRUE(engine->acceptable(listener));
}

TEST_F(HalfOpenTest, AnErrorAboutOurSynAckEndsIt) {
  listen();
  const SeqNum iss = begin().segment.seq;
  DeliveryError error;
  error.kind = DeliveryErrorKind::kHostUnreachable;
  error.from_icmp = true;
  error.quoted = tuple();
  error.quoted_seq = iss + 1;
  engine->on_delivery_error(error, now);
  EXPECT_EQ(engine->gauges().half_open, 1U);
  error.quoted_seq = iss;
  engine->on_delivery_error(error, now);
  EXPECT_EQ(engine->gauges().half_open, 0U);
}

TEST_F(HalfOpenTest, SequenceNumbersMayWrap) {
  for (const std::uint32_t iss : {0x7ffffffeU, 0x7fffffffU, 0xfffffffeU, 0xffffffffU}) {
    engine->force_iss(SeqNum(iss));
    const ListenerId listener = listen();
    for (const std::uint32_t irs : {0x7fffffffU, 0xffffffffU}) {
      shake_hands(static_cast<std::uint16_t>(4000 + (irs & 1) + (irs >> 31)), irs);
      EXPECT_TRUE(engine->acceptable(listener)) << iss << ' ' << irs;
      engine->abort(engine->accept(listener, now), now);
      (void)output();
    }
    engine->close_listener(listener, now);
  }
}

}  // namespace
}  // namespace tapir::tcp
