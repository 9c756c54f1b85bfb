// SPDX-License-Identifier: Apache-2.0
// One socket, many threads: accepting, sending, and shutdown() or close() under the waiting.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/time.h>

#include <array>
#include <atomic>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "runtime/stack_host.h"

namespace tapir::runtime {
namespace {

int errno_of(const auto& result) { return result ? 0 : static_cast<int>(result.error()); }

// Without a service thread, so that whoever sleeps or polls is a call that waits.
class ManyThreadsTest : public testing::Test {
 protected:
  explicit ManyThreadsTest(bool service = false) : host_(config(service)) {}
  static HostConfig config(bool service) {
    HostConfig made;
    made.service_thread = service;
    return made;
  }
  static sockaddr_in at(std::uint16_t port) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
  }
  Descriptor listen(std::uint16_t port) {
    const Descriptor fd = *host_.socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = at(port);
    EXPECT_EQ(errno_of(host_.bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address)), 0);
    EXPECT_EQ(errno_of(host_.listen(fd, 128)), 0);
    return fd;
  }
  Descriptor connect(std::uint16_t port) {
    const Descriptor fd = *host_.socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = at(port);
    EXPECT_EQ(errno_of(host_.connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address)), 0);
    return fd;
  }
  std::pair<Descriptor, Descriptor> connected(std::uint16_t port) {
    const Descriptor listener = listen(port);
    const Descriptor client = connect(port);
    const Descriptor server = *host_.accept(listener);
    EXPECT_EQ(errno_of(host_.close(listener)), 0);
    return {client, server};
  }
  // Until `count` calls sleep or drive: a call that waits is not to be seen otherwise.
  // How often a thread has gone to wait, to be asked before the threads start that shall wait.
  std::uint64_t waits() {
    const HostStats stats = host_.stats();
    return stats.sleeps + stats.polls;
  }
  void until_waiting(std::uint64_t before, std::uint64_t count) {
    while (waits() < before + count) std::this_thread::yield();
  }

  StackHost host_;
};

TEST_F(ManyThreadsTest, EightThreadsAcceptEachConnectionOnce) {
  constexpr int kThreads = 8;
  constexpr int kConnections = 64;
  const Descriptor listener = listen(1000);
  std::atomic<int> accepted = 0;
  std::atomic<int> refused = 0;
  std::vector<std::thread> acceptors;
  for (int i = 0; i < kThreads; ++i)
    acceptors.emplace_back([&] {
      for (;;) {
        const auto fd = host_.accept(listener);
        if (!fd) {
          // shutdown() makes it a socket that does not listen.
          EXPECT_EQ(errno_of(fd), EINVAL);
          ++refused;
          return;
        }
        ++accepted;
        EXPECT_EQ(*host_.send(*fd, "x", 1), 1);
        EXPECT_EQ(errno_of(host_.close(*fd)), 0);
      }
    });
  for (int i = 0; i < kConnections; ++i) {
    const Descriptor client = connect(1000);
    char byte = 0;
    EXPECT_EQ(*host_.recv(client, &byte, 1), 1);
    EXPECT_EQ(errno_of(host_.close(client)), 0);
  }
  EXPECT_EQ(accepted, kConnections);
  EXPECT_EQ(errno_of(host_.shutdown(listener, SHUT_RD)), 0);
  for (std::thread& thread : acceptors) thread.join();
  EXPECT_EQ(refused, kThreads);
}

TEST_F(ManyThreadsTest, ShutdownEndsAReceiveThatWaits) {
  const auto [client, server] = connected(1000);
  const std::uint64_t before = waits();
  std::thread reader([&, fd = server] {
    char byte = 0;
    const auto got = host_.recv(fd, &byte, 1);
    ASSERT_TRUE(got);
    EXPECT_EQ(*got, 0);
  });
  until_waiting(before, 1);
  EXPECT_EQ(errno_of(host_.shutdown(server, SHUT_RD)), 0);
  reader.join();
}

