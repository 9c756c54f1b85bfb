// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "sim/drill/parser.h"
#include "sim/drill/settings.h"
#include "wire/segment_text.h"
#include "wire/tcp_segment.h"

namespace tapir::sim::drill {
namespace {

Script parsed(std::string_view text) {
  const Definitions definitions = default_settings().definitions;
  auto script = parse_script(text, definitions);
  if (!script) {
    ADD_FAILURE() << script.error().at.line << ":" << script.error().at.column << " "
                  << script.error().message;
    return {};
  }
  return std::move(*script);
}

ScriptError error_of(std::string_view text) {
  auto script = parse_script(text, {});
  if (!script) return script.error();
  ADD_FAILURE() << "parses: " << text;
  return {};
}

const TcpSpec& tcp(const Script& script, std::size_t event) {
  return std::get<TcpSpec>(std::get<PacketEvent>(script.events.at(event).action).transport);
}
const CallEvent& call(const Script& script, std::size_t event) {
  return std::get<CallEvent>(script.events.at(event).action);
}

TEST(DrillParser, TakesTheFrameOfAScript) {
  const Script script = parsed(R"(// comment
--tolerance_usecs=10000
--strict_segments
/* another
   comment */
`../common/defaults.sh`
0 close(3) = 0
+0 `sysctl -q a=b`
+0 %{ assert 1 == 1 }%
`cleanup`
)");
  ASSERT_EQ(script.options.size(), 2U);
  EXPECT_EQ(script.options[0].name, "tolerance_usecs");
  EXPECT_EQ(script.options[0].value, "10000");
  EXPECT_EQ(script.options[1].name, "strict_segments");
  EXPECT_EQ(script.init->command, "../common/defaults.sh");
  EXPECT_EQ(script.events.size(), 3U);
  EXPECT_EQ(script.events.at(0).at.line, 7U);
  EXPECT_EQ(std::get<CodeEvent>(script.events.at(2).action).code, " assert 1 == 1 ");
  EXPECT_EQ(script.cleanup->command, "cleanup");
}

TEST(DrillParser, TakesEveryFormOfTime) {
  const Script script = parsed(
      "0 close(3) = 0\n0.5 close(3) = 0\n+.1 close(3) = 0\n* close(3) = 0\n"
      "1.0~1.25 close(3) = 0\n+.1~+.2 close(3) = 0\n+0...0.2 read(3, ..., 1) = 1\n+0 ... .02000 close(3) = "
      "0 ");
  EXPECT_EQ(script.events.at(1).time.kind, TimeKind::kAbsolute);
  EXPECT_EQ(script.events.at(1).time.at, 500ms);
  EXPECT_EQ(script.events.at(2).time.kind, TimeKind::kRelative);
  EXPECT_EQ(script.events.at(2).time.at, 100ms);
  EXPECT_EQ(script.events.at(3).time.kind, TimeKind::kAny);
  EXPECT_EQ(script.events.at(4).time.kind, TimeKind::kAbsoluteRange);
  EXPECT_EQ(script.events.at(4).time.range_end, 1250ms);
  EXPECT_EQ(script.events.at(5).time.kind, TimeKind::kRelativeRange);
  EXPECT_EQ(script.events.at(5).time.range_end, 200ms);
  EXPECT_EQ(script.events.at(6).time.returns_at, 200ms);
}

TEST(DrillParser, TakesSegments) {
  const Script script = parsed(R"(0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <...>
+0 < [ect1] FP. 1:11(10) ack 1 win 5 <sack 11:21 31:41,nop,nop>
+0 > (ttl 64) 1234 > 8080 . 1:1(0) ack 11
+0 < S 0:0(0) win 1 <mss 1460,sackOK,nop,nop,FOEXP TFO_COOKIE>
+0 < icmp unreachable frag_needed mtu 840 [0:1000(1000)]
+0 < icmp unreachable CODE
+0 < - 1:1(0) win 0
)");
  EXPECT_EQ(tcp(script, 0).flags, wire::kSyn);
  EXPECT_EQ(tcp(script, 0).window, 32792);
  EXPECT_EQ(wire::format_tcp_options(tcp(script, 0).options.bytes()), "mss 1000,sackOK,nop,nop,nop,wscale 7");
  EXPECT_FALSE(tcp(script, 1).check_options);
  EXPECT_FALSE(tcp(script, 1).window.has_value());
  EXPECT_EQ(tcp(script, 2).flags, wire::kFin | wire::kPsh | wire::kAck);
  EXPECT_EQ(std::get<PacketEvent>(script.events.at(2).action).ip.ecn, Ecn::kEct1);
  EXPECT_EQ(wire::format_tcp_options(tcp(script, 2).options.bytes()), "sack 11:21 31:41,nop,nop");
  EXPECT_EQ(std::get<PacketEvent>(script.events.at(3).action).source_port, 1234);
  EXPECT_EQ(std::get<PacketEvent>(script.events.at(3).action).ip.ttl, 64);
  EXPECT_EQ(wire::format_tcp_options(tcp(script, 4).options.bytes()),
            "mss 1460,sackOK,nop,nop,FOEXP 3021b9d889017eeb");
  const auto& icmp = std::get<IcmpSpec>(std::get<PacketEvent>(script.events.at(5).action).transport);
  EXPECT_EQ(icmp.type, 3);
  EXPECT_EQ(icmp.code, 4);
  EXPECT_EQ(icmp.mtu, 840U);
  EXPECT_EQ(icmp.quoted_length, 1000U);
  EXPECT_EQ(std::get<IcmpSpec>(std::get<PacketEvent>(script.events.at(6).action).transport).code, 1);
  EXPECT_EQ(tcp(script, 7).flags, 0);
}

TEST(DrillParser, TakesCalls) {
  const Script script = parsed(R"(0 fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)
+0 read(3, NULL, 10) = -1 EFAULT (Bad address)
+0 poll([{fd=3, events=POLLIN|POLLOUT, revents=POLLOUT}], 1, -1) = 1
+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 20}], msg_flags=MSG_TRUNC,
               msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=8000}]}, 0) = 20
