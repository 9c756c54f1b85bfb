// SPDX-License-Identifier: Apache-2.0
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "unit/socket/fixture.h"

namespace tapir::socket {
namespace {

using testing::kAny;
using testing::Pair;
using testing::Program;
using testing::TwoPrograms;

struct StreamSocketTest : TwoPrograms {};

TEST_F(StreamSocketTest, SocketAnswersAsLinuxToWhatItCannotMake) {
  const auto socket = [&](int domain, int type, int protocol) {
    return Program::number(a.sockets.socket(domain, type, protocol, pair.now));
  };
  EXPECT_EQ(socket(AF_INET, SOCK_SEQPACKET, 0), -ESOCKTNOSUPPORT);
  EXPECT_EQ(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), -EPROTONOSUPPORT);
  EXPECT_EQ(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), -EPROTONOSUPPORT);
  EXPECT_EQ(socket(AF_INET, SOCK_STREAM, -1), -EINVAL);
  EXPECT_EQ(socket(AF_INET, 99, 0), -EINVAL);
  EXPECT_EQ(socket(AF_INET, SOCK_STREAM | 0x10, 0), -EINVAL);
  EXPECT_EQ(socket(AF_INET6, SOCK_STREAM, 0), -EAFNOSUPPORT);
  EXPECT_EQ(socket(-1, SOCK_STREAM, 0), -EAFNOSUPPORT);
  EXPECT_EQ(socket(AF_INET, SOCK_STREAM, IPPROTO_TCP), 3);
  EXPECT_EQ(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP), 4);
  EXPECT_EQ(a.close(3), 0);
  EXPECT_EQ(a.close(3), -EBADF);
  EXPECT_EQ(a.tcp(), 3) << "the lowest free one";
}

TEST_F(StreamSocketTest, BindErrors) {
  const int fd = a.tcp();
  sockaddr_in in = testing::address_of(kAny, 80);
  const auto bind = [&](socklen_t length) {
    return Program::number(a.sockets.bind(fd, reinterpret_cast<const sockaddr*>(&in), length, pair.now));
  };
  EXPECT_EQ(bind(sizeof(in) - 1), -EINVAL);
  EXPECT_EQ(bind(4096), -EINVAL);
  in.sin_family = AF_INET6;
  EXPECT_EQ(bind(sizeof(in)), -EAFNOSUPPORT);
  in.sin_family = AF_UNSPEC;
  in.sin_addr.s_addr = to_big_endian(std::uint32_t{0x0a000001});
  EXPECT_EQ(bind(sizeof(in)), -EAFNOSUPPORT);
  EXPECT_EQ(a.bind(fd, IpAddress::v4(10, 0, 0, 9), 80), -EADDRNOTAVAIL);
  EXPECT_EQ(a.set(fd, SOL_IP, IP_FREEBIND, 1), 0);
  EXPECT_EQ(a.bind(fd, IpAddress::v4(10, 0, 0, 9), 80), 0);
  EXPECT_EQ(a.bind(fd, kAny, 81), -EINVAL) << "bound already";
  const int other = a.tcp();
  EXPECT_EQ(a.bind(other, kAny, 80), -EADDRINUSE);
  EXPECT_EQ(a.bind(other, kAny, 0), 0);
  EXPECT_GE(a.port(other), 32768);
  EXPECT_EQ(a.bind(99, kAny, 0), -EBADF);
}

TEST_F(StreamSocketTest, PortsBelow1024NeedPrivilege) {
  stack::Stack plain({.privileged = false}, pair.now);
  Program p(pair, plain);
  const int fd = p.tcp();
  EXPECT_EQ(p.bind(fd, kAny, 1023), -EACCES);
  EXPECT_EQ(p.bind(fd, kAny, 1024), 0);
  EXPECT_EQ(Program::number(p.sockets.socket(AF_INET, SOCK_RAW, IPPROTO_TCP, pair.now)), -EPERM);
}

