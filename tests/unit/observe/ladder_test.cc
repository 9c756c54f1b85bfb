// SPDX-License-Identifier: Apache-2.0
// Ladders made of records as tcp/ traces them.
#include "observe/ladder.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "tcp/events.h"

namespace tapir::observe {
namespace {

using tcp::Event;
using tcp::State;
using tcp::SubjectKind;
using namespace wire;

constexpr std::uint32_t kOurIss = 0xfffffff0, kTheirIss = 1'000;  // ours wraps
constexpr trace::Subject kConnection = tcp::pack_subject(SubjectKind::kConnection, 3, 1);
constexpr trace::Subject kHalfOpen = tcp::pack_subject(SubjectKind::kHalfOpen, 0, 1);
constexpr trace::Subject kListener = tcp::pack_subject(SubjectKind::kListener, 0, 1);
constexpr trace::Subject kTimeWait = tcp::pack_subject(SubjectKind::kTimeWait, 0, 1);

// Writes records of a connection between our port 80 and port 5000, numbers relative.
class Tape {
 public:
  void in(std::uint16_t flags, std::uint32_t seq, std::uint32_t ack, std::uint32_t bytes,
          trace::Subject subject) {
    segment(Event::kSegmentIn, 5000, 80, flags, kTheirIss + seq, kOurIss + ack, bytes, subject);
  }
  void out(std::uint16_t flags, std::uint32_t seq, std::uint32_t ack, std::uint32_t bytes,
           trace::Subject subject) {
    segment(Event::kSegmentOut, 80, 5000, flags, kOurIss + seq, kTheirIss + ack, bytes, subject);
  }
  void state(State before, State after) {
    add(Event::kState, kConnection, {static_cast<std::uint64_t>(before), static_cast<std::uint64_t>(after)});
  }
  void born(Event event, trace::Subject subject, std::uint64_t how = 0) {
    add(event, subject, {tcp::pack_ports(80, 5000), 0x0a000001, 0x0a000002, how});
  }
  void accepted() { add(Event::kAccepted, kListener, {kConnection}); }
  void later(Duration by) { now_ += by; }
  Ladder ladder() const { return make_ladder(records_, {80, 5000}); }

  void passive_open() {
    in(kSyn, 0, 0, 0, kListener);
    born(Event::kHalfOpenBorn, kHalfOpen);
    out(kSyn | kAck, 0, 1, 0, kHalfOpen);
    later(1ms);
    in(kAck, 1, 1, 0, kHalfOpen);
    born(Event::kConnectionBorn, kConnection, 1);
    state(State::kClosed, State::kEstablished);
    in(kAck, 1, 1, 0, kConnection);  // the same segment, given to the connection
    accepted();
  }

