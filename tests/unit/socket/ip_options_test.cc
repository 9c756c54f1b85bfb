// SPDX-License-Identifier: Apache-2.0
// IP_OPTIONS: what leaves, and what of a segment they leave room for. What is taken and read back,
// tests/differential compares.
#include <net/ethernet.h>

#include <array>

#include "unit/socket/fixture.h"
#include "wire/ipv4.h"

namespace tapir::socket {
namespace {

using testing::kAny;
using testing::Pair;
using testing::Program;
using testing::TwoPrograms;

constexpr std::size_t kLink = 14;

struct IpOptionsTest : TwoPrograms {
  long set_options(int fd, std::string_view bytes) {
    return Program::number(a.sockets.setsockopt(fd, SOL_IP, IP_OPTIONS, bytes.data(),
                                                static_cast<socklen_t>(bytes.size()), pair.now));
  }
  int watcher() {
    return *b.sockets.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, to_big_endian(std::uint16_t{ETH_P_IP}),
                             pair.now);
  }
  // The options of the next frame that arrived at b.
  std::string next_options(int fd) {
    const std::string frame = b.recv(fd, 65536);
    const Bytes packet{reinterpret_cast<const std::uint8_t*>(frame.data()) + kLink, frame.size() - kLink};
    const auto header = wire::parse_ipv4(packet);
    if (!header) return "no packet";
    EXPECT_TRUE(wire::verify_ipv4_checksum(packet.first(header->header_length)));
    return {reinterpret_cast<const char*>(header->options.data()), header->options.size()};
  }
};

TEST_F(IpOptionsTest, ADatagramRecordsItsRouteFromUsOn) {
  const int fd = a.udp();
  const int seen = watcher();
  ASSERT_EQ(set_options(fd, std::string_view("\7\7\4\0\0\0\0", 7)), 0);
  ASSERT_EQ(a.sendto(fd, "x", Pair::b_address, 9), 1);
  pair.settle();
  EXPECT_EQ(next_options(seen), std::string("\7\7\10\n\0\0\1\0", 8));
  ASSERT_EQ(set_options(fd, ""), 0);
  ASSERT_EQ(a.sendto(fd, "x", Pair::b_address, 9), 1);
  pair.settle();
  EXPECT_EQ(next_options(seen), "");
}

TEST_F(IpOptionsTest, ATimestampTellsTheTimeOfDay) {
  const int fd = a.udp();
  const int seen = watcher();
  ASSERT_EQ(set_options(fd, std::string_view("\104\14\5\1\0\0\0\0\0\0\0\0", 12)), 0);
  ASSERT_EQ(a.sendto(fd, "x", Pair::b_address, 9), 1);
  pair.settle();
  const std::string options = next_options(seen);
  ASSERT_EQ(options.size(), 12U);
  EXPECT_EQ(options.substr(0, 8), std::string("\104\14\15\1\n\0\0\1", 8));
  const std::uint64_t wall = stack::StackConfig{}.wall_clock_offset_ns + to_nsec(pair.now);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(options.data());
  EXPECT_EQ(load_be<std::uint32_t>(Bytes(bytes, 12), 8), wall / 1'000'000 % 86'400'000);
}

TEST_F(IpOptionsTest, AConnectionSendsThemAndItsSegmentsLeaveThemRoom) {
  establish();
  const long before = a.get(client, SOL_TCP, TCP_MAXSEG);
  ASSERT_EQ(set_options(client, std::string("\7\47\4") + std::string(36, '\0')), 0);
  EXPECT_EQ(a.get(client, SOL_TCP, TCP_MAXSEG), before - 40);
  const int seen = watcher();
  const std::string data(20'000, 'd');
  ASSERT_EQ(a.send(client, data), 20'000);
  pair.run_for(1s);
  const std::string options = next_options(seen);
  ASSERT_EQ(options.size(), 40U);
  EXPECT_EQ(options.substr(0, 7), std::string("\7\47\10\n\0\0\1", 7));
  EXPECT_EQ(b.recv(server, 65536), data);
  EXPECT_EQ(a.get(client, SOL_SOCKET, SO_ERROR), 0);
}

TEST_F(IpOptionsTest, WhatAListenerAcceptsDoesNotHaveThem) {
  const int fd = a.tcp();
  ASSERT_EQ(set_options(fd, std::string_view("\1\1\1\1", 4)), 0);
  ASSERT_EQ(a.bind(fd, kAny, 80), 0);
  ASSERT_EQ(a.listen(fd), 0);
  const int peer = b.tcp();
  ASSERT_EQ(b.connect(peer, Pair::a_address, 80), -EINPROGRESS);
  pair.settle();
  const int child = static_cast<int>(a.accept(fd));
  ASSERT_GE(child, 0);
  std::array<char, 40> bytes;
  socklen_t length = bytes.size();
  ASSERT_TRUE(a.sockets.getsockopt(child, SOL_IP, IP_OPTIONS, bytes.data(), &length, pair.now));
  EXPECT_EQ(length, 0U);
}

}  // namespace
}  // namespace tapir::socket
