// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "unit/socket/fixture.h"

namespace tapir::socket {
namespace {

using testing::Program;
using testing::TwoPrograms;

struct EpollTest : TwoPrograms {
  int epfd = -1;

  void SetUp() override {
    establish();
    epfd = *b.sockets.epoll_create1(0);
  }
  long ctl(int operation, int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    return Program::number(b.sockets.epoll_ctl(epfd, operation, fd, &event, pair.now));
  }
  // "fd:events …" in the order they came.
  std::vector<std::pair<int, std::uint32_t>> wait(int set, std::size_t most = 8) {
    std::vector<epoll_event> events(most);
    const auto count = b.sockets.epoll_wait(set, events, pair.now);
    std::vector<std::pair<int, std::uint32_t>> out;
    // Copied by value: epoll_event is packed.
    for (std::size_t i = 0; count && i < static_cast<std::size_t>(*count); ++i)
      out.emplace_back(int{events[i].data.fd}, std::uint32_t{events[i].events});
    return out;
  }
  using Events = std::vector<std::pair<int, std::uint32_t>>;
};

TEST_F(EpollTest, LevelTriggeredTellsAsLongAsItIsSo) {
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, server, EPOLLIN), 0);
  EXPECT_EQ(wait(epfd), Events{});
  a.send(client, "x");
  pair.settle();
  EXPECT_EQ(wait(epfd), (Events{{server, EPOLLIN}}));
  EXPECT_EQ(wait(epfd), (Events{{server, EPOLLIN}}));
  b.recv(server);
  EXPECT_EQ(wait(epfd), Events{});
}

TEST_F(EpollTest, EdgeTriggeredTellsOncePerArrival) {
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, server, EPOLLIN | EPOLLOUT | EPOLLET), 0);
  EXPECT_EQ(wait(epfd), (Events{{server, EPOLLOUT}}));
  EXPECT_EQ(wait(epfd), Events{});
  a.send(client, "one");
  pair.settle();
  EXPECT_EQ(wait(epfd), (Events{{server, EPOLLIN | EPOLLOUT}}));
  EXPECT_EQ(wait(epfd), Events{});
  a.send(client, "two");
  pair.settle();
  EXPECT_EQ(wait(epfd), (Events{{server, EPOLLIN | EPOLLOUT}})) << "new data, though the old was not read";
  EXPECT_EQ(b.recv(server, 1), "o");
  EXPECT_EQ(wait(epfd), Events{}) << "reading is no event";
}

TEST_F(EpollTest, OneShotFiresOnceUntilItIsArmedAgain) {
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, server, EPOLLIN | EPOLLONESHOT), 0);
  a.send(client, "one");
  pair.settle();
  EXPECT_EQ(wait(epfd), (Events{{server, EPOLLIN}}));
  a.send(client, "two");
  pair.settle();
  EXPECT_EQ(wait(epfd), Events{});
  EXPECT_EQ(ctl(EPOLL_CTL_MOD, server, EPOLLIN | EPOLLONESHOT), 0);
  EXPECT_EQ(wait(epfd), (Events{{server, EPOLLIN}}));
}

TEST_F(EpollTest, ReadyOnesComeInTheOrderTheyBecameReady) {
  const int second_client = a.tcp();
  a.connect(second_client, testing::Pair::b_address, 80);
  pair.settle();
  const int second = static_cast<int>(b.accept(listener));
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, server, EPOLLIN), 0);
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, second, EPOLLIN), 0);
  a.send(second_client, "x");
  pair.settle();
  (void)b.sockets.take_woken(pair.now);
  a.send(client, "x");
  pair.settle();
  EXPECT_EQ(wait(epfd, 1), (Events{{second, EPOLLIN}}));
  EXPECT_EQ(wait(epfd, 1), (Events{{server, EPOLLIN}})) << "the one told goes to the back";
  EXPECT_EQ(wait(epfd, 1), (Events{{second, EPOLLIN}}));
}