TEST_F(ManyThreadsTest, ShutdownEndsASendThatWaits) {
  const auto [client, server] = connected(1000);
  const std::uint64_t before = waits();
  std::thread writer([&, fd = client] {
    const std::string much(std::size_t{64} << 20, 'x');
    const auto sent = host_.send(fd, much.data(), much.size(), MSG_NOSIGNAL);
    ASSERT_TRUE(sent);
    EXPECT_LT(*sent, static_cast<long>(much.size()));
    EXPECT_EQ(errno_of(host_.send(fd, "x", 1, MSG_NOSIGNAL)), EPIPE);
  });
  // A byte has come: the call has begun.
  char first = 0;
  ASSERT_TRUE(host_.recv(server, &first, 1));
  until_waiting(before, 1);
  EXPECT_EQ(errno_of(host_.shutdown(client, SHUT_WR)), 0);
  writer.join();
}

// As in Linux: the call holds the socket, and goes on; with its end the socket goes.
TEST_F(ManyThreadsTest, WhatWaitsOnAClosedDescriptorWaitsOn) {
  const auto [client, server] = connected(1000);
  const Descriptor listener = listen(1001);
  const std::uint64_t before = waits();
  std::thread reader([&, fd = server] {
    char byte = 0;
    const auto got = host_.recv(fd, &byte, 1);
    ASSERT_TRUE(got) << errno_of(got);
    EXPECT_EQ(byte, 'x');
  });
  std::thread acceptor([&] { EXPECT_EQ(errno_of(host_.accept(listener)), 0); });
  until_waiting(before, 2);
  EXPECT_EQ(errno_of(host_.close(server)), 0);
  EXPECT_EQ(errno_of(host_.close(listener)), 0);
  EXPECT_EQ(errno_of(host_.close(server)), EBADF);
  EXPECT_EQ(*host_.send(client, "x", 1), 1);
  reader.join();
  char byte = 0;
  EXPECT_EQ(*host_.recv(client, &byte, 1), 0) << "nobody holds the peer any more: it has closed";
  const Descriptor late = connect(1001);
  acceptor.join();
  EXPECT_EQ(errno_of(host_.close(late)), 0);
  const Descriptor refused = *host_.socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = at(1001);
  EXPECT_EQ(errno_of(host_.connect(refused, reinterpret_cast<const sockaddr*>(&address), sizeof address)),
            ECONNREFUSED);
}

// As in Linux: it holds the file, and the peer hears nothing until it returns; what wakes it finds the number
// gone.
TEST_F(ManyThreadsTest, APollHoldsWhatIsClosedUnderIt) {
  const auto [client, server] = connected(1000);
  const std::uint64_t before = waits();
  std::thread poller([&, fd = server] {
    pollfd one{fd, POLLIN, 0};
    const auto ready = host_.poll({&one, 1}, std::nullopt);
    ASSERT_TRUE(ready);
    EXPECT_EQ(*ready, 1);
    EXPECT_EQ(one.revents, POLLNVAL);
  });
  until_waiting(before, 1);
  EXPECT_EQ(errno_of(host_.close(server)), 0);
  char byte = 0;
  EXPECT_EQ(errno_of(host_.recv(client, &byte, 1, MSG_DONTWAIT)), EAGAIN) << "the connection is still held";
  EXPECT_EQ(*host_.send(client, "x", 1), 1);
  poller.join();
  EXPECT_EQ(errno_of(host_.recv(client, &byte, 1)), ECONNRESET) << "closed now, with a byte unread";
}

TEST_F(ManyThreadsTest, APollThatHoldsWaitsOnForTheOthers) {
  const auto [client, server] = connected(1000);
  const auto [client2, server2] = connected(1001);
  const std::uint64_t before = waits();
  std::thread poller([&, fd = server, fd2 = server2] {
    std::array<pollfd, 2> both{pollfd{fd, POLLIN, 0}, pollfd{fd2, POLLIN, 0}};
    const auto ready = host_.poll(both, std::nullopt);
    ASSERT_TRUE(ready);
    EXPECT_EQ(*ready, 2);
    EXPECT_EQ(both[0].revents, POLLNVAL);
    EXPECT_EQ(both[1].revents, POLLIN);
  });
  until_waiting(before, 1);
  EXPECT_EQ(errno_of(host_.close(server)), 0);
  EXPECT_EQ(*host_.send(client2, "x", 1), 1);
  poller.join();
  char byte = 0;
  EXPECT_EQ(*host_.recv(client, &byte, 1), 0);
}

