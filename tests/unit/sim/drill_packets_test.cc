// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>

#include "sim/drill/control_messages.h"
#include "sim/drill/machine.h"
#include "sim/drill/packets.h"
#include "wire/checksum.h"
#include "wire/ipv4.h"
#include "wire/segment_text.h"
#include "wire/tcp_segment.h"

namespace tapir::sim::drill {
namespace {

TcpSpec spec_of(std::string_view text) {
  const auto parsed = wire::parse_segment_text(text);
  EXPECT_TRUE(parsed) << text;
  TcpSpec spec;
  spec.flags = parsed->flags;
  spec.seq = parsed->seq;
  spec.length = parsed->length;
  spec.ack = parsed->ack.value_or(0);
  spec.window = parsed->window;
  spec.urgent = parsed->urgent.value_or(0);
  spec.check_options = !parsed->any_options;
  spec.options = parsed->options;
  return spec;
}

Connection established() {
  Connection connection;
  connection.state = Connection::State::kPassive;
  connection.tuple = {{IpAddress::v4(192, 168, 0, 1), 8080}, {IpAddress::v4(192, 0, 2, 1), 40001}};
  connection.live_local_isn = SeqNum(0xfffffff0);
  connection.live_remote_isn = SeqNum(5000);
  connection.script_remote_isn = 5000;
  connection.local_isn_known = connection.remote_isn_known = true;
  connection.timestamps[100] = 777;
  connection.timestamp_offset = 677;
  return connection;
}

// What the stack would have sent: built by turning an injected segment around.
SeenSegment sent(std::string_view text, std::uint16_t segment_size = 0) {
  Connection mirror = established();
  std::swap(mirror.tuple.local, mirror.tuple.remote);
  std::swap(mirror.live_local_isn, mirror.live_remote_isn);
  std::swap(mirror.script_local_isn, mirror.script_remote_isn);
  Settings settings;
  settings.ecr_scaled = true;
  const auto bytes = build_segment(spec_of(text), {}, mirror, settings);
  EXPECT_TRUE(bytes) << text;
  const auto seen = read_segment(SentPacket{Instant{}, 0, *bytes, segment_size}, settings);
  EXPECT_TRUE(seen) << text;
  return to_script(*seen, established());
}

std::string compared(std::string_view expected, std::string_view got) {
  return difference(spec_of(expected), {}, sent(got)).value_or("");
}

TEST(DrillPackets, BuildsInWireNumbersWithChecksums) {
  const auto bytes = build_segment(spec_of("P. 1:11(10) ack 21 win 5 <nop,nop,TS val 5 ecr 100>"), {},
                                   established(), Settings{});
  ASSERT_TRUE(bytes);
  const auto ip = wire::parse_ipv4(*bytes);
  ASSERT_TRUE(ip);
  EXPECT_TRUE(wire::verify_ipv4_checksum(Bytes(*bytes).first(20)));
  const Bytes segment = Bytes(*bytes).subspan(20);
  EXPECT_EQ(wire::transport_checksum(ip->src, ip->dst, IpProtocol::kTcp, segment), 0);
  const auto tcp = wire::parse_tcp(segment);
  ASSERT_TRUE(tcp);
  EXPECT_EQ(tcp->seq.value(), 5001U);
  EXPECT_EQ(tcp->ack.value(), 0xfffffff0U + 21);
  EXPECT_EQ(tcp->options.timestamps->echo, 777U);
  EXPECT_EQ(tcp->payload.size(), 10U);
}

TEST(DrillPackets, ShiftsSackBlocksToTheWire) {
  const auto bytes =
      build_segment(spec_of(". 1:1(0) ack 1 win 5 <sack 11:21,nop,nop>"), {}, established(), Settings{});
  const auto tcp = wire::parse_tcp(Bytes(*bytes).subspan(20));
  EXPECT_EQ(tcp->options.sack[0].begin.value(), 0xfffffff0U + 11);
}

TEST(DrillPackets, RefusesAnEchoOfWhatWasNeverSent) {
  EXPECT_FALSE(build_segment(spec_of(". 1:1(0) ack 1 win 5 <nop,nop,TS val 5 ecr 101>"), {}, established(),
                             Settings{}));
  EXPECT_TRUE(
      build_segment(spec_of("S 1:1(0) win 5 <nop,nop,TS val 5 ecr 101>"), {}, established(), Settings{}))
      << "a SYN echoes nothing yet";
}

TEST(DrillPackets, EqualSegmentsAreEqual) {
  for (const char* text :
       {"P. 1:11(10) ack 1 win 5", "S. 0:0(0) ack 5001 win 5 <mss 1460,nop,nop,sackOK,nop,wscale 8>",
        "R 1:1(0) win 0", ". 1:1(0) ack 1 win 5 <nop,nop,sack 11:21 31:41>",
        ". 1:1(0) ack 1 win 5 <nop,nop,TS val 4 ecr 9>"})
    EXPECT_EQ(compared(text, text), "") << text;
  EXPECT_EQ(compared(". 1:1(0) ack 1 win 5 <nop,nop,TS val 4 ecr 9>",
                     ". 1:1(0) ack 1 win 5 <nop,nop,TS val 5 ecr 10>"),
            "")
      << "timestamp values are not compared";
  EXPECT_EQ(compared(". 1:1(0) ack 1", ". 1:1(0) ack 1 win 77"), "") << "the window only when written";
  EXPECT_EQ(compared(". 1:1(0) ack 1 win 5 <...>", ". 1:1(0) ack 1 win 5 <nop,nop,nop,nop>"), "");
}

TEST(DrillPackets, EveryDifferenceIsFound) {
  const char* const got = "P. 1:11(10) ack 1 win 5 <nop,nop,sack 11:21>";
  for (const char* expected :
       {". 1:11(10) ack 1 win 5 <nop,nop,sack 11:21>", "PE. 1:11(10) ack 1 win 5 <nop,nop,sack 11:21>",
        "P. 2:12(10) ack 1 win 5 <nop,nop,sack 11:21>", "P. 1:12(11) ack 1 win 5 <nop,nop,sack 11:21>",
        "P. 1:11(10) ack 2 win 5 <nop,nop,sack 11:21>", "P. 1:11(10) ack 1 win 6 <nop,nop,sack 11:21>",
        "P. 1:11(10) ack 1 win 5 urg 1 <nop,nop,sack 11:21>", "P. 1:11(10) ack 1 win 5",
        "P. 1:11(10) ack 1 win 5 <sack 11:21,nop,nop>", "P. 1:11(10) ack 1 win 5 <nop,nop,sack 11:22>",
        "P. 1:11(10) ack 1 win 5 <nop,nop,sack 11:21,nop,nop,nop,nop>",
        "P. 1:11(10) ack 1 win 5 <nop,eol,sack 11:21>"})
    EXPECT_NE(compared(expected, got), "") << expected;
  EXPECT_NE(compared(". 1:1(0) ack 1 <nop,nop,TS val 4 ecr 9>", ". 1:1(0) ack 1 win 5"), "")
      << "that timestamps are there is compared";
}

TEST(DrillPackets, PayloadThatIsNotZeroIsADifference) {
  SeenSegment seen = sent("P. 1:11(10) ack 1 win 5");
  seen.zero_payload = false;
  EXPECT_NE(difference(spec_of("P. 1:11(10) ack 1"), {}, seen).value_or("").find("payload"),
            std::string::npos);
}

TEST(DrillPackets, BrokenBytesAreADifference) {
  auto bytes = *build_segment(spec_of("P. 1:11(10) ack 1 win 5"), {}, established(), Settings{});
  bytes.back() ^= 1;
  EXPECT_EQ(read_segment(SentPacket{Instant{}, 0, bytes, 0}, Settings{})->malformed,
            "the TCP checksum is wrong");
  bytes[8] ^= 1;
  EXPECT_EQ(read_segment(SentPacket{Instant{}, 0, bytes, 0}, Settings{})->malformed,
            "the IP header's checksum is wrong");
}

TEST(DrillPackets, IpHeaderIsCheckedWhenAsked) {
  SeenSegment seen = sent("P. 1:11(10) ack 1 win 5");
  IpSpec ip;
  ip.ecn_rule = IpSpec::EcnRule::kExact;
  ip.ecn = Ecn::kEct0;
  EXPECT_TRUE(difference(spec_of("P. 1:11(10) ack 1"), ip, seen));
  seen.tos = 2;
  EXPECT_FALSE(difference(spec_of("P. 1:11(10) ack 1"), ip, seen));
  ip.tos = 3;
  EXPECT_TRUE(difference(spec_of("P. 1:11(10) ack 1"), ip, seen));
  ip = {};
  ip.ttl = 64;
  EXPECT_TRUE(difference(spec_of("P. 1:11(10) ack 1"), ip, seen)) << "the mirrored segment has 255";
}

TEST(DrillPackets, SuperSegmentsAreCutWhereSegmentationCuts) {
  SeenSegment whole = sent("FP. 1:2501(2500) ack 1 win 5", 1000);
  SeenSegment rest = whole;
  const SeenSegment front = take_front(rest, 1000);
  EXPECT_EQ(to_text(front, false), ". 1:1001(1000) ack 1");
  EXPECT_EQ(to_text(rest, false), "FP. 1001:2501(1500) ack 1");
  SeenSegment joined = front;
  EXPECT_TRUE(merge(joined, rest));
  EXPECT_EQ(to_text(joined, false), to_text(whole, false));
}

TEST(DrillPackets, OnlyContinuationsAreMerged) {
  SeenSegment first = sent(". 1:1001(1000) ack 1 win 5");
  for (const char* other :
       {". 1002:2002(1000) ack 1 win 5", ". 1001:2001(1000) ack 2 win 5", "E. 1001:2001(1000) ack 1 win 5",
        ". 1001:1001(0) ack 1 win 5", ". 1001:2001(1000) ack 1 win 5 <nop,nop,nop,nop>"}) {
    SeenSegment copy = first;
    EXPECT_FALSE(merge(copy, sent(other))) << other;
  }
  EXPECT_TRUE(merge(first, sent("P. 1001:2001(1000) ack 1 win 5")));
  EXPECT_EQ(to_text(first, false), "P. 1:2001(2000) ack 1");
  EXPECT_TRUE(merge(first, sent(". 2001:3001(1000) ack 1 win 5")));
  EXPECT_EQ(to_text(first, false), ". 1:3001(3000) ack 1") << "PSH is the last piece's";
}

TEST(DrillPackets, IcmpQuotesTheSegment) {
  IcmpSpec icmp;
  icmp.type = 3;
  icmp.code = 4;
  icmp.mtu = 840;
  icmp.quoted_seq = 1;
  icmp.quoted_length = 1000;
  const auto bytes = build_icmp(icmp, established(), Settings{});
  EXPECT_EQ(wire::internet_checksum(Bytes(bytes).subspan(20)), 0);
  EXPECT_EQ(load_be<std::uint16_t>(bytes, 26), 840);
  EXPECT_EQ(load_be<std::uint16_t>(bytes, 48), 8080) << "the quoted source port is ours";
  EXPECT_EQ(load_be<std::uint32_t>(bytes, 52), 0xfffffff0U + 1);
}

// ---- control messages ----

struct ControlBuffer {
  alignas(cmsghdr) std::array<std::uint8_t, 256> bytes{};
  msghdr message{};
  std::size_t used = 0;