// One that accepts once a wait serves three of those it has before it accepts the next, not all of them.
TEST_F(EpollTest, WhoWaitsToBeAcceptedIsNotServedAfterAllOthers) {
  std::vector<int> clients{client};
  std::vector<int> served{server};
  const auto connect = [&] {
    clients.push_back(a.tcp());
    a.connect(clients.back(), testing::Pair::b_address, 80);
    pair.settle();
  };
  for (int i = 0; i < 5; ++i) {
    connect();
    served.push_back(static_cast<int>(b.accept(listener)));
  }
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, listener, EPOLLIN), 0);
  for (const int fd : served) EXPECT_EQ(ctl(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET), 0);
  const auto all_send = [&] {
    for (const int fd : clients) a.send(fd, "x");
    pair.settle();
    (void)b.sockets.take_woken(pair.now);
  };
  for (int i = 0; i < 3; ++i) connect();
  clients.resize(served.size());
  all_send();
  const auto told = [&](std::initializer_list<int> which) {
    Events events{{listener, EPOLLIN}};
    for (const int i : which) events.emplace_back(served[static_cast<std::size_t>(i)], EPOLLIN);
    return events;
  };
  EXPECT_EQ(wait(epfd), told({0, 1, 2})) << "three wait to be accepted";
  EXPECT_GE(b.accept(listener), 0);
  EXPECT_EQ(wait(epfd), told({3, 4, 5})) << "the listener first, then who was left";
  EXPECT_GE(b.accept(listener), 0);
  all_send();
  EXPECT_EQ(wait(epfd), told({0, 1, 2, 3, 4, 5})) << "one waits: the program takes it, and all are told";
  EXPECT_GE(b.accept(listener), 0);
  EXPECT_EQ(wait(epfd), Events{});
}

TEST_F(EpollTest, HangUpAndErrorNeedNotBeAskedFor) {
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, server, EPOLLET), 0);
  const linger zero{1, 0};
  ASSERT_TRUE(a.sockets.setsockopt(client, SOL_SOCKET, SO_LINGER, &zero, sizeof(zero), pair.now));
  a.close(client);
  pair.settle();
  EXPECT_EQ(wait(epfd), (Events{{server, EPOLLERR | EPOLLHUP}}));
}

TEST_F(EpollTest, ControlErrors) {
  EXPECT_EQ(ctl(EPOLL_CTL_MOD, server, EPOLLIN), -ENOENT);
  EXPECT_EQ(ctl(EPOLL_CTL_DEL, server, 0), -ENOENT);
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, server, EPOLLIN), 0);
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, server, EPOLLIN), -EEXIST);
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, 99, EPOLLIN), -EBADF);
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, epfd, EPOLLIN), -EINVAL);
  EXPECT_EQ(ctl(77, server, EPOLLIN), -EINVAL);
  EXPECT_EQ(ctl(EPOLL_CTL_MOD, server, EPOLLIN | EPOLLEXCLUSIVE), -EINVAL);
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLONESHOT | EPOLLEXCLUSIVE), -EINVAL);
  EXPECT_EQ(Program::number(b.sockets.epoll_ctl(epfd, EPOLL_CTL_ADD, listener, nullptr, pair.now)), -EFAULT);
  std::vector<epoll_event> one(1);
  EXPECT_EQ(Program::number(b.sockets.epoll_wait(server, one, pair.now)), -EINVAL);
  EXPECT_EQ(Program::number(b.sockets.epoll_wait(epfd, {}, pair.now)), -EINVAL);
  EXPECT_EQ(Program::number(b.sockets.epoll_create1(1)), -EINVAL);
}

TEST_F(EpollTest, SetsNestButNotInCircles) {
  const int outer = *b.sockets.epoll_create1(0);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = epfd;
  EXPECT_EQ(Program::number(b.sockets.epoll_ctl(outer, EPOLL_CTL_ADD, epfd, &event, pair.now)), 0);
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, outer, EPOLLIN), -ELOOP);
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, server, EPOLLIN), 0);
  EXPECT_EQ(wait(outer), Events{});
  a.send(client, "x");
  pair.settle();
  EXPECT_EQ(wait(outer), (Events{{epfd, EPOLLIN}}));
  EXPECT_EQ(b.poll(epfd), POLLIN);
  EXPECT_EQ(wait(epfd), (Events{{server, EPOLLIN}}));
}

TEST_F(EpollTest, AClosedDescriptorLeavesTheSetWithItsLastCopy) {
  EXPECT_EQ(ctl(EPOLL_CTL_ADD, server, EPOLLIN), 0);
  const int copy = *b.sockets.dup(server);
  b.close(server);
  a.send(client, "x");
  pair.settle();
  EXPECT_EQ(wait(epfd), (Events{{server, EPOLLIN}})) << "Linux's well-known surprise";
  b.close(copy);
  EXPECT_EQ(wait(epfd), Events{});
}

TEST_F(EpollTest, WokenNamesEveryCopy) {
  const int copy = *b.sockets.dup(server);
  (void)b.sockets.take_woken(pair.now);
  a.send(client, "x");
  pair.settle();
  std::vector<int> woken;
  for (const Woken& each : b.sockets.take_woken(pair.now)) {
    woken.push_back(each.descriptor);
    EXPECT_NE(each.events & EPOLLIN, 0u);
  }
  std::sort(woken.begin(), woken.end());
  EXPECT_EQ(woken, (std::vector<int>{server, copy}));
  EXPECT_TRUE(b.sockets.take_woken(pair.now).empty());
}

}  // namespace
}  // namespace tapir::socket