TEST_F(ManyThreadsTest, AnEpollWaitGoesOnWhenItsSetIsClosed) {
  const auto [client, server] = connected(1000);
  const Descriptor set = *host_.epoll_create1(0);
  epoll_event event{EPOLLIN, {.u64 = 7}};
  ASSERT_EQ(errno_of(host_.epoll_ctl(set, EPOLL_CTL_ADD, server, &event)), 0);
  const std::uint64_t before = waits();
  std::thread waiter([&] {
    epoll_event got{};
    const auto ready = host_.epoll_wait(set, {&got, 1}, std::nullopt);
    ASSERT_TRUE(ready) << errno_of(ready);
    EXPECT_EQ(*ready, 1);
    EXPECT_EQ(std::uint64_t{got.data.u64}, 7U);  // epoll_event is packed: no reference into it
  });
  until_waiting(before, 1);
  EXPECT_EQ(errno_of(host_.close(set)), 0);
  EXPECT_EQ(*host_.send(client, "x", 1), 1);
  waiter.join();
}

// What a set watches it does not hold: the peer hears of the close at once, and the wait goes on for the
// others.
TEST_F(ManyThreadsTest, AnEpollWaitGoesOnWhenWhatItWatchesIsClosed) {
  const auto [client, server] = connected(1000);
  const auto [client2, server2] = connected(1001);
  const Descriptor set = *host_.epoll_create1(0);
  for (const Descriptor fd : {server, server2}) {
    epoll_event event{EPOLLIN, {.fd = fd}};
    ASSERT_EQ(errno_of(host_.epoll_ctl(set, EPOLL_CTL_ADD, fd, &event)), 0);
  }
  const std::uint64_t before = waits();
  std::thread waiter([&, expected = server2] {
    std::array<epoll_event, 2> got{};
    const auto ready = host_.epoll_wait(set, got, std::nullopt);
    ASSERT_TRUE(ready) << errno_of(ready);
    EXPECT_EQ(*ready, 1);
    EXPECT_EQ(got[0].data.fd, expected);
  });
  until_waiting(before, 1);
  EXPECT_EQ(errno_of(host_.close(server)), 0);
  char byte = 0;
  EXPECT_EQ(*host_.recv(client, &byte, 1), 0);
  EXPECT_EQ(*host_.send(client2, "x", 1), 1);
  waiter.join();
}

TEST_F(ManyThreadsTest, CancelEndsWhatWaits) {
  const auto [client, server] = connected(1000);
  const std::uint64_t before = waits();
  std::thread reader([&, fd = server] {
    char byte = 0;
    EXPECT_EQ(errno_of(host_.recv(fd, &byte, 1)), ECANCELED);
  });
  until_waiting(before, 1);
  EXPECT_EQ(errno_of(host_.cancel_and_close(server)), 0);
  reader.join();
}

TEST_F(ManyThreadsTest, DupOverADescriptorLeavesWhatWaitsOnIt) {
  const auto [client, server] = connected(1000);
  const std::uint64_t before = waits();
  std::thread reader([&, fd = server] {
    char byte = 0;
    const auto got = host_.recv(fd, &byte, 1);
    ASSERT_TRUE(got) << errno_of(got);
  });
  until_waiting(before, 1);
  EXPECT_EQ(*host_.dup3(client, server, 0), server);
  EXPECT_EQ(*host_.send(server, "x", 1), 1) << "the number is the client's now";
  reader.join();
}

// Calls that no thread waits in.
struct StartedCallsTest : ManyThreadsTest {
  StartedCallsTest() : ManyThreadsTest(true) {}
};

