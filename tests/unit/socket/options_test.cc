// SPDX-License-Identifier: Apache-2.0
#include "socket/options.h"

#include "socket/tcp_info.h"
#include "unit/socket/fixture.h"

namespace tapir::socket {
namespace {

using testing::kAny;
using testing::Program;
using testing::TwoPrograms;

struct OptionsTest : TwoPrograms {};

TEST_F(OptionsTest, DefaultsAreLinuxs) {
  const int fd = a.tcp();
  EXPECT_EQ(a.get(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
  EXPECT_EQ(a.get(fd, SOL_SOCKET, SO_DOMAIN), AF_INET);
  EXPECT_EQ(a.get(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
  EXPECT_EQ(a.get(fd, SOL_SOCKET, SO_SNDBUF), 16384);
  EXPECT_EQ(a.get(fd, SOL_SOCKET, SO_RCVBUF), 131072);
  EXPECT_EQ(a.get(fd, SOL_SOCKET, SO_RCVLOWAT), 1);
  EXPECT_EQ(a.get(fd, SOL_TCP, TCP_MAXSEG), 536);
  EXPECT_EQ(a.get(fd, SOL_TCP, TCP_KEEPIDLE), 7200);
  EXPECT_EQ(a.get(fd, SOL_TCP, TCP_KEEPINTVL), 75);
  EXPECT_EQ(a.get(fd, SOL_TCP, TCP_KEEPCNT), 9);
  EXPECT_EQ(a.get(fd, SOL_TCP, TCP_SYNCNT), 6);
  EXPECT_EQ(a.get(fd, SOL_TCP, TCP_LINGER2), 60);
  EXPECT_EQ(a.get(fd, SOL_IP, IP_TTL), 64);
  EXPECT_EQ(a.get(fd, SOL_IP, IP_MTU), -ENOTCONN);
  const int datagram = a.udp();
  EXPECT_EQ(a.get(datagram, SOL_SOCKET, SO_SNDBUF), 212992);
  EXPECT_EQ(a.get(datagram, SOL_SOCKET, SO_RCVBUF), 212992);
}

TEST_F(OptionsTest, BuffersAreDoubledWithinLimits) {
  const int fd = a.tcp();
  EXPECT_EQ(a.set(fd, SOL_SOCKET, SO_SNDBUF, 21000), 0);
  EXPECT_EQ(a.get(fd, SOL_SOCKET, SO_SNDBUF), 42000);
  EXPECT_EQ(a.set(fd, SOL_SOCKET, SO_SNDBUF, 1), 0);
  EXPECT_EQ(a.get(fd, SOL_SOCKET, SO_SNDBUF), 4608);
  EXPECT_EQ(a.set(fd, SOL_SOCKET, SO_SNDBUF, 100'000'000), 0);
  EXPECT_EQ(a.get(fd, SOL_SOCKET, SO_SNDBUF), 2 * 4'194'304);  // net.core.wmem_max
  EXPECT_EQ(a.set(fd, SOL_SOCKET, SO_RCVBUF, 0), 0);
  EXPECT_EQ(a.get(fd, SOL_SOCKET, SO_RCVBUF), 2304);
  EXPECT_EQ(a.set(fd, SOL_SOCKET, SO_RCVBUFFORCE, 1'000'000), 0);
  EXPECT_EQ(a.get(fd, SOL_SOCKET, SO_RCVBUF), 2'000'000);
}

TEST_F(OptionsTest, BadValuesAndUnknownOptions) {
  const int fd = a.tcp();
  EXPECT_EQ(a.set(fd, SOL_SOCKET, SO_ERROR, 1), -ENOPROTOOPT);
  EXPECT_EQ(a.set(fd, SOL_SOCKET, 9999, 1), -ENOPROTOOPT);
  EXPECT_EQ(a.get(fd, SOL_SOCKET, 9999), -ENOPROTOOPT);
  EXPECT_EQ(a.get(fd, 77, 1), -EOPNOTSUPP);
  EXPECT_EQ(a.set(fd, SOL_TCP, TCP_KEEPIDLE, 0), -EINVAL);
  EXPECT_EQ(a.set(fd, SOL_TCP, TCP_KEEPIDLE, 32768), -EINVAL);
  EXPECT_EQ(a.set(fd, SOL_TCP, TCP_KEEPCNT, 128), -EINVAL);
  EXPECT_EQ(a.set(fd, SOL_TCP, TCP_SYNCNT, 0), -EINVAL);
  EXPECT_EQ(a.set(fd, SOL_TCP, TCP_MAXSEG, 87), -EINVAL);
  EXPECT_EQ(a.set(fd, SOL_TCP, TCP_MAXSEG, 32768), -EINVAL);
  EXPECT_EQ(a.set(fd, SOL_TCP, TCP_USER_TIMEOUT, -1), -EINVAL);
  EXPECT_EQ(a.set(fd, SOL_IP, IP_TTL, 0), -EINVAL);
  EXPECT_EQ(a.set(fd, SOL_IP, IP_TTL, 256), -EINVAL);
  EXPECT_EQ(a.set(fd, SOL_IP, IP_TRANSPARENT, 1), -EPERM);
  EXPECT_EQ(Program::number(a.sockets.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, nullptr, 4, pair.now)),
            -EFAULT);
  const int value = 1;
  EXPECT_EQ(Program::number(a.sockets.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 3, pair.now)),
            -EINVAL);
  EXPECT_EQ(Program::number(a.sockets.setsockopt(fd, SOL_TCP, TCP_CONGESTION, "nonsense", 8, pair.now)),
            -ENOENT);
  EXPECT_EQ(Program::number(a.sockets.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth7", 5, pair.now)),
            -ENODEV);
  const timeval bad{0, 1'000'000};
  EXPECT_EQ(Program::number(a.sockets.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bad, sizeof(bad), pair.now)),
            -EDOM);
}

TEST_F(OptionsTest, EachReadsBackWhatWasSetBeforeAndAfterConnecting) {
  establish();
  const int fresh = a.tcp();
  struct Case {
    int level, name, value, read;
  };
  for (const Case& c : {Case{SOL_TCP, TCP_NODELAY, 1, 1},
                        Case{SOL_TCP, TCP_CORK, 1, 1},
                        Case{SOL_TCP, TCP_KEEPIDLE, 10, 10},
                        Case{SOL_TCP, TCP_KEEPINTVL, 11, 11},
                        Case{SOL_TCP, TCP_KEEPCNT, 12, 12},
                        Case{SOL_TCP, TCP_SYNCNT, 3, 3},
                        Case{SOL_TCP, TCP_LINGER2, 30, 30},
                        Case{SOL_TCP, TCP_LINGER2, -5, -1},
                        Case{SOL_TCP, TCP_LINGER2, 500, 120},
                        Case{SOL_TCP, TCP_DEFER_ACCEPT, 2, 3},
                        Case{SOL_TCP, TCP_USER_TIMEOUT, 3000, 3000},
                        Case{SOL_TCP, TCP_NOTSENT_LOWAT, 32000, 32000},
                        Case{SOL_TCP, TCP_WINDOW_CLAMP, 50000, 50000},
                        Case{SOL_SOCKET, SO_KEEPALIVE, 5, 1},
                        Case{SOL_SOCKET, SO_REUSEADDR, 1, 1},
                        Case{SOL_SOCKET, SO_REUSEPORT, 1, 1},
                        Case{SOL_SOCKET, SO_PRIORITY, 6, 6},
                        Case{SOL_SOCKET, SO_MARK, 7, 7},
                        Case{SOL_SOCKET, SO_RCVLOWAT, 100, 100},
                        Case{SOL_SOCKET, SO_OOBINLINE, 1, 1},
                        Case{SOL_IP, IP_TTL, 32, 32},
                        Case{SOL_IP, IP_TOS, 0x13, 0x10},
                        Case{SOL_IP, IP_MTU_DISCOVER, 2, 2},
                        Case{SOL_IP, IP_RECVERR, 1, 1}})
    for (const int fd : {fresh, client}) {
      EXPECT_EQ(a.set(fd, c.level, c.name, c.value), 0) << c.level << ' ' << c.name;
      EXPECT_EQ(a.get(fd, c.level, c.name), c.read) << c.level << ' ' << c.name;
    }
  EXPECT_EQ(a.get(client, SOL_IP, IP_MTU), 1500);
}

TEST_F(OptionsTest, WhatAListenerSetsItsChildrenHave) {
  listener = b.tcp();
  ASSERT_EQ(b.set(listener, SOL_TCP, TCP_NODELAY, 1), 0);
  ASSERT_EQ(b.set(listener, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
  ASSERT_EQ(b.set(listener, SOL_SOCKET, SO_SNDBUF, 30000), 0);
  ASSERT_EQ(b.bind(listener, kAny, 80), 0);
  ASSERT_EQ(b.listen(listener), 0);
  client = a.tcp();
  a.connect(client, testing::Pair::b_address, 80);
  pair.settle();
  server = static_cast<int>(b.accept(listener));
  ASSERT_GE(server, 0);
  EXPECT_EQ(b.get(server, SOL_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(b.get(server, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(b.get(server, SOL_SOCKET, SO_SNDBUF), 60000);
}

TEST_F(OptionsTest, TcpInfoInTheKernelsLayout) {
  establish();
  a.send(client, "hello");
  pair.run_for(100ms);
  TcpInfo info;
  socklen_t length = sizeof(info);
  ASSERT_TRUE(a.sockets.getsockopt(client, SOL_TCP, TCP_INFO, &info, &length, pair.now));
  EXPECT_EQ(length, sizeof(info));
  EXPECT_EQ(info.state, 1);
  EXPECT_EQ(info.options & 7, 7);
  EXPECT_EQ(info.bytes_acked, 6u) << "Linux counts the SYN";
  EXPECT_EQ(info.snd_mss, 1448u);
  EXPECT_EQ(info.pmtu, 1500u);
  length = 8;
  std::array<std::uint8_t, 8> head{};
  ASSERT_TRUE(a.sockets.getsockopt(client, SOL_TCP, TCP_INFO, head.data(), &length, pair.now));
  EXPECT_EQ(length, 8u);
  EXPECT_EQ(head[0], 1);
}

TEST_F(OptionsTest, CongestionControlByName) {
  const int fd = a.tcp();
  char name[16] = {};
  socklen_t length = sizeof(name);
  ASSERT_TRUE(a.sockets.getsockopt(fd, SOL_TCP, TCP_CONGESTION, name, &length, pair.now));
  EXPECT_EQ(std::string(name), *pair.a.sysctl_get("net.ipv4.tcp_congestion_control"));
  EXPECT_TRUE(a.sockets.setsockopt(fd, SOL_TCP, TCP_CONGESTION, "reno", 4, pair.now));
}

}  // namespace
}  // namespace tapir::socket
