// SPDX-License-Identifier: Apache-2.0
#include "tcp/connection_info.h"
#include "unit/tcp/engine_fixture.h"

namespace tapir::tcp {
namespace {

using trace::Counter;
using trace::DropReason;

class ListenerTest : public EngineTest {};

TEST_F(ListenerTest, AcceptIsFirstInFirstOut) {
  const ListenerId listener = listen();
  for (std::uint16_t port = 4000; port < 4003; ++port) shake_hands(port);
  for (std::uint16_t port = 4000; port < 4003; ++port)
    EXPECT_EQ(engine->connection(engine->accept(listener, now))->tuple().remote.port, port);
  EXPECT_FALSE(engine->accept(listener, now));
}

TEST_F(ListenerTest, TheProgramIsToldThatAConnectionIsReady) {
  const ListenerId listener = listen();
  EXPECT_FALSE(engine->acceptable(listener));
  shake_hands();
  EXPECT_TRUE(engine->acceptable(listener));
  bool told = false;
  while (const auto t = engine->poll_touched())
    told = told || (t->listener == listener && (t->events & kTouchedAccepted) != 0);
  EXPECT_TRUE(told);
  EXPECT_EQ(count(Counter::kTcpPassiveOpens), 1U);
}

// Linux: a backlog of N takes N + 1 (sk_acceptq_is_full); further SYNs are dropped, and counted twice.
TEST_F(ListenerTest, ABacklogOfOneTakesTwo) {
  const ListenerId listener = listen(1);
  shake_hands(4000);
  shake_hands(4001);
  inject(syn(1000, 4002));
  EXPECT_TRUE(output().empty());
  EXPECT_EQ(engine->listener_info(listener)->accept_queue, 2U);
  EXPECT_EQ(count(Counter::kTcpExtListenOverflows), 1U);
  EXPECT_EQ(count(Counter::kTcpExtListenDrops), 1U);
  EXPECT_EQ(counters.dropped(DropReason::kTcpListenOverflow), 1U);
}

TEST_F(ListenerTest, TheBacklogIsCutToSomaxconn) {
  knobs.somaxconn = 5;
  EXPECT_EQ(engine->listener_info(listen(100))->backlog, 5U);
  const auto negative = engine->listen({kOurs, 81}, kNoInterface, -1, false, {}, now);
  EXPECT_EQ(engine->listener_info(*negative)->backlog, 5U);
}

// An ACK that finds the accept queue full is as if lost; the next one succeeds.
TEST_F(ListenerTest, TheHandshakeWaitsForRoom) {
  const ListenerId listener = listen(1);
  shake_hands(3999);
  inject(syn(1000, 4000));
  const Sent a = only();
  inject(syn(1000, 4001));
  const Sent b = only();
  inject(make(wire::kAck, 1001, a.segment.seq.value() + 1, 4000));
  inject(make(wire::kAck, 1001, b.segment.seq.value() + 1, 4001));
  EXPECT_EQ(engine->listener_info(listener)->accept_queue, 2U);
  EXPECT_EQ(engine->listener_info(listener)->half_open, 1U);
  EXPECT_EQ(count(Counter::kTcpExtListenOverflows), 1U);
  EXPECT_TRUE(engine->accept(listener, now));
  inject(make(wire::kAck, 1001, b.segment.seq.value() + 1, 4001));
  EXPECT_EQ(engine->listener_info(listener)->accept_queue, 2U);
  EXPECT_EQ(engine->listener_info(listener)->half_open, 0U);
}

TEST_F(ListenerTest, AbortOnOverflowResets) {
  knobs.tcp_abort_on_overflow = 1;
  const ListenerId listener = listen(1);
  shake_hands(3999);
  inject(syn(1000, 4000));
  const Sent a = only();
  inject(syn(1000, 4001));
  const Sent b = only();
  inject(make(wire::kAck, 1001, a.segment.seq.value() + 1, 4000));
  (void)output();
  inject(make(wire::kAck, 1001, b.segment.seq.value() + 1, 4001));
  EXPECT_TRUE(only().segment.has(wire::kRst));
  EXPECT_EQ(engine->listener_info(listener)->half_open, 0U);
}

TEST_F(ListenerTest, AFullSynQueueAnswersWithCookies) {
  const ListenerId listener = listen(1);
  inject(syn(1000, 4000));
  inject(syn(1000, 4001));
  (void)output();
  inject(syn(1000, 4002));
  const Sent cookie = only();
  EXPECT_EQ(engine->listener_info(listener)->half_open, 2U);
  EXPECT_EQ(count(Counter::kTcpExtSyncookiesSent), 1U);
  EXPECT_EQ(count(Counter::kTcpExtTCPReqQFullDoCookies), 1U);
  // No timestamps: nothing but the MSS survives.
  EXPECT_FALSE(cookie.segment.options.window_scale);
  EXPECT_FALSE(cookie.segment.options.sack_permitted);
  inject(make(wire::kAck, 1001, cookie.segment.seq.value() + 1, 4002));
  EXPECT_EQ(count(Counter::kTcpExtSyncookiesRecv), 1U);
  ASSERT_TRUE(engine->acceptable(listener));
  EXPECT_EQ(engine->connection(engine->accept(listener, now))->state(), State::kEstablished);
}

TEST_F(ListenerTest, ACookieKeepsTheOptionsInTheTimestamp) {
  knobs.tcp_syncookies = 2;
  const ListenerId listener = listen();
  wire::TcpSegment first = syn();
  first.options.timestamps = wire::TcpTimestamps{500, 0};
  inject(first);
  const Sent cookie = only();
  ASSERT_TRUE(cookie.segment.options.timestamps);
  EXPECT_TRUE(cookie.segment.options.window_scale);
  wire::TcpSegment ack = make(wire::kAck, 1001, cookie.segment.seq.value() + 1);
  ack.options.timestamps = wire::TcpTimestamps{501, cookie.segment.options.timestamps->value};
  inject(ack);
  const ConnectionId id = engine->accept(listener, now);
  ASSERT_TRUE(id);
  const ConnectionInfo info = engine->connection(id)->info(now);
  EXPECT_TRUE(info.timestamps && info.sack && info.window_scaling);
  EXPECT_EQ(info.snd_wscale, 7);
}

TEST_F(ListenerTest, AWrongCookieIsReset) {
  knobs.tcp_syncookies = 2;
  listen();
  inject(syn());
  const Sent cookie = only();
  inject(make(wire::kAck, 1001, cookie.segment.seq.value() + 0x1000000));
  EXPECT_TRUE(only().segment.has(wire::kRst));
  EXPECT_EQ(count(Counter::kTcpExtSyncookiesFailed), 1U);
  // Later than two minutes the ACK is not even looked at.
  advance(121s);
  inject(make(wire::kAck, 1001, cookie.segment.seq.value() + 1));
  EXPECT_TRUE(only().segment.has(wire::kRst));
  EXPECT_EQ(count(Counter::kTcpExtSyncookiesFailed), 1U);
}

TEST_F(ListenerTest, WithoutCookiesAFullQueueDrops) {
  knobs.tcp_syncookies = 0;
  listen(1);
  for (std::uint16_t port = 4000; port < 4003; ++port) inject(syn(1000, port));
  EXPECT_EQ(output().size(), 2U);
  EXPECT_EQ(count(Counter::kTcpExtTCPReqQFullDrop), 1U);
  EXPECT_EQ(counters.dropped(DropReason::kTcpReqqFull), 1U);
}

TEST_F(ListenerTest, WithoutCookiesTheLastQuarterIsKept) {
  knobs.tcp_syncookies = 0;
  knobs.tcp_max_syn_backlog = 8;
  listen(100);
  for (std::uint16_t port = 4000; port < 4010; ++port) inject(syn(1000, port));
  EXPECT_EQ(output().size(), 7U);  // the eighth would leave less than a quarter
}

TEST_F(ListenerTest, WhatAListenerDoesNotTake) {
  listen();
  inject(make(wire::kAck, 1, 77));
  const Sent rst = only();
  EXPECT_EQ(rst.segment.flags, wire::kRst);
  EXPECT_EQ(rst.segment.seq.value(), 77U);
  inject(make(wire::kSyn | wire::kAck, 1, 78));
  EXPECT_EQ(only().segment.seq.value(), 78U);
  inject(make(wire::kRst, 1, 0));
  inject(make(wire::kFin, 1, 0));
  inject(make(wire::kSyn | wire::kFin, 1, 0));
  inject(make(0, 1, 0));
  EXPECT_TRUE(output().empty());
}

TEST_F(ListenerTest, ClosingResetsWhatWaitsAndForgetsTheRest) {
  const ListenerId listener = listen();
  const SeqNum iss = shake_hands(4000);
  inject(syn(1000, 4001));
  (void)output();
  engine->close_listener(listener, now);
  const Sent rst = only();
  EXPECT_TRUE(rst.segment.has(wire::kRst));
  EXPECT_EQ(rst.segment.seq, iss + 1);
  EXPECT_EQ(engine->gauges().connections, 0U);
  EXPECT_EQ(engine->gauges().half_open, 0U);
  EXPECT_EQ(engine->gauges().listeners, 0U);
  EXPECT_FALSE(engine->listener_info(listener));
}

TEST_F(ListenerTest, AConnectionResetInTheQueueIsStillAccepted) {
  const ListenerId listener = listen();
  shake_hands();
  inject(make(wire::kRst, 1001, 0));
  const ConnectionId id = engine->accept(listener, now);
  ASSERT_TRUE(id);
  EXPECT_EQ(engine->connection(id)->cause(), CloseCause::kReset);
}

TEST_F(ListenerTest, TheExactAddressGoesBeforeAny) {
  const auto any = engine->listen({IpAddress::any_v4(), 80}, kNoInterface, 8, false, {}, now);
  const ListenerId exact = listen();
  shake_hands();
  EXPECT_TRUE(engine->acceptable(exact));
  EXPECT_FALSE(engine->acceptable(*any));
  engine->close_listener(exact, now);
  (void)output();
  shake_hands(4001);
  EXPECT_TRUE(engine->acceptable(*any));
}

TEST_F(ListenerTest, TwoMayShareAnEndOnlyIfBothSaySo) {
  listen();
  EXPECT_FALSE(engine->listen({kOurs, 80}, kNoInterface, 8, true, {}, now));
  const auto a = engine->listen({kOurs, 81}, kNoInterface, 100, true, {}, now);
  const auto b = engine->listen({kOurs, 81}, kNoInterface, 100, true, {}, now);
  ASSERT_TRUE(a && b);
  for (std::uint16_t port = 4000; port < 4032; ++port) {
    wire::TcpSegment s = syn(1000, port);
    s.dst_port = 81;
    inject(s);
  }
  EXPECT_GT(engine->listener_info(*a)->half_open, 4U);
  EXPECT_GT(engine->listener_info(*b)->half_open, 4U);
  EXPECT_EQ(engine->listener_info(*a)->half_open + engine->listener_info(*b)->half_open, 32U);
}

TEST_F(ListenerTest, NoRouteBackIsADrop) {
  listen();
  paths.broken = true;
  inject(syn());
  EXPECT_TRUE(output().empty());
  EXPECT_EQ(counters.dropped(DropReason::kIpOutNoRoutes), 1U);
}

}  // namespace
}  // namespace tapir::tcp