TEST_F(StartedCallsTest, AStartedCallIsToldFromTheServiceThread) {
  const auto [client, server] = connected(1000);
  std::array<char, 8> buffer{};
  std::promise<long> told;
  host_.start(socket::BlockingReceiveFrom(server, buffer.data(), buffer.size(), 0, nullptr, nullptr), server,
              [&](Result<long> answer) { told.set_value(answer.value_or(-1)); });
  EXPECT_EQ(*host_.send(client, "started", 7), 7);
  EXPECT_EQ(told.get_future().get(), 7);
  EXPECT_EQ(std::string(buffer.data(), 7), "started");
}

TEST_F(StartedCallsTest, AStartedCallHasItsTimeout) {
  const auto [client, server] = connected(1000);
  const timeval soon{0, 5000};
  ASSERT_EQ(errno_of(host_.setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon)), 0);
  std::array<char, 8> buffer{};
  std::promise<int> told;
  host_.start(socket::BlockingReceiveFrom(server, buffer.data(), buffer.size(), 0, nullptr, nullptr), server,
              [&](Result<long> answer) { told.set_value(errno_of(answer)); });
  EXPECT_EQ(told.get_future().get(), EAGAIN);
  std::promise<int> cancelled;
  const timeval never{};
  ASSERT_EQ(errno_of(host_.setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never)), 0);
  host_.start(socket::BlockingReceiveFrom(server, buffer.data(), buffer.size(), 0, nullptr, nullptr), server,
              [&](Result<long> answer) { cancelled.set_value(errno_of(answer)); });
  EXPECT_EQ(errno_of(host_.cancel_and_close(server)), 0);
  EXPECT_EQ(cancelled.get_future().get(), ECANCELED);
}

// Another call may be the socket's Fast Open call once one has ended without an answer of its own.
TEST_F(StartedCallsTest, ACancelledFastOpenCallIsNoMoreTheSockets) {
  const Descriptor listener = listen(1000);
  ASSERT_EQ(errno_of(host_.listen(listener, 0)), 0);
  connect(1000);  // the queue is full: the next SYN is dropped
  const sockaddr_in to = at(1000);
  iovec piece{const_cast<char*>("x"), 1};
  msghdr message{};
  message.msg_name = const_cast<sockaddr_in*>(&to);
  message.msg_namelen = sizeof to;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  const Descriptor client = *host_.socket(AF_INET, SOCK_STREAM, 0);
  std::promise<int> told;
  host_.start(socket::BlockingSend(client, message, MSG_FASTOPEN), client,
              [&](Result<long> answer) { told.set_value(errno_of(answer)); });
  const auto waits_for_it = [&] {
    return host_.with([&](stack::Stack&, socket::Sockets& sockets, Instant) {
      return sockets.fast_open_call_waits(client);
    });
  };
  EXPECT_TRUE(waits_for_it());
  host_.cancel(client);
  EXPECT_EQ(told.get_future().get(), ECANCELED);
  EXPECT_FALSE(waits_for_it());
}

TEST_F(ManyThreadsTest, ManySendersOnOneSocket) {
  constexpr int kThreads = 4;
  constexpr int kMessages = 500;
  constexpr std::size_t kSize = 16;
  const auto [client, server] = connected(1000);
  std::vector<std::thread> senders;
  for (int i = 0; i < kThreads; ++i)
    senders.emplace_back([&, i, fd = client] {
      const std::string message(kSize, static_cast<char>('a' + i));
      for (int m = 0; m < kMessages; ++m)
        EXPECT_EQ(*host_.send(fd, message.data(), kSize), static_cast<long>(kSize));
    });
  // A small write is one piece of the stream, whoever else writes.
  std::map<char, int> seen;
  for (int m = 0; m < kThreads * kMessages; ++m) {
    std::string message(kSize, '\0');
    ASSERT_EQ(*host_.recv(server, message.data(), kSize, MSG_WAITALL), static_cast<long>(kSize));
    EXPECT_EQ(message, std::string(kSize, message[0]));
    ++seen[message[0]];
  }
  for (std::thread& thread : senders) thread.join();
  for (int i = 0; i < kThreads; ++i) EXPECT_EQ(seen[static_cast<char>('a' + i)], kMessages);
}

}  // namespace
}  // namespace tapir::runtime
