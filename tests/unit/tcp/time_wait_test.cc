// SPDX-License-Identifier: Apache-2.0
#include "tcp/time_wait.h"

#include "unit/tcp/engine_fixture.h"

namespace tapir::tcp {
namespace {

using trace::Counter;

class TimeWaitTest : public EngineTest {
 protected:
  // We close first; the record remembers the peer at 1002, and us at iss + 2.
  void close_first(bool peer_closes = true, bool timestamps = false) {
    listener = listen();
    wire::TcpSegment first = syn();
    if (timestamps) first.options.timestamps = wire::TcpTimestamps{500, 0};
    inject(first);
    const Sent answer = only();
    iss = answer.segment.seq;
    stamps = answer.segment.options.timestamps;
    inject(from_peer(wire::kAck, 1001, 1));
    const ConnectionId id = engine->accept(listener, now);
    engine->close(id, now);
    EXPECT_TRUE(only().segment.has(wire::kFin));
    inject(from_peer(wire::kAck, 1001, 2));
    EXPECT_EQ(engine->gauges().time_wait, 1U);  // an orphan in FIN-WAIT-2 is a small record already
    EXPECT_EQ(engine->gauges().connections, 0U);
    if (!peer_closes) return;
    inject(from_peer(wire::kAck | wire::kFin, 1001, 2));
    const Sent ack = only();
    EXPECT_EQ(ack.segment.seq, iss + 2);
    EXPECT_EQ(ack.segment.ack.value(), 1002U);
  }
  wire::TcpSegment from_peer(std::uint16_t flags, std::uint32_t seq, std::uint32_t ack_offset,
                             std::uint32_t ts = 501) {
    wire::TcpSegment s = make(flags, seq, iss.value() + ack_offset);
    if (stamps) s.options.timestamps = wire::TcpTimestamps{ts, stamps->value};
    return s;
  }
  State state() {
    State found = State::kClosed;
    engine->for_each(
        [](void* context, const Engine::Row& row) {
          if (row.state != State::kListen) *static_cast<State*>(context) = row.state;
        },
        &found, now);
    return found;
  }
  ListenerId listener;
  SeqNum iss;
  std::optional<wire::TcpTimestamps> stamps;
};

TEST_F(TimeWaitTest, LastsSixtySeconds) {
  close_first();
  EXPECT_EQ(state(), State::kTimeWait);
  EXPECT_EQ(engine->next_timeout(), now + 60s);
  advance(60s);
  EXPECT_EQ(engine->gauges().time_wait, 0U);
  EXPECT_EQ(count(Counter::kTcpExtTW), 1U);
}

TEST_F(TimeWaitTest, ARepeatedFinIsAcknowledgedAndBeginsItAnew) {
  close_first();
  advance(30s);
  inject(from_peer(wire::kAck | wire::kFin, 1001, 2));
  EXPECT_EQ(only().segment.ack.value(), 1002U);
  EXPECT_EQ(engine->next_timeout(), now + 60s);
  // What carries nothing is answered once in tcp_invalid_ratelimit.
  inject(from_peer(wire::kAck, 900, 2));
  EXPECT_EQ(only().segment.flags, wire::kAck);
  inject(from_peer(wire::kAck, 900, 2));
  EXPECT_TRUE(output().empty());
  EXPECT_EQ(count(Counter::kTcpExtTCPACKSkippedTimeWait), 1U);
}

TEST_F(TimeWaitTest, AResetEndsItUnlessRfc1337) {
  close_first();
  knobs.tcp_rfc1337 = 1;
  inject(from_peer(wire::kRst, 1002, 0));
  EXPECT_EQ(engine->gauges().time_wait, 1U);
  knobs.tcp_rfc1337 = 0;
  inject(from_peer(wire::kRst, 1003, 0));
  EXPECT_EQ(engine->gauges().time_wait, 1U);  // not at the edge
  inject(from_peer(wire::kRst, 1002, 0));
  EXPECT_EQ(engine->gauges().time_wait, 0U);
}

// RFC 6191 without timestamps: a later sequence number; ours goes on behind the old one's.
TEST_F(TimeWaitTest, ANewSynReopens) {
  close_first();
  inject(syn(1002 + 1));
  const Sent answer = only();
  EXPECT_EQ(answer.segment.flags & 0x12, wire::kSyn | wire::kAck);
  EXPECT_EQ(answer.segment.seq, iss + 2 + 65537);
  EXPECT_EQ(engine->gauges().time_wait, 0U);
  EXPECT_EQ(engine->gauges().half_open, 1U);
}

TEST_F(TimeWaitTest, AnOldSynDoesNot) {
  close_first();
  inject(syn(500));
  const Sent ack = only();
  EXPECT_EQ(ack.segment.flags, wire::kAck);
  EXPECT_EQ(engine->gauges().time_wait, 1U);
}

TEST_F(TimeWaitTest, ALaterTimestampMakesUpForAnEarlierSequenceNumber) {
  close_first(true, true);
  wire::TcpSegment s = syn(500);
  s.options.timestamps = wire::TcpTimestamps{501, 0};
  inject(s);  // the same timestamp: no
  EXPECT_EQ(only().segment.flags, wire::kAck);
  s.options.timestamps = wire::TcpTimestamps{502, 0};
  inject(s);
  EXPECT_TRUE(only().segment.has(wire::kSyn));
}

TEST_F(TimeWaitTest, AnOldTimestampIsAnsweredWithAnAck) {
  close_first(true, true);
  inject(from_peer(wire::kAck, 1002, 2, 400));
  const Sent ack = only();
  ASSERT_TRUE(ack.segment.options.timestamps);
  EXPECT_EQ(ack.segment.options.timestamps->echo, 501U);
  EXPECT_EQ(count(Counter::kTcpExtPAWSTimewait), 1U);
}

TEST_F(TimeWaitTest, ANewSynWithoutAListenerIsOnlyAcknowledged) {
  close_first();
  engine->close_listener(listener, now);
  inject(syn(5000));
  EXPECT_EQ(only().segment.flags, wire::kAck);
  EXPECT_EQ(engine->gauges().time_wait, 1U);
}

TEST_F(TimeWaitTest, FinWait2RefusesData) {
  close_first(false);
  EXPECT_EQ(state(), State::kFinWait2);
  inject(from_peer(wire::kAck | wire::kPsh, 1001, 2), 10);
  EXPECT_TRUE(only().segment.has(wire::kRst));
  EXPECT_EQ(engine->gauges().time_wait, 0U);
}

TEST_F(TimeWaitTest, FinWait2EndsAfterFinTimeout) {
  knobs.tcp_fin_timeout = 10;
  close_first(false);
  EXPECT_EQ(engine->next_timeout(), now + 10s);
  inject(from_peer(wire::kAck, 1001, 2));
  EXPECT_TRUE(output().empty());
  advance(10s);
  EXPECT_EQ(engine->gauges().time_wait, 0U);
}

TEST_F(TimeWaitTest, BucketsAreLimited) {
  knobs.tcp_max_tw_buckets = 0;
  const ListenerId l = listen();
  const SeqNum ours = shake_hands();
  const ConnectionId id = engine->accept(l, now);
  engine->close(id, now);
  (void)output();
  inject(make(wire::kAck | wire::kFin, 1001, ours.value() + 2));
  const Sent ack = only();
  EXPECT_EQ(ack.segment.ack.value(), 1002U);
  EXPECT_EQ(engine->gauges().time_wait, 0U);
  EXPECT_EQ(engine->gauges().connections, 0U);
  EXPECT_EQ(count(Counter::kTcpExtTCPTimeWaitOverflow), 1U);
}

TEST_F(TimeWaitTest, ConnectTakesOverAfterASecond) {
  knobs.tcp_tw_reuse = 1;
  close_first(true, true);
  const Path path = *paths.find_path(kOurs, kPeer, 0);
  EXPECT_FALSE(engine->tuple_free(tuple(), now));
  EXPECT_FALSE(engine->connect(tuple(), path, {}, now));
  advance(1001ms);
  EXPECT_TRUE(engine->tuple_free(tuple(), now));
  knobs.tcp_tw_reuse = 2;  // over loopback only
  EXPECT_FALSE(engine->tuple_free(tuple(), now));
  knobs.tcp_tw_reuse = 1;
  ASSERT_TRUE(engine->connect(tuple(), path, {}, now));
  EXPECT_EQ(only().segment.seq, iss + 2 + 65537);
  EXPECT_EQ(count(Counter::kTcpExtTWRecycled), 1U);
  EXPECT_EQ(engine->gauges().time_wait, 0U);
}

TEST_F(TimeWaitTest, WithoutTimestampsNothingIsTakenOver) {
  knobs.tcp_tw_reuse = 1;
  close_first();
  advance(30s);
  EXPECT_FALSE(engine->tuple_free(tuple(), now));
}

TEST(TimeWaitTable, ExpiresInTheOrderOfDeadlines) {
  Knobs knobs;
  trace::Counters counters;
  TimeWaitTable table(100, {});
  Instant now{std::chrono::hours(24 * 50)};  // the 32-bit clock has wrapped
  Remains remains;
  remains.tuple = {{kOurs, 1}, {kPeer, 2}};
  remains.fin_wait_2 = true;
  for (const int seconds : {7, 3, 9, 5}) {
    remains.tuple.remote.port = static_cast<std::uint16_t>(seconds);
    ASSERT_NE(table.add(TimeWait::of(remains, now), std::chrono::seconds(seconds), knobs, counters, now),
              nullptr);
  }
  EXPECT_EQ(table.next_deadline(now), now + 3s);
  std::vector<int> order;
  for (int s = 0; s < 10; ++s, now += 1s)
    while (TimeWait* record = table.first_expired(now)) {
      order.push_back(record->remote_port);
      table.erase(*record);
    }
  EXPECT_EQ(order, (std::vector<int>{3, 5, 7, 9}));
  EXPECT_EQ(table.next_deadline(now), kNever);
}

}  // namespace
}  // namespace tapir::tcp