  void add(int level, int type, const void* data, std::size_t size) {
    cmsghdr header{};
    header.cmsg_len = CMSG_LEN(size);
    header.cmsg_level = level;
    header.cmsg_type = type;
    std::memcpy(bytes.data() + used, &header, sizeof(header));
    std::memcpy(bytes.data() + used + CMSG_LEN(0), data, size);
    used += CMSG_SPACE(size);
    message.msg_control = bytes.data();
    message.msg_controllen = used;
  }
};

TEST(DrillControl, ComparesNumbersOrderAndCount) {
  ExpectedControl number;
  number.level = 6;
  number.type = 36;
  number.number = 8000;
  ControlBuffer buffer;
  const int value = 8000;
  buffer.add(6, 36, &value, sizeof(value));
  const TimeBase base{Machine::kStart, 4ms};
  EXPECT_FALSE(compare_controls({number}, buffer.message, base));
  EXPECT_TRUE(compare_controls({}, buffer.message, base)) << "one too many";
  EXPECT_TRUE(compare_controls({number, number}, buffer.message, base)) << "one too few";
  number.number = 8001;
  EXPECT_TRUE(compare_controls({number}, buffer.message, base));
  number.number = 8000;
  number.type = 35;
  EXPECT_TRUE(compare_controls({number}, buffer.message, base));
}

TEST(DrillControl, ComparesTimestampsWithTolerance) {
  ExpectedControl stamp;
  stamp.level = SOL_SOCKET;
  stamp.type = 37;
  stamp.data = ExpectedControl::Data::kTimestamp;
  stamp.timestamp = 20ms;
  const std::uint64_t wall = Machine::kWallClockOffset + to_nsec(Machine::kStart) + 22'000'000;
  const timespec stamps[3] = {
      {static_cast<time_t>(wall / 1'000'000'000), static_cast<long>(wall % 1'000'000'000)}, {}, {}};
  ControlBuffer buffer;
  buffer.add(SOL_SOCKET, 37, stamps, sizeof(stamps));
  EXPECT_FALSE(compare_controls({stamp}, buffer.message, TimeBase{Machine::kStart, 4ms}));
  EXPECT_TRUE(compare_controls({stamp}, buffer.message, TimeBase{Machine::kStart, 1ms}));
}

}  // namespace
}  // namespace tapir::sim::drill