 private:
  void segment(Event event, std::uint16_t from, std::uint16_t to, std::uint16_t flags, std::uint32_t seq,
               std::uint32_t ack, std::uint32_t bytes, trace::Subject subject) {
    TcpSegment s;
    s.src_port = from;
    s.dst_port = to;
    s.flags = flags;
    s.seq = SeqNum(seq);
    s.ack = SeqNum((flags & kAck) != 0 ? ack : 0);
    s.window = 65535;
    if ((flags & kSyn) != 0) s.options.mss = 1460;
    const tcp::SegmentWords words = tcp::pack_segment(s, bytes);
    add(event, subject, {words.a, words.b, words.c, words.d});
  }
  void add(Event event, trace::Subject subject, std::array<std::uint64_t, 4> words) {
    trace::Record record;
    record.time = now_;
    record.event = static_cast<std::uint16_t>(event);
    record.subject = subject;
    record.words = words;
    records_.push_back(record);
  }
  Instant now_{5s};
  std::vector<trace::Record> records_;
};

struct Told {
  Step step;
  const char* segment;
  State ours, peers;
};
void expect_steps(const Ladder& ladder, std::initializer_list<Told> expected) {
  ASSERT_EQ(ladder.steps.size(), expected.size()) << ladder_text(ladder, {});
  std::size_t i = 0;
  for (const Told& told : expected) {
    const LadderStep& step = ladder.steps[i++];
    EXPECT_EQ(static_cast<int>(step.step), static_cast<int>(told.step)) << told.segment;
    EXPECT_EQ(step.segment.text(), told.segment);
    EXPECT_STREQ(tcp::to_string(step.ours), tcp::to_string(told.ours)) << told.segment;
    EXPECT_STREQ(tcp::to_string(step.peers), tcp::to_string(told.peers)) << told.segment;
  }
}

TEST(Ladder, PassiveOpen) {
  Tape tape;
  tape.passive_open();
  const Ladder ladder = tape.ladder();
  EXPECT_EQ(ladder.ours, State::kListen);
  EXPECT_EQ(ladder.peers, State::kClosed);
  expect_steps(
      ladder,
      {{Step::kSynIn, "S 0:0(0) win 65535 <mss 1460>", State::kSynReceived, State::kSynSent},
       {Step::kSynAckOut, "S. 0:0(0) ack 1 win 65535 <mss 1460>", State::kSynReceived, State::kEstablished},
       {Step::kHandshakeDone, ". 1:1(0) ack 1 win 65535", State::kEstablished, State::kEstablished},
       {Step::kAccept, "accept()", State::kEstablished, State::kEstablished}});
}

TEST(Ladder, ActiveCloseWithStatesOfBothEnds) {
  Tape tape;
  tape.passive_open();
  tape.state(State::kEstablished, State::kFinWait1);
  tape.out(kFin | kAck, 1, 1, 0, kConnection);
  tape.in(kAck, 1, 2, 0, kConnection);
  tape.state(State::kFinWait1, State::kFinWait2);
  tape.in(kFin | kAck, 1, 2, 0, kConnection);
  tape.state(State::kFinWait2, State::kTimeWait);
  tape.state(State::kTimeWait, State::kClosed);
  tape.out(kAck, 2, 2, 0, kConnection);
  tape.born(Event::kTimeWaitBorn, kTimeWait);
  const Ladder close = tape.ladder().close();
  EXPECT_EQ(close.ours, State::kEstablished);
  expect_steps(close, {{Step::kCloseOut, "F. 1:1(0) ack 1 win 65535", State::kFinWait1, State::kCloseWait},
                       {Step::kFinAckedIn, ". 1:1(0) ack 2 win 65535", State::kFinWait2, State::kCloseWait},
                       {Step::kPeerFinalIn, "F. 1:1(0) ack 2 win 65535", State::kTimeWait, State::kLastAck},
                       {Step::kTimeWaitAck, ". 2:2(0) ack 2 win 65535", State::kTimeWait, State::kClosed}});
}

TEST(Ladder, OrphanInFinWait2IsASmallRecord) {
  Tape tape;
  tape.passive_open();
  tape.state(State::kEstablished, State::kFinWait1);
  tape.out(kFin | kAck, 1, 1, 0, kConnection);
  tape.in(kAck, 1, 2, 0, kConnection);
  tape.state(State::kFinWait1, State::kFinWait2);
  tape.state(State::kFinWait2, State::kClosed);
  tape.born(Event::kTimeWaitBorn, kTimeWait, 1);
  tape.in(kFin | kAck, 1, 2, 0, kTimeWait);
  tape.out(kAck, 2, 2, 0, kTimeWait);
  const Ladder close = tape.ladder().close();
  ASSERT_EQ(close.steps.size(), 4U);
  EXPECT_EQ(close.steps[1].ours, State::kFinWait2);
  EXPECT_EQ(close.steps[2].ours, State::kTimeWait);
  EXPECT_EQ(close.steps[3].peers, State::kClosed);
}

TEST(Ladder, PassiveClose) {
  Tape tape;
  tape.passive_open();
  tape.in(kFin | kAck, 1, 1, 0, kConnection);
  tape.state(State::kEstablished, State::kCloseWait);
  tape.state(State::kCloseWait, State::kLastAck);
  tape.out(kFin | kAck, 1, 2, 0, kConnection);
  tape.in(kAck, 2, 2, 0, kConnection);
  tape.state(State::kLastAck, State::kClosed);
  expect_steps(tape.ladder().close(),
               {{Step::kPeerCloseIn, "F. 1:1(0) ack 1 win 65535", State::kCloseWait, State::kFinWait1},
                {Step::kCloseReplyOut, "F. 1:1(0) ack 2 win 65535", State::kLastAck, State::kTimeWait},
                {Step::kLastAckIn, ". 2:2(0) ack 2 win 65535", State::kClosed, State::kTimeWait}});
}

TEST(Ladder, RefusedActiveOpen) {
  Tape tape;
  tape.born(Event::kConnectionBorn, kConnection);
  tape.state(State::kClosed, State::kSynSent);
  tape.out(kSyn, 0, 0, 0, kConnection);
  tape.in(kRst | kAck, 0, 1, 0, kConnection);
  tape.state(State::kSynSent, State::kClosed);
  const Ladder ladder = tape.ladder();
  ASSERT_EQ(ladder.steps.size(), 2U);
  EXPECT_EQ(ladder.steps[0].ours, State::kSynSent);
  EXPECT_EQ(ladder.steps[1].ours, State::kClosed);
  EXPECT_EQ(ladder.steps[1].step, Step::kRefusedIn);
}

TEST(Ladder, OtherConnectionsAreLeftOut) {
  Tape tape;
  tape.passive_open();
  EXPECT_EQ(tape.ladder().handshake().steps.size(), 4U);
  const std::vector<trace::Record> none;
  EXPECT_TRUE(make_ladder(none, {80, 5000}).steps.empty());
}

TEST(Ladder, NoLineIsWiderThanThePage) {
  Tape tape;
  tape.passive_open();
  tape.state(State::kEstablished, State::kFinWait1);
  tape.out(kFin | kAck, 1, 1, 0, kConnection);
  for (const std::size_t width : {76UL, 100UL, 110UL}) {
    const std::string text = ladder_text(
        tape.ladder(), {.our_name = "tapir 10.0.0.1:80", .peer_name = "10.0.0.2:5000", .width = width});
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = text.find('\n', begin);
      std::size_t columns = 0;
      for (std::size_t i = begin; i < end; ++i)
        columns += (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80 ? 1U : 0U;
      EXPECT_LE(columns, width) << text.substr(begin, end - begin);
      begin = end + 1;
    }
  }
}

TEST(Ladder, JsonTellsTheSame) {
  Tape tape;
  tape.passive_open();
  const nlohmann::ordered_json json = ladder_json(tape.ladder());
  EXPECT_EQ(json["tapir_state"], "LISTEN");
  ASSERT_EQ(json["steps"].size(), 4U);
  EXPECT_EQ(json["steps"][0]["kind"], "in");
  EXPECT_EQ(json["steps"][2]["time_us"], 1000);
  EXPECT_EQ(json["steps"][3]["segment"], "accept()");
}

}  // namespace
}  // namespace tapir::observe
