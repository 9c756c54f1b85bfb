// SPDX-License-Identifier: Apache-2.0
#include "unit/socket/fixture.h"

namespace tapir::socket {
namespace {

using testing::kAny;
using testing::Pair;
using testing::Program;
using testing::TwoPrograms;

struct DatagramSocketTest : TwoPrograms {};

TEST_F(DatagramSocketTest, BothWaysWithAddresses) {
  const int server_fd = b.udp();
  ASSERT_EQ(b.bind(server_fd, kAny, 53), 0);
  const int client_fd = a.udp();
  EXPECT_EQ(a.send(client_fd, "who?"), -EDESTADDRREQ);
  EXPECT_EQ(a.sendto(client_fd, "query", Pair::b_address, 53), 5);
  EXPECT_EQ(b.poll(server_fd), POLLOUT);
  pair.settle();
  EXPECT_EQ(b.poll(server_fd), POLLIN | POLLOUT);
  char buffer[100];
  sockaddr_in from{};
  socklen_t length = sizeof(from);
  EXPECT_EQ(Program::number(b.sockets.recvfrom(server_fd, buffer, sizeof(buffer), 0,
                                               reinterpret_cast<sockaddr*>(&from), &length, pair.now)),
            5);
  EXPECT_EQ(to_big_endian(from.sin_addr.s_addr), Pair::a_address.v4_bits());
  EXPECT_EQ(to_big_endian(from.sin_port), a.port(client_fd));
  EXPECT_EQ(b.sendto(server_fd, "answer", Pair::a_address, a.port(client_fd)), 6);
  pair.settle();
  EXPECT_EQ(a.recv(client_fd), "answer");
  EXPECT_EQ(a.recv(client_fd), std::to_string(-EAGAIN));
}

TEST_F(DatagramSocketTest, PortUnreachableIsConnectionRefusedWhenConnected) {
  const int fd = a.udp();
  ASSERT_EQ(a.connect(fd, Pair::b_address, 9), 0);
  EXPECT_EQ(a.send(fd, "anybody"), 7);
  pair.settle();
  EXPECT_EQ(a.poll(fd), POLLOUT | POLLERR);
  EXPECT_EQ(a.recv(fd), std::to_string(-ECONNREFUSED));
  EXPECT_EQ(a.recv(fd), std::to_string(-EAGAIN));
  EXPECT_EQ(a.send(fd, "again"), 5);
  pair.settle();
  EXPECT_EQ(a.send(fd, "the error first"), -ECONNREFUSED);
  const int loose = a.udp();
  EXPECT_EQ(a.sendto(loose, "x", Pair::b_address, 9), 1);
  pair.settle();
  EXPECT_EQ(a.recv(loose), std::to_string(-EAGAIN)) << "not connected: not told";
}

TEST_F(DatagramSocketTest, TruncationAndPeeking) {
  const int to = b.udp();
  ASSERT_EQ(b.bind(to, kAny, 53), 0);
  const int from = a.udp();
  a.sendto(from, "0123456789", Pair::b_address, 53);
  a.sendto(from, "", Pair::b_address, 53);
  pair.settle();
  EXPECT_EQ(b.recv(to, 4, MSG_PEEK), "0123");
  char buffer[4];
  EXPECT_EQ(Program::number(b.sockets.recv(to, buffer, 4, MSG_PEEK | MSG_TRUNC, pair.now)), 10);
  iovec piece{buffer, 4};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  EXPECT_EQ(Program::number(b.sockets.recvmsg(to, &message, 0, pair.now)), 4);
  EXPECT_EQ(message.msg_flags, MSG_TRUNC);
  EXPECT_EQ(b.recv(to), "") << "an empty datagram is one";
  EXPECT_EQ(b.recv(to), std::to_string(-EAGAIN));
}

TEST_F(DatagramSocketTest, SizeLimits) {
  const int fd = a.udp();
  EXPECT_EQ(a.sendto(fd, std::string(65508, 'x'), Pair::b_address, 53), -EMSGSIZE);
  EXPECT_EQ(a.sendto(fd, std::string(65507, 'x'), Pair::b_address, 53), 65507);
  EXPECT_EQ(a.set(fd, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO), 0);
  EXPECT_EQ(a.sendto(fd, std::string(1473, 'x'), Pair::b_address, 53), -EMSGSIZE);
  EXPECT_EQ(a.sendto(fd, std::string(1472, 'x'), Pair::b_address, 53), 1472);
}

TEST_F(DatagramSocketTest, LargeDatagramsArriveWhole) {
  const int to = b.udp();
  ASSERT_EQ(b.bind(to, kAny, 53), 0);
  const int from = a.udp();
  std::string bulk(40000, '\0');
  for (std::size_t i = 0; i < bulk.size(); ++i) bulk[i] = static_cast<char>(i * 7);
  EXPECT_EQ(a.sendto(from, bulk, Pair::b_address, 53), 40000);
  pair.settle();
  EXPECT_TRUE(b.recv(to, 65536) == bulk);
}

TEST_F(DatagramSocketTest, BroadcastNeedsTheOption) {
  const int fd = a.udp();
  EXPECT_EQ(a.sendto(fd, "all", IpAddress::v4(10, 0, 0, 255), 53), -EACCES);
  EXPECT_EQ(a.set(fd, SOL_SOCKET, SO_BROADCAST, 1), 0);
  EXPECT_EQ(a.sendto(fd, "all", IpAddress::v4(10, 0, 0, 255), 53), 3);
  EXPECT_EQ(a.sendto(fd, "x", IpAddress::v4(192, 0, 2, 1), 53), -ENETUNREACH);
  EXPECT_EQ(a.sendto(fd, "x", Pair::b_address, 0), -EINVAL);
}

TEST_F(DatagramSocketTest, AConnectedSocketHearsItsPeerOnly) {
  const int server_fd = b.udp();
  ASSERT_EQ(b.bind(server_fd, kAny, 53), 0);
  const int fd = a.udp();
  ASSERT_EQ(a.connect(fd, Pair::b_address, 53), 0);
  const int stranger = b.udp();
  EXPECT_EQ(b.sendto(stranger, "psst", Pair::a_address, a.port(fd)), 4);
  EXPECT_EQ(b.sendto(server_fd, "hello", Pair::a_address, a.port(fd)), 5);
  pair.settle();
  EXPECT_EQ(a.recv(fd), "hello");
  EXPECT_EQ(a.recv(fd), std::to_string(-EAGAIN));
  EXPECT_EQ(a.disconnect(fd), 0);
  EXPECT_EQ(a.send(fd, "x"), -EDESTADDRREQ);
}

TEST_F(DatagramSocketTest, ShutdownOfTheUnconnectedSaysSoButCounts) {
  const int fd = a.udp();
  EXPECT_EQ(a.shutdown(fd, SHUT_RDWR), -ENOTCONN);
  EXPECT_EQ(a.poll(fd), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
  EXPECT_EQ(a.sendto(fd, "x", Pair::b_address, 53), -EPIPE);
}

TEST_F(DatagramSocketTest, ManyPiecesAreJoined) {
  const int to = b.udp();
  ASSERT_EQ(b.bind(to, kAny, 53), 0);
  const int fd = a.udp();
  ASSERT_EQ(a.connect(fd, Pair::b_address, 53), 0);
  char letters[40];
  iovec pieces[40];
  for (int i = 0; i < 40; ++i) {
    letters[i] = static_cast<char>('A' + i);
    pieces[i] = {&letters[i], 1};
  }
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = 40;
  EXPECT_EQ(Program::number(a.sockets.sendmsg(fd, &message, 0, pair.now)), 40);
  pair.settle();
  EXPECT_EQ(b.recv(to), std::string(letters, 40));
}

TEST_F(DatagramSocketTest, WhatJoinsABegunDatagramIsNotAskedWhereItGoes) {
  const int to = b.udp();
  ASSERT_EQ(b.bind(to, kAny, 53), 0);
  const int other = b.udp();
  ASSERT_EQ(b.bind(other, kAny, 54), 0);
  const int fd = a.udp();
  ASSERT_EQ(a.connect(fd, Pair::b_address, 53), 0);
  EXPECT_EQ(a.send(fd, "one ", MSG_MORE), 4);
  EXPECT_EQ(a.shutdown(fd, SHUT_WR), 0);
  EXPECT_EQ(a.sendto(fd, "two", Pair::b_address, 54), 3) << "shut, and to another: neither is looked at";
  pair.settle();
  EXPECT_EQ(b.recv(to), "one two");
  EXPECT_EQ(a.send(fd, "x"), -EPIPE);
  const int moved = a.udp();
  ASSERT_EQ(a.connect(moved, Pair::b_address, 53), 0);
  EXPECT_EQ(a.send(moved, "begun ", MSG_MORE), 6);
  ASSERT_EQ(a.connect(moved, Pair::b_address, 54), 0);
  EXPECT_EQ(a.send(moved, "moved"), 5);
  pair.settle();
  EXPECT_EQ(b.recv(other), "begun moved") << "connect() moves what is begun";
}

}  // namespace
}  // namespace tapir::socket