TEST_F(StreamSocketTest, ListenAndAcceptErrors) {
  const int fd = a.tcp();
  EXPECT_EQ(a.accept(fd), -EINVAL) << "not listening";
  EXPECT_EQ(a.listen(fd, -1), 0) << "unbound: a port is found; a negative backlog is as large as can be";
  EXPECT_NE(a.port(fd), 0);
  EXPECT_EQ(a.accept(fd), -EAGAIN);
  EXPECT_EQ(a.listen(fd, 1), 0) << "again: only the backlog changes";
  EXPECT_EQ(a.connect(fd, Pair::b_address, 80), -EISCONN);
  EXPECT_EQ(a.send(fd, "x"), -EPIPE);
  EXPECT_EQ(a.recv(fd), std::to_string(-ENOTCONN));
  EXPECT_EQ(a.get(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
  const int datagram = a.udp();
  EXPECT_EQ(a.listen(datagram), -EOPNOTSUPP);
  EXPECT_EQ(a.accept(datagram), -EOPNOTSUPP);
}

TEST_F(StreamSocketTest, ANewSocketIsHungUpAndWritable) {
  const int fd = a.tcp();
  EXPECT_EQ(a.poll(fd), POLLOUT | POLLHUP);
  EXPECT_EQ(a.send(fd, "x"), -EPIPE);
  EXPECT_EQ(a.recv(fd), std::to_string(-ENOTCONN));
  EXPECT_EQ(a.shutdown(fd, SHUT_RDWR), -ENOTCONN);
  EXPECT_EQ(a.shutdown(fd, 3), -EINVAL);
}

TEST_F(StreamSocketTest, ConnectGoesThroughItsErrnos) {
  listener = b.tcp();
  ASSERT_EQ(b.bind(listener, kAny, 80), 0);
  ASSERT_EQ(b.listen(listener), 0);
  client = a.tcp();
  EXPECT_EQ(a.connect(client, Pair::b_address, 80), -EINPROGRESS);
  EXPECT_EQ(a.connect(client, Pair::b_address, 80), -EALREADY);
  EXPECT_EQ(a.poll(client), 0);
  EXPECT_EQ(a.send(client, "x"), -EAGAIN);
  EXPECT_EQ(a.recv(client), std::to_string(-EAGAIN));
  EXPECT_EQ(b.poll(listener), 0);
  pair.settle();
  EXPECT_EQ(a.poll(client), POLLOUT);
  EXPECT_EQ(b.poll(listener), POLLIN);
  EXPECT_EQ(a.connect(client, Pair::b_address, 80), 0) << "once";
  EXPECT_EQ(a.connect(client, Pair::b_address, 80), -EISCONN) << "and then no more";
  EXPECT_EQ(a.bind(client, kAny, 0), -EINVAL);
  EXPECT_EQ(a.listen(client), -EINVAL);
}

TEST_F(StreamSocketTest, ARefusedConnectTellsOnceAndMayBeTriedAgain) {
  client = a.tcp();
  EXPECT_EQ(a.connect(client, Pair::b_address, 81), -EINPROGRESS);
  pair.settle();
  EXPECT_EQ(a.poll(client), POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP);
  EXPECT_EQ(a.connect(client, Pair::b_address, 81), -ECONNREFUSED);
  EXPECT_EQ(a.error(client), 0);
  EXPECT_NE(a.port(client), 0) << "the chosen port is given back, but getsockname() goes on to tell it";
  EXPECT_EQ(a.connect(client, Pair::b_address, 81), -EINPROGRESS);
  pair.settle();
  EXPECT_EQ(a.error(client), ECONNREFUSED);
  EXPECT_EQ(a.error(client), 0);
  EXPECT_EQ(a.recv(client), "") << "end of file";
  EXPECT_EQ(a.send(client, "x"), -EPIPE);
}

TEST_F(StreamSocketTest, ConnectWithoutAWay) {
  client = a.tcp();
  EXPECT_EQ(a.connect(client, IpAddress::v4(192, 0, 2, 1), 80), -ENETUNREACH);
  EXPECT_EQ(a.connect(client, IpAddress::v4(224, 0, 0, 5), 80), -ENETUNREACH);
  EXPECT_EQ(a.connect(client, IpAddress::v4(10, 0, 0, 255), 80), -ENETUNREACH);
  EXPECT_EQ(a.connect(client, IpAddress::v4(10, 0, 0, 77), 80), -EINPROGRESS);
  pair.run_for(10s);
  EXPECT_EQ(a.error(client), EHOSTUNREACH);
}

TEST_F(StreamSocketTest, EchoAndClose) {
  establish();
  EXPECT_EQ(a.send(client, "hello"), 5);
  pair.settle();
  EXPECT_EQ(b.poll(server), POLLIN | POLLOUT);
  EXPECT_EQ(b.recv(server, 2, MSG_PEEK), "he");
  EXPECT_EQ(b.recv(server, 3), "hel");
  EXPECT_EQ(b.recv(server), "lo");
  EXPECT_EQ(b.recv(server), std::to_string(-EAGAIN));
  EXPECT_EQ(b.send(server, "world"), 5);
  pair.settle();
  EXPECT_EQ(a.recv(client), "world");
  EXPECT_EQ(a.shutdown(client, SHUT_WR), 0);
  EXPECT_EQ(a.send(client, "x"), -EPIPE);
  pair.settle();
  EXPECT_EQ(b.poll(server), POLLIN | POLLOUT | POLLRDHUP);
  EXPECT_EQ(b.recv(server), "");
  EXPECT_EQ(b.send(server, "bye"), 3);
  pair.settle();
  EXPECT_EQ(a.recv(client), "bye");
  EXPECT_EQ(b.close(server), 0);
  pair.settle();
  EXPECT_EQ(a.recv(client), "");
  EXPECT_EQ(a.poll(client) & (POLLHUP | POLLRDHUP), POLLHUP | POLLRDHUP);
  EXPECT_EQ(a.close(client), 0);
}

TEST_F(StreamSocketTest, WhatWasQueuedComesBeforeTheReset) {
  establish();
  EXPECT_EQ(b.send(server, "last words"), 10);
  EXPECT_EQ(a.send(client, "unread"), 6);
  pair.settle();
  EXPECT_EQ(b.close(server), 0) << "with unread data: a reset";
  pair.settle();
  EXPECT_EQ(a.poll(client) & (POLLERR | POLLHUP | POLLIN), POLLERR | POLLHUP | POLLIN);
  EXPECT_EQ(a.recv(client), "last words");
  EXPECT_EQ(a.recv(client), std::to_string(-ECONNRESET));
  EXPECT_EQ(a.recv(client), "");
  EXPECT_EQ(a.send(client, "x"), -EPIPE);
  sockaddr_in in{};
  socklen_t length = sizeof(in);
  EXPECT_EQ(Program::number(a.sockets.getpeername(client, reinterpret_cast<sockaddr*>(&in), &length)),
            -ENOTCONN);
}

TEST_F(StreamSocketTest, LingerZeroResets) {
  establish();
  const linger zero{1, 0};
  ASSERT_TRUE(a.sockets.setsockopt(client, SOL_SOCKET, SO_LINGER, &zero, sizeof(zero), pair.now));
  EXPECT_EQ(a.close(client), 0);
  pair.settle();
  EXPECT_EQ(b.recv(server), std::to_string(-ECONNRESET));
}

TEST_F(StreamSocketTest, ALingeringCloseWaitsForThePeer) {
  establish();
  const linger five{1, 5};
  ASSERT_TRUE(a.sockets.setsockopt(client, SOL_SOCKET, SO_LINGER, &five, sizeof(five), pair.now));
  ASSERT_EQ(a.send(client, "data"), 4);
  LingeringClose closing(client);
  EXPECT_FALSE(closing.step(a.sockets, pair.now));
  EXPECT_EQ(a.poll(client), POLLNVAL) << "the descriptor is gone";
  EXPECT_EQ(closing.deadline(), pair.now + 5s);
  pair.run_for(100ms);
  const auto answer = closing.step(a.sockets, pair.now);
  ASSERT_TRUE(answer);
  EXPECT_EQ(Program::number(*answer), 0);
}

TEST_F(StreamSocketTest, UnspecDisconnects) {
  establish();
  EXPECT_EQ(a.disconnect(client), 0);
  EXPECT_EQ(a.error(client), ECONNRESET);
  EXPECT_EQ(a.recv(client), std::to_string(-ENOTCONN));
  pair.settle();
  EXPECT_EQ(b.recv(server), std::to_string(-ECONNRESET));
  EXPECT_EQ(a.connect(client, Pair::b_address, 80), -EINPROGRESS) << "as good as new";
}

TEST_F(StreamSocketTest, NullBuffersFaultOnlyWhenTheyWouldBeTouched) {
  establish();
  EXPECT_EQ(Program::number(a.sockets.send(client, nullptr, 1000, 0, pair.now)), -EFAULT);
  EXPECT_EQ(Program::number(a.sockets.send(client, nullptr, 0, 0, pair.now)), 0);
  EXPECT_EQ(Program::number(b.sockets.recv(server, nullptr, 1000, 0, pair.now)), -EAGAIN);
  a.send(client, "data");
  pair.settle();
  EXPECT_EQ(Program::number(b.sockets.recv(server, nullptr, 1000, 0, pair.now)), -EFAULT);
  EXPECT_EQ(Program::number(b.sockets.recv(server, nullptr, 1000, MSG_TRUNC, pair.now)), 4)
      << "discarded, not copied";
}

TEST_F(StreamSocketTest, EmptyPiecesAreSkipped) {
  establish();
  char one[] = "one";
  char two[] = "two";
  iovec pieces[] = {{one, 0}, {one, 3}, {two, 0}, {two, 3}};
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = 4;
  EXPECT_EQ(Program::number(a.sockets.sendmsg(client, &message, 0, pair.now)), 6);
  pair.settle();
  EXPECT_EQ(b.recv(server), "onetwo");
  message.msg_iovlen = 1;
  EXPECT_EQ(Program::number(a.sockets.sendmsg(client, &message, 0, pair.now)), 0);
}

TEST_F(StreamSocketTest, QueueLengths) {
  establish();
  a.send(client, "hello");
  const auto length = [&](Program& p, int fd, unsigned long request) {
    int value = -1;
    EXPECT_TRUE(p.sockets.ioctl(fd, request, &value, pair.now));
    return value;
  };
  EXPECT_EQ(length(a, client, SIOCOUTQ), 5);
  EXPECT_EQ(length(a, client, SIOCOUTQNSD), 0);
  pair.settle();
  EXPECT_EQ(length(b, server, SIOCINQ), 5);
  a.shutdown(client, SHUT_WR);
  pair.run_for(100ms);
  EXPECT_EQ(length(b, server, SIOCINQ), 5) << "a FIN is not a byte";
  EXPECT_EQ(length(a, client, SIOCOUTQ), 0);
  int value = 0;
  EXPECT_EQ(Program::number(b.sockets.ioctl(listener, SIOCINQ, &value, pair.now)), -EINVAL);
}

TEST_F(StreamSocketTest, DupSharesTheSocketUntilTheLastClose) {
  establish();
  const int copy = *a.sockets.dup(client);
  EXPECT_EQ(a.close(client), 0);
  EXPECT_EQ(a.send(copy, "still here"), 10);
  pair.settle();
  EXPECT_EQ(b.recv(server), "still here");
  EXPECT_EQ(a.close(copy), 0);
  pair.settle();
  EXPECT_EQ(b.recv(server), "");
}

TEST_F(StreamSocketTest, ShutdownOfAListenerEndsIt) {
  establish();
  EXPECT_EQ(b.shutdown(listener, SHUT_WR), 0);
  EXPECT_EQ(b.get(listener, SOL_SOCKET, SO_ACCEPTCONN), 1) << "nothing to shut";
  EXPECT_EQ(b.shutdown(listener, SHUT_RD), 0);
  EXPECT_EQ(b.accept(listener), -EINVAL);
  const int late = a.tcp();
  EXPECT_EQ(a.connect(late, Pair::b_address, 80), -EINPROGRESS);
  pair.settle();
  EXPECT_EQ(a.error(late), ECONNREFUSED);
}

TEST_F(StreamSocketTest, ConnectsToItselfOverLoopback) {
  const int local = a.tcp();
  ASSERT_EQ(a.bind(local, IpAddress::v4(127, 0, 0, 1), 8080), 0);
  ASSERT_EQ(a.listen(local), 0);
  client = a.tcp();
  EXPECT_EQ(a.connect(client, IpAddress::v4(127, 0, 0, 1), 8080), -EINPROGRESS);
  EXPECT_EQ(a.connect(client, IpAddress::v4(127, 0, 0, 1), 8080), 0) << "no time needed";
  server = static_cast<int>(a.accept(local));
  ASSERT_GE(server, 0);
  EXPECT_EQ(a.send(client, "to myself"), 9);
  EXPECT_EQ(a.recv(server), "to myself");
  const int self = a.tcp();
  ASSERT_EQ(a.bind(self, IpAddress::v4(127, 0, 0, 1), 9090), 0);
  EXPECT_EQ(a.connect(self, IpAddress::v4(127, 0, 0, 1), 9090), -EINPROGRESS);
  EXPECT_EQ(a.connect(self, IpAddress::v4(127, 0, 0, 1), 9090), 0) << "a simultaneous open with oneself";
  EXPECT_EQ(a.send(self, "me"), 2);
  EXPECT_EQ(a.recv(self), "me");
}

TEST_F(StreamSocketTest, TheListenersPortIsFreeAgainForWhoAsksToReuseIt) {
  establish();
  EXPECT_EQ(b.close(listener), 0);
  const int again = b.tcp();
  EXPECT_EQ(b.bind(again, kAny, 80), -EADDRINUSE) << "its connection lives";
  EXPECT_EQ(b.close(server), 0);
  EXPECT_EQ(a.close(client), 0);
  pair.run_for(100s);
  EXPECT_EQ(b.bind(again, kAny, 80), 0);
}

TEST_F(StreamSocketTest, BlockingCallsGoOnWhereTheyWere) {
  listener = *b.sockets.socket(AF_INET, SOCK_STREAM, 0, pair.now);
  ASSERT_EQ(b.bind(listener, kAny, 80), 0);
  ASSERT_EQ(b.listen(listener), 0);
  client = *a.sockets.socket(AF_INET, SOCK_STREAM, 0, pair.now);
  BlockingAccept accepting(listener, nullptr, nullptr, 0);
  EXPECT_FALSE(accepting.step(b.sockets, pair.now));
  const sockaddr_in to = testing::address_of(Pair::b_address, 80);
  BlockingConnect connecting(client, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
  EXPECT_FALSE(connecting.step(a.sockets, pair.now));
  pair.settle();
  const auto connected = connecting.step(a.sockets, pair.now);
  ASSERT_TRUE(connected);
  EXPECT_EQ(Program::number(*connected), 0);
  const auto accepted = accepting.step(b.sockets, pair.now);
  ASSERT_TRUE(accepted);
  server = static_cast<int>(Program::number(*accepted));

  // MSG_WAITALL wants all of it.
  char buffer[10];
  iovec piece{buffer, sizeof(buffer)};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  BlockingReceive receiving(server, &message, MSG_WAITALL);
  EXPECT_FALSE(receiving.step(b.sockets, pair.now));
  a.send(client, "12345");
  pair.settle();
  EXPECT_FALSE(receiving.step(b.sockets, pair.now));
  a.send(client, "67890");
  pair.settle();
  const auto received = receiving.step(b.sockets, pair.now);
  ASSERT_TRUE(received);
  EXPECT_EQ(Program::number(*received), 10);
  EXPECT_EQ(std::string(buffer, 10), "1234567890");

  // SO_RCVTIMEO ends the wait.
  const timeval second{1, 0};
  ASSERT_TRUE(b.sockets.setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second), pair.now));
  BlockingReceive timed(server, &message, 0);
  EXPECT_FALSE(timed.step(b.sockets, pair.now));
  EXPECT_EQ(timed.deadline(), pair.now + 1s);
  pair.run_for(1s);
  const auto late = timed.step(b.sockets, pair.now);
  ASSERT_TRUE(late);
  EXPECT_EQ(Program::number(*late), -EAGAIN);

  // A write larger than the buffer takes as long as the reader does.
  const std::string bulk(3'000'000, 'x');
  iovec large{const_cast<char*>(bulk.data()), bulk.size()};
  msghdr sending_message{};
  sending_message.msg_iov = &large;
  sending_message.msg_iovlen = 1;
  BlockingSend sending(client, sending_message, 0);
  std::size_t read = 0;
  std::optional<Result<long>> sent;
  ASSERT_TRUE(pair.run_until(
      [&] {
        for (;;) {
          if (!sent) sent = sending.step(a.sockets, pair.now);
          const std::string got = b.recv(server, 100000, MSG_DONTWAIT);
          if (got.starts_with('-')) break;
          read += got.size();
        }
        return sent && read == bulk.size();
      },
      60s));
  EXPECT_EQ(Program::number(*sent), 3'000'000);
}

// A call that waits with MSG_FASTOPEN has the socket's only Fast Open; a signal, or its end, lets go of it.
TEST_F(StreamSocketTest, OneBlockingFastOpenAtATime) {
  const int fd = *a.sockets.socket(AF_INET, SOCK_STREAM, 0, pair.now);
  const sockaddr_in to = testing::address_of(Pair::b_address, 80);
  std::string text = "hello";
  iovec piece{text.data(), text.size()};
  msghdr message{};
  message.msg_name = const_cast<sockaddr_in*>(&to);
  message.msg_namelen = sizeof(to);
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  const auto answer = [&](BlockingSend& call) {
    const auto said = call.step(a.sockets, pair.now);
    return said ? Program::number(*said) : 0;
  };
  BlockingSend first(fd, message, MSG_FASTOPEN), second(fd, message, MSG_FASTOPEN),
      third(fd, message, MSG_FASTOPEN), fourth(fd, message, MSG_FASTOPEN);
  EXPECT_EQ(answer(first), 0);
  EXPECT_EQ(answer(second), -EALREADY);
  EXPECT_EQ(Program::number(first.interrupted()), -EINTR);
  first.leave();
  EXPECT_EQ(answer(third), 0);
  EXPECT_EQ(answer(fourth), -EALREADY);
  pair.settle();  // nobody listens
  BlockingSend late(fd, message, MSG_FASTOPEN);
  EXPECT_EQ(answer(late), -EALREADY);  // what became of the handshake is for the call that waits for it
  EXPECT_EQ(answer(third), -ECONNREFUSED);
  BlockingSend fifth(fd, message, MSG_FASTOPEN);
  EXPECT_EQ(answer(fifth), 0);
}

TEST_F(StreamSocketTest, WhatMsgMoreHoldsLeavesWithNodelayOrCorkAlone) {
  establish();
  EXPECT_EQ(a.send(client, "held", MSG_MORE), 4);
  EXPECT_EQ(a.set(client, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
  EXPECT_EQ(a.set(client, SOL_SOCKET, SO_RCVLOWAT, 9), 0);
  EXPECT_EQ(a.set(client, SOL_TCP, TCP_NODELAY, 0), 0);
  EXPECT_EQ(a.set(client, SOL_TCP, TCP_CORK, 1), 0);
  pair.settle();
  EXPECT_EQ(b.recv(server), std::to_string(-EAGAIN));
  EXPECT_EQ(b.send(server, "from the other side"), 19);
  pair.settle();
  EXPECT_EQ(b.recv(server), std::to_string(-EAGAIN)) << "expected data pushes nothing";
  EXPECT_EQ(a.set(client, SOL_TCP, TCP_CORK, 0), 0);
  pair.settle();
  EXPECT_EQ(b.recv(server), "held");
  EXPECT_EQ(a.send(client, "again", MSG_MORE), 5);
  EXPECT_EQ(a.set(client, SOL_TCP, TCP_NODELAY, 1), 0);
  pair.settle();
  EXPECT_EQ(b.recv(server), "again");
}

TEST_F(StreamSocketTest, UrgentModeEndsWithItsAck) {
  establish();
  EXPECT_EQ(a.set(client, SOL_TCP, TCP_CORK, 1), 0);
  EXPECT_EQ(a.send(client, "!", MSG_OOB), 1);
  pair.settle();
  EXPECT_EQ(b.recv(server, 1, MSG_OOB), "!");
  pair.run_for(std::chrono::milliseconds(100));  // a delayed ACK
  EXPECT_EQ(a.send(client, "corked"), 6);
  pair.settle();
  EXPECT_EQ(b.recv(server), std::to_string(-EAGAIN));
}

TEST_F(StreamSocketTest, AConnectionThatEndedHoldsNoPort) {
  establish();
  EXPECT_EQ(b.disconnect(listener), 0);
  EXPECT_EQ(b.listen(listener), -EADDRINUSE) << "the child has it";
  EXPECT_EQ(a.disconnect(client), 0);
  pair.settle();
  EXPECT_EQ(b.listen(listener), 0) << "it was reset; its socket is open still";
}

TEST_F(StreamSocketTest, APortBoundAfterTheEndOfAConnectionStays) {
  const int fd = a.tcp();
  ASSERT_EQ(a.connect(fd, Pair::b_address, 81), -EINPROGRESS);
  pair.settle();
  EXPECT_EQ(a.bind(fd, kAny, 0), 0) << "refused: the port of that connection is free";
  EXPECT_EQ(a.bind(fd, kAny, 0), -EINVAL);
}

}  // namespace
}  // namespace tapir::socket