+0 setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=30}, 8) = 0
+0 setsockopt(3, SOL_TCP, TCP_CONGESTION, "reno", 4) = -1
)");
  EXPECT_EQ(call(script, 0).result.integer, 2);
  EXPECT_EQ(call(script, 1).error, EFAULT);
  EXPECT_EQ(call(script, 2).arguments[0].items[0].fields[1].value.integer, 5);
  EXPECT_EQ(call(script, 2).arguments[2].integer, -1);
  const Expression& message = call(script, 3).arguments[1];
  EXPECT_EQ(message.fields[0].name, "msg_name");
  EXPECT_EQ(message.fields[1].index[0].integer, 1);
  EXPECT_EQ(message.fields[1].value.items[0].fields[1].value.integer, 20);
  EXPECT_EQ(message.fields[3].value.items[0].fields[2].value.integer, 8000);
  EXPECT_EQ(call(script, 5).arguments[3].text, "reno");
  EXPECT_FALSE(call(script, 5).error.has_value());
}

TEST(DrillParser, SaysWhereAndWhatWasExpected) {
  const auto expect = [](std::string_view text, std::uint32_t line, std::uint32_t column,
                         std::string_view message) {
    const ScriptError error = error_of(text);
    EXPECT_EQ(error.at.line, line) << text;
    EXPECT_EQ(error.at.column, column) << text << ": " << error.message;
    EXPECT_NE(error.message.find(message), std::string::npos) << error.message;
  };
  expect("", 1, 1, "expected an event");
  expect("1 close(3) = 0", 1, 1, "first event must be at time 0");
  expect("0 close(3)\n", 2, 1, "expected '='");
  expect("0 close(3 = 0", 1, 11, "expected ')'");
  expect("0 close(3) = 0\n+0 < S 0:0(0) <mss 1000>", 2, 15, "expected 'win'");
  expect("0 > . 1:3(1) ack 1", 1, 7, "end at 2, not 3");
  expect("0 > X 1:1(0)", 1, 5, "expected TCP flags");
  expect("0 > . 1:1(0) ack 1 <mms 5>", 1, 21, "'mms' is no TCP option");
  expect("0 > . 1:1(0) ack 1 <wscale 5>", 1, 21, "no multiple of 4");
  expect("0 < . 1:1(0) ack 1 win 70000", 1, 24, "from 0 to 65535");
  expect("0 setsockopt(3, SOL_SOKET, 1, [1], 4) = 0", 1, 17, "unknown symbol 'SOL_SOKET'");
  expect("0 close(3) = -1 EWHAT", 1, 17, "name of an error");
  expect("0 `never closed", 1, 3, "no closing '`'");
  expect("0 %{ never closed", 1, 5, "no closing '}%'");
  expect("/* never closed", 1, 1, "no end");
  expect("0 > icmp unreachable", 1, 5, "can only be injected");
  expect("+.2~+.1 close(3) = 0", 1, 9, "ends before it begins");
  expect("+.2....1 close(3) = 0", 1, 10, "returns before it begins");
  expect("0...1 > . 1:1(0)", 1, 1, "only a call");
}

TEST(DrillParser, MarksWhatTheLanguageHasAndTheInterpreterDoesNot) {
  EXPECT_TRUE(error_of("0 > udp (10)").unsupported);
  EXPECT_TRUE(error_of("0 < icmp packet_too_big mtu 1280").unsupported);
  EXPECT_FALSE(error_of("0 > . 1:1(0) ack").unsupported);
}

}  // namespace
}  // namespace tapir::sim::drill
