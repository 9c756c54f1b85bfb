// SPDX-License-Identifier: Apache-2.0
#include "tcp/events.h"
#include "trace/ring.h"
#include "unit/tcp/engine_fixture.h"

namespace tapir::tcp {
namespace {

using trace::Counter;
using trace::DropReason;

TEST_F(EngineTest, ConnectSendsASynAndFinishesTheHandshake) {
  const auto id = engine->connect(tuple(5000, 80), *paths.find_path(kOurs, kPeer, 0), {}, now);
  ASSERT_TRUE(id);
  const Sent syn_sent = only();
  EXPECT_EQ(syn_sent.segment.flags, wire::kSyn);
  wire::TcpSegment answer = make(wire::kSyn | wire::kAck, 7000, syn_sent.segment.seq.value() + 1, 80, 5000);
  answer.options.mss = 1460;
  inject(answer);
  EXPECT_EQ(engine->connection(*id)->state(), State::kEstablished);
  EXPECT_EQ(only().segment.ack.value(), 7001U);
  const auto touched = engine->poll_touched();
  ASSERT_TRUE(touched);
  EXPECT_EQ(touched->connection, *id);
  EXPECT_TRUE(touched->events & kTouchedConnected);
  EXPECT_FALSE(engine->poll_touched());
  EXPECT_EQ(count(Counter::kTcpActiveOpens), 1U);
  EXPECT_EQ(count(Counter::kTcpCurrEstab), 1U);
}

TEST_F(EngineTest, ATupleIsUsedOnce) {
  const Path path = *paths.find_path(kOurs, kPeer, 0);
  ASSERT_TRUE(engine->connect(tuple(), path, {}, now));
  EXPECT_FALSE(engine->tuple_free(tuple(), now));
  EXPECT_TRUE(engine->tuple_free(tuple(81), now));
  const auto second = engine->connect(tuple(), path, {}, now);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), CloseCause::kNone);
}

TEST_F(EngineTest, ARefusedConnectionEnds) {
  const auto id = engine->connect(tuple(5000, 80), *paths.find_path(kOurs, kPeer, 0), {}, now);
  const Sent s = only();
  inject(make(wire::kRst | wire::kAck, 0, s.segment.seq.value() + 1, 80, 5000));
  EXPECT_EQ(engine->connection(*id)->state(), State::kClosed);
  EXPECT_EQ(engine->connection(*id)->cause(), CloseCause::kRefused);
  EXPECT_TRUE(engine->tuple_free(tuple(5000, 80), now));
  engine->close(*id, now);
  EXPECT_EQ(engine->connection(*id), nullptr);
  EXPECT_EQ(engine->gauges().connections, 0U);
}

