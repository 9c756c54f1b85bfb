// SPDX-License-Identifier: Apache-2.0
// IP_RECVERR over a wire: what ICMP says of RAW, ping, UDP and stream sockets, read from the error queue.
#include <netinet/in.h>
#include <sys/time.h>
// clang-format off: wants timespec
#include <linux/errqueue.h>
// clang-format on

#include <array>
#include <cstring>

#include "unit/socket/fixture.h"

namespace tapir::socket {
namespace {

using testing::address_of;
using testing::kAny;
using testing::Pair;
using testing::Program;
using testing::TwoPrograms;

constexpr IpAddress kNobody = IpAddress::v4(10, 0, 0, 9);

// One entry of the queue; `result` is that of recvmsg().
struct Told {
  long result = 0;
  std::string data;
  sock_extended_err error{};
  sockaddr_in offender{};
  sockaddr_in name{};
};

struct ErrorQueueTest : TwoPrograms {
  int open(int type, int protocol) {
    return *a.sockets.socket(AF_INET, type | SOCK_NONBLOCK, protocol, pair.now);
  }
  Told next(int fd) {
    Told told;
    std::array<char, 200> data{};
    alignas(8) std::array<char, 200> control{};
    iovec piece{data.data(), data.size()};
    msghdr message{};
    message.msg_name = &told.name;
    message.msg_namelen = sizeof told.name;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    told.result = Program::number(a.sockets.recvmsg(fd, &message, MSG_ERRQUEUE, pair.now));
    if (told.result < 0) return told;
    told.data.assign(data.data(), static_cast<std::size_t>(told.result));
    const cmsghdr* c = CMSG_FIRSTHDR(&message);
    EXPECT_NE(c, nullptr);
    if (c == nullptr) return told;
    EXPECT_EQ(c->cmsg_type, IP_RECVERR);
    std::memcpy(&told.error, CMSG_DATA(c), sizeof told.error);
    std::memcpy(&told.offender, CMSG_DATA(c) + sizeof told.error, sizeof told.offender);
    return told;
  }
  static IpAddress address(const sockaddr_in& in) { return IpAddress::v4(to_big_endian(in.sin_addr.s_addr)); }
};

TEST_F(ErrorQueueTest, RawSocketsHearThatNobodyTakesTheirProtocol) {
  const int fd = open(SOCK_RAW, 200);
  EXPECT_EQ(a.set(fd, SOL_IP, IP_RECVERR, 1), 0);
  EXPECT_EQ(a.sendto(fd, "for nobody", Pair::b_address, 0), 10);
  pair.settle();
  EXPECT_EQ(a.poll(fd), POLLOUT | POLLERR);
  const Told told = next(fd);
  EXPECT_EQ(told.data, "for nobody");
  EXPECT_EQ(told.error.ee_errno, static_cast<unsigned>(ENOPROTOOPT));
  EXPECT_EQ(told.error.ee_origin, SO_EE_ORIGIN_ICMP);
  EXPECT_EQ(told.error.ee_type, 3);
  EXPECT_EQ(told.error.ee_code, 2);
  EXPECT_EQ(address(told.offender), Pair::b_address);
  EXPECT_EQ(address(told.name), Pair::b_address);
  EXPECT_EQ(told.name.sin_port, 0);
  EXPECT_EQ(next(fd).result, -EAGAIN);
  EXPECT_EQ(a.recv(fd), std::to_string(-EAGAIN)) << "with the queue the error is read";
  EXPECT_EQ(a.poll(fd), POLLOUT);
}

TEST_F(ErrorQueueTest, WithoutTheOptionAnUnconnectedRawSocketHearsNothing) {
  const int fd = open(SOCK_RAW, 200);
  EXPECT_EQ(a.sendto(fd, "for nobody", Pair::b_address, 0), 10);
  pair.settle();
  EXPECT_EQ(a.poll(fd), POLLOUT);
  EXPECT_EQ(next(fd).result, -EAGAIN);
}

TEST_F(ErrorQueueTest, TurningTheOptionOffEmptiesTheQueue) {
  const int fd = open(SOCK_RAW, 200);
  EXPECT_EQ(a.set(fd, SOL_IP, IP_RECVERR, 1), 0);
  EXPECT_EQ(a.sendto(fd, "x", Pair::b_address, 0), 1);
  pair.settle();
  EXPECT_EQ(a.set(fd, SOL_IP, IP_RECVERR, 0), 0);
  EXPECT_EQ(next(fd).result, -EAGAIN);
}

// A neighbour that does not answer is told of as if a router had: the kernel sends itself that ICMP error.
TEST_F(ErrorQueueTest, PingsHearThatTheHostIsNotThere) {
  ASSERT_TRUE(pair.a.sysctl_set("net.ipv4.ping_group_range", "0 100", pair.now));
  const int fd = open(SOCK_DGRAM, IPPROTO_ICMP);
  EXPECT_EQ(a.set(fd, SOL_IP, IP_RECVERR, 1), 0);
  EXPECT_EQ(a.sendto(fd, std::string_view("\10\0\0\0\0\0\0\1ping", 12), kNobody, 0), 12);
  pair.run_for(5s);
  const Told told = next(fd);
  ASSERT_EQ(told.result, 12);
  EXPECT_EQ(told.data.substr(8), "ping");
  EXPECT_EQ(told.error.ee_errno, static_cast<unsigned>(EHOSTUNREACH));
  EXPECT_EQ(told.error.ee_origin, SO_EE_ORIGIN_ICMP);
  EXPECT_EQ(told.error.ee_type, 3);
  EXPECT_EQ(told.error.ee_code, 1);
  EXPECT_EQ(address(told.offender), Pair::a_address);
  EXPECT_EQ(address(told.name), kNobody);
}

TEST_F(ErrorQueueTest, DatagramsTellWhatWasInThem) {
  const int fd = a.udp();
  EXPECT_EQ(a.set(fd, SOL_IP, IP_RECVERR, 1), 0);
  EXPECT_EQ(a.sendto(fd, "first", Pair::b_address, 9), 5);
  EXPECT_EQ(a.sendto(fd, "second", kNobody, 9), 6);
  pair.run_for(5s);
  const Told refused = next(fd);
  EXPECT_EQ(refused.data, "first");
  EXPECT_EQ(refused.error.ee_errno, static_cast<unsigned>(ECONNREFUSED));
  EXPECT_EQ(refused.name.sin_port, to_big_endian(std::uint16_t{9}));
  EXPECT_EQ(a.error(fd), EHOSTUNREACH) << "the next one is the socket's error now";
  const Told unreachable = next(fd);
  EXPECT_EQ(unreachable.data, "second");
  EXPECT_EQ(unreachable.error.ee_origin, SO_EE_ORIGIN_ICMP);
  EXPECT_EQ(a.error(fd), 0);
}

// Kept whether or not IP_RECVERR is set, with the SYN's header (Linux: tcp_v4_err).
TEST_F(ErrorQueueTest, AConnectThatFailsQuotesItsSyn) {
  const int fd = a.tcp();
  EXPECT_EQ(a.connect(fd, kNobody, 80), -EINPROGRESS);
  const std::uint16_t port = a.port(fd);
  pair.run_for(5s);
  const Told told = next(fd);
  ASSERT_GE(told.result, 20);
  const auto* header = reinterpret_cast<const std::uint8_t*>(told.data.data());
  EXPECT_EQ(load_be<std::uint16_t>(Bytes(header, 20), 0), port);
  EXPECT_EQ(load_be<std::uint16_t>(Bytes(header, 20), 2), 80);
  EXPECT_EQ(told.error.ee_errno, static_cast<unsigned>(EHOSTUNREACH));
  EXPECT_EQ(told.name.sin_port, to_big_endian(std::uint16_t{80}));
}

}  // namespace
}  // namespace tapir::socket
