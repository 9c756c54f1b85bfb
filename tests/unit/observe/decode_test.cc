// SPDX-License-Identifier: Apache-2.0
#include "observe/decode.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "ip/events.h"
#include "raw/events.h"
#include "socket/events.h"
#include "stack/events.h"
#include "tcp/events.h"
#include "tcp/state.h"
#include "trace/drop_reason.h"
#include "udp/events.h"

namespace tapir::observe {
namespace {

template <typename Event>
trace::Record record(Event event, trace::Subject subject, std::array<std::uint64_t, 4> words) {
  trace::Record r;
  r.time = Instant(3s + 250us);
  r.event = static_cast<std::uint16_t>(event);
  r.subject = subject;
  r.words = words;
  return r;
}
std::string text(const trace::Record& r) { return decode_text(r, Instant(1s)); }

TEST(Decode, State) {
  const auto r = record(tcp::Event::kState, tcp::pack_subject(tcp::SubjectKind::kConnection, 7, 1),
                        {static_cast<std::uint64_t>(tcp::State::kEstablished),
                         static_cast<std::uint64_t>(tcp::State::kCloseWait)});
  EXPECT_EQ(text(r), "    2.000250 tcp   connection 7    state             ESTABLISHED -> CLOSE-WAIT");
  const auto json = decode_json(r, Instant(1s));
  EXPECT_EQ(json["time_ns"], 2'000'250'000);
  EXPECT_EQ(json["layer"], "tcp");
  EXPECT_EQ(json["before"], "ESTABLISHED");
  EXPECT_EQ(json["after"], "CLOSE-WAIT");
}

TEST(Decode, SocketCalls) {
  const auto call = [](socket::Call which, std::uint64_t result, std::uint64_t error, std::uint64_t asked) {
    return record(socket::Event::kCall, 5, {static_cast<std::uint64_t>(which), result, error, asked});
  };
  EXPECT_EQ(text(call(socket::Call::kSend, 300, 0, 400)),
            "    2.000250 socket fd 5            send              result 300 asked 400");
  EXPECT_EQ(text(call(socket::Call::kConnect, 0, ECONNREFUSED, 0)),
            "    2.000250 socket fd 5            connect           error ECONNREFUSED");
}

TEST(Decode, RawPorts) {
  EXPECT_EQ(text(record(raw::Event::kDelivered, 3, {84, 1})),
            "    2.000250 raw   port 3          packet in         bytes 84 queued 1");
  EXPECT_EQ(
      text(record(raw::Event::kDropped, 3, {static_cast<std::uint64_t>(trace::DropReason::kMemory), 84})),
      "    2.000250 raw   port 3          drop              " +
          std::string(trace::to_string(trace::DropReason::kMemory)) + " bytes 84");
}

TEST(Decode, Segment) {
  wire::TcpSegment segment;
  segment.src_port = 5000;
  segment.dst_port = 80;
  segment.flags = wire::kPsh | wire::kAck;
  segment.seq = SeqNum(11);
  segment.ack = SeqNum(22);
  segment.window = 512;
  segment.options.timestamps = {3, 4};
  const tcp::SegmentWords w = tcp::pack_segment(segment, 100);
  EXPECT_EQ(text(record(tcp::Event::kSegmentIn, 0, {w.a, w.b, w.c, w.d})),
            "    2.000250 tcp                   segment in        5000 > 80 P. 11:111(100) ack 22 win 512 "
            "<nop,nop,TS val 3 ecr 4>");
}

TEST(Decode, SegmentWithSackBlocksTellsHowMany) {
  wire::TcpSegment segment;
  segment.flags = wire::kAck;
  segment.options.sack_count = 2;
  const tcp::SegmentWords w = tcp::pack_segment(segment, 0);
  EXPECT_NE(text(record(tcp::Event::kSegmentOut, 0, {w.a, w.b, w.c, w.d})).find("<sack 2 blocks>"),
            std::string::npos);
}

TEST(Decode, DropsOfEveryLayer) {
  const auto reason = static_cast<std::uint64_t>(trace::DropReason::kNoSocket);
  EXPECT_NE(text(record(tcp::Event::kDrop, 0, {reason})).find("NO_SOCKET"), std::string::npos);
  EXPECT_NE(text(record(udp::Event::kDropped, 0, {reason})).find("NO_SOCKET"), std::string::npos);
  EXPECT_NE(text(record(stack::Event::kDropped, 2, {reason, 60})).find("interface 2"), std::string::npos);
  EXPECT_NE(text(record(ip::Event::kDropped, 1, {reason, 0x0a000002, 0x0a000001}))
                .find("from 10.0.0.2 to 10.0.0.1"),
            std::string::npos);
}

TEST(Decode, LayersByEvent) {
  EXPECT_EQ(layer_of(record(stack::Event::kFrameReceived, 1, {})), "frame");
  EXPECT_EQ(layer_of(record(ip::Event::kReceived, 1, {})), "ip");
  EXPECT_EQ(layer_of(record(udp::Event::kDelivered, 1, {})), "udp");
  EXPECT_EQ(layer_of(record(tcp::Event::kState, 1, {})), "tcp");
  EXPECT_EQ(layer_of(record(stack::Event::kDropped, 1, {})), "stack");
  EXPECT_TRUE(is_layer("tcp"));
  EXPECT_FALSE(is_layer("TCP"));
}

// A record of a newer or a broken tracer is shown, not trusted.
TEST(Decode, UnknownEventsAndWords) {
  EXPECT_NE(text(record(static_cast<trace::EventBase>(0x0900), 5, {1, 2, 3, 4})).find("event 0x0900"),
            std::string::npos);
  for (std::uint32_t event = 0; event <= 0xffff; ++event) {
    trace::Record r;
    r.event = static_cast<std::uint16_t>(event);
    r.subject = ~std::uint64_t{0};
    r.words = {~std::uint64_t{0}, ~std::uint64_t{0}, ~std::uint64_t{0}, ~std::uint64_t{0}};
    if ((event & 0xff) > 32) continue;  // no room has that many
    EXPECT_FALSE(decode_text(r, Instant()).empty());
  }
}

}  // namespace
}  // namespace tapir::observe