// A super-segment is as long as device, knob and window let it be; beyond 65,535 bytes, too.
TEST_F(EngineTest, SuperSegmentsAreAsLongAsDeviceAndKnobTake) {
  struct Case {
    std::uint32_t device;
    int knob;
    std::size_t longest;  // whole segments of 1,460, less than the least of the limits
  };
  for (const auto& [device, knob, longest] :
       {Case{65'535, 196'608, 44 * 1460}, Case{150'000, 196'608, 102 * 1460},
        Case{kSuperSegmentMax, 196'608, 134 * 1460}, Case{kSuperSegmentMax, 100'000, 68 * 1460}}) {
    knobs.tcp_gso_max_size = knob;
    knobs.tcp_wmem = {4096, 1 << 20, 1 << 20};
    paths.initcwnd = 300;
    paths.offloads = {
        .checksum = true, .tcp_segmentation = true, .gso_max_size = device, .gso_max_segs = 65'535};
    engine.emplace(knobs, counters, tracer, rng, frames, budget, paths);
    const ListenerId listener = listen();
    const SeqNum iss = shake_hands();
    const ConnectionId id = engine->accept(listener, now);
    ASSERT_TRUE(id);
    const std::vector<std::uint8_t> data(400'000, 'd');
    std::size_t written = 0;
    std::vector<Sent> sent;
    while (written < data.size()) {
      const std::size_t once = engine->write(id, Bytes(data).subspan(written), {}, now);
      ASSERT_GT(once, 0U);
      written += once;
      for (Sent& one : output()) sent.push_back(std::move(one));
    }
    std::size_t most = 0;
    SeqNum next = iss + 1;
    for (const Sent& one : sent) {
      EXPECT_EQ(one.segment.seq, next);
      next += static_cast<std::uint32_t>(one.payload.size());
      most = std::max(most, one.payload.size());
    }
    EXPECT_EQ(most, longest) << device << " " << knob;
    // What waits already follows the knob, too.
    inject(make(wire::kAck, 1001, next.value()));
    ASSERT_GT(engine->write(id, data, {}, now), 20'000U);
    knobs.tcp_gso_max_size = 20'000;
    for (const Sent& one : output()) EXPECT_LE(one.payload.size(), 13U * 1460);
    engine->abort(id, now);
    output();
  }
}

TEST_F(EngineTest, ASegmentForNobodyIsReset) {
  inject(make(wire::kSyn, 1000, 0));
  const Sent rst = only();
  EXPECT_EQ(rst.segment.flags, wire::kRst | wire::kAck);
  EXPECT_EQ(rst.segment.seq.value(), 0U);
  EXPECT_EQ(rst.segment.ack.value(), 1001U);
  EXPECT_EQ(count(Counter::kTcpOutRsts), 1U);
  inject(make(wire::kRst, 1000, 0));
  EXPECT_TRUE(output().empty());
  EXPECT_EQ(counters.dropped(DropReason::kNoSocket), 2U);
}

TEST_F(EngineTest, ABadChecksumIsDroppedAndCounted) {
  listen();
  inject(syn(), 0, kPeer, true);
  EXPECT_TRUE(output().empty());
  EXPECT_EQ(count(Counter::kTcpInCsumErrors), 1U);
  EXPECT_EQ(count(Counter::kTcpInErrs), 1U);
  EXPECT_EQ(counters.dropped(DropReason::kTcpCsum), 1U);
}

TEST_F(EngineTest, AShortHeaderIsDropped) {
  Frame frame = frames.allocate(19);
  Arrival arrival;
  arrival.source = kPeer;
  arrival.destination = kOurs;
  engine->on_datagram(std::move(frame), arrival, now);
  EXPECT_EQ(counters.dropped(DropReason::kTcpHeader), 1U);
}

TEST_F(EngineTest, EchoAndOrderlyCloseLeaveATimeWaitAndNoMemory) {
  const std::size_t before = budget.used();
  const ListenerId listener = listen();
  const SeqNum iss = shake_hands();
  const ConnectionId id = engine->accept(listener, now);
  ASSERT_TRUE(id);
  inject(make(wire::kAck | wire::kPsh, 1001, iss.value() + 1), 5);
  std::array<std::uint8_t, 64> buffer;
  ASSERT_EQ(engine->read(id, buffer, now), 5U);
  ASSERT_EQ(engine->write(id, Bytes(buffer).first(5), {}, now), 5U);
  const auto data = output();
  ASSERT_FALSE(data.empty());
  EXPECT_EQ(data.back().payload.size(), 5U);
  inject(make(wire::kAck, 1006, iss.value() + 6));
  engine->close(id, now);
  EXPECT_EQ(engine->connection(id), nullptr);
  EXPECT_EQ(engine->gauges().orphans, 1U);
  EXPECT_TRUE(only().segment.has(wire::kFin));
  inject(make(wire::kAck | wire::kFin, 1006, iss.value() + 7));
  EXPECT_EQ(only().segment.ack.value(), 1007U);
  EXPECT_EQ(engine->gauges().connections, 0U);
  EXPECT_EQ(engine->gauges().time_wait, 1U);
  EXPECT_EQ(engine->gauges().orphans, 0U);
  advance(59s);
  EXPECT_EQ(engine->gauges().time_wait, 1U);
  advance(2s);
  EXPECT_EQ(engine->gauges().time_wait, 0U);
  EXPECT_EQ(count(Counter::kTcpExtTW), 1U);
  EXPECT_EQ(engine->next_timeout(), kNever);
  engine->close_listener(listener, now);
  EXPECT_EQ(budget.used(), before);
}

TEST_F(EngineTest, AResetOwedLeavesBeforeTheConnectionIsForgotten) {
  const ListenerId listener = listen();
  const SeqNum iss = shake_hands();
  const ConnectionId id = engine->accept(listener, now);
  inject(make(wire::kAck | wire::kPsh, 1001, iss.value() + 1), 5);
  engine->close(id, now);  // with unread data
  EXPECT_EQ(engine->gauges().connections, 1U);
  const auto sent = output();
  ASSERT_FALSE(sent.empty());
  EXPECT_TRUE(sent.back().segment.has(wire::kRst));
  EXPECT_EQ(engine->gauges().connections, 0U);
  EXPECT_EQ(engine->gauges().time_wait, 0U);
}

TEST_F(EngineTest, WhatIsDueIsPolledBeforeTheRest) {
  const ListenerId listener = listen();
  const SeqNum first = shake_hands(4000);
  const SeqNum second = shake_hands(4001);
  const ConnectionId a = engine->accept(listener, now);
  ASSERT_TRUE(engine->accept(listener, now));
  (void)output();
  const std::array<std::uint8_t, 10> data{};
  ASSERT_EQ(engine->write(a, data, {}, now), 10U);
  (void)first;
  // Out of order: a duplicate ACK is due.
  inject(make(wire::kAck, 1101, second.value() + 1, 4001), 100);
  ASSERT_TRUE(engine->output_due());
  OutgoingFrame out;
  Engine::Output how;
  ASSERT_TRUE(engine->poll_segment(out, how, true, now));
  EXPECT_EQ(wire::parse_tcp(out.header())->dst_port, 4001);
  EXPECT_FALSE(engine->poll_segment(out, how, true, now));
  EXPECT_FALSE(engine->output_due());
  ASSERT_TRUE(engine->poll_segment(out, how, false, now));
  EXPECT_EQ(how.connection, a);
  EXPECT_FALSE(engine->poll_segment(out, how, false, now));
}

TEST_F(EngineTest, ConnectionsAreServedInTheOrderTheyCameToOwe) {
  const ListenerId listener = listen();
  std::vector<ConnectionId> ids;
  for (std::uint16_t port = 4000; port < 4004; ++port) {
    shake_hands(port);
    ids.push_back(engine->accept(listener, now));
  }
  (void)output();
  const std::array<std::uint8_t, 10> data{};
  for (const std::size_t i : {2U, 0U, 3U, 1U}) ASSERT_EQ(engine->write(ids[i], data, {}, now), 10U);
  std::vector<std::uint16_t> order;
  for (const Sent& sent : output()) order.push_back(sent.segment.dst_port);
  EXPECT_EQ(order, (std::vector<std::uint16_t>{4002, 4000, 4003, 4001}));
}

TEST_F(EngineTest, AChangedRouteIsAskedForBeforeTheNextSegment) {
  const ListenerId listener = listen();
  shake_hands();
  const ConnectionId id = engine->accept(listener, now);
  (void)output();
  const int asked = paths.asked;
  const std::array<std::uint8_t, 10> data{};
  engine->write(id, data, {}, now);
  (void)output();
  EXPECT_EQ(paths.asked, asked);
  paths.generation = 2;
  engine->on_routes_changed(now);
  engine->write(id, data, {}, now);
  (void)output();
  EXPECT_EQ(paths.asked, asked + 1);
  EXPECT_EQ(engine->connection(id)->path().generation, 2U);
}

TEST_F(EngineTest, TooManyOrphansAreReset) {
  knobs.tcp_max_orphans = 1;
  const ListenerId listener = listen();
  shake_hands(4000);
  shake_hands(4001);
  const ConnectionId a = engine->accept(listener, now);
  const ConnectionId b = engine->accept(listener, now);
  (void)output();
  engine->close(a, now);
  engine->close(b, now);
  int resets = 0;
  for (const Sent& sent : output()) resets += sent.segment.has(wire::kRst) ? 1 : 0;
  EXPECT_EQ(resets, 1);
  EXPECT_EQ(engine->gauges().connections, 1U);
  EXPECT_EQ(count(Counter::kTcpExtTCPAbortOnMemory), 1U);
}

TEST_F(EngineTest, RepliesAreBounded) {
  for (std::size_t i = 0; i < kReplyQueueMax + 10; ++i)
    inject(make(wire::kSyn, 1000, 0, static_cast<std::uint16_t>(2000 + i)));
  EXPECT_EQ(output().size(), kReplyQueueMax);
  EXPECT_EQ(counters.dropped(DropReason::kReplyQueueFull), 10U);
}

TEST_F(EngineTest, EveryRecordIsListedOnce) {
  listen();
  inject(syn(1000, 4000));
  (void)output();
  shake_hands(4001);
  std::vector<State> states;
  engine->for_each(
      [](void* context, const Engine::Row& row) {
        static_cast<std::vector<State>*>(context)->push_back(row.state);
      },
      &states, now);
  EXPECT_EQ(states, (std::vector<State>{State::kListen, State::kSynReceived, State::kEstablished}));
}

TEST_F(EngineTest, ForcedIsnIsUsed) {
  engine->force_iss(SeqNum(0xfffffff0));
  listen();
  EXPECT_EQ(shake_hands().value(), 0xfffffff0U);
}

TEST_F(EngineTest, SegmentsOfSmallRecordsAreTraced) {
  trace::RingProbe ring(64);
  tracer.attach(&ring);
  listen();
  inject(syn());
  std::vector<std::uint16_t> events;
  while (const auto record = ring.pop()) events.push_back(record->event);
  const auto e = [](Event event) { return static_cast<std::uint16_t>(event); };
  EXPECT_EQ(events, (std::vector<std::uint16_t>{e(Event::kSegmentIn), e(Event::kHalfOpenBorn),
                                                e(Event::kSegmentOut)}));
  tracer.attach(nullptr);
}

TEST_F(EngineTest, NoMemoryForAConnectionIsAnAnswer) {
  MemoryBudget none{0};
  FramePool pool{none};
  Engine starved(knobs, counters, tracer, rng, pool, none, paths);
  const auto id = starved.connect(tuple(), *paths.find_path(kOurs, kPeer, 0), {}, now);
  ASSERT_FALSE(id);
  EXPECT_EQ(id.error(), CloseCause::kOutOfMemory);
  EXPECT_FALSE(starved.listen({kOurs, 80}, kNoInterface, 1, false, {}, now));
}

TEST_F(EngineTest, AFullDeviceDelaysNobodyElse) {
  const IpAddress other = IpAddress::v4(10, 0, 1, 3);
  paths.full = 1;
  for (const IpAddress& to : {kPeer, other})
    ASSERT_TRUE(
        engine->connect({{kOurs, 5000}, {to, 80}}, *paths.find_path(kOurs, to, kNoInterface), {}, now));
  const Sent first = only();
  EXPECT_EQ(first.destination, other);
  EXPECT_TRUE(engine->output_stalled());
  EXPECT_TRUE(engine->output_wanted());
  engine->resume_output(false);
  EXPECT_TRUE(output().empty());
  paths.full = kNoInterface;
  engine->resume_output(false);
  EXPECT_EQ(only().destination, kPeer);
  EXPECT_FALSE(engine->output_stalled());
  EXPECT_FALSE(engine->output_wanted());
}

}  // namespace
}  // namespace tapir::tcp
