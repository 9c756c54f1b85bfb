// SPDX-License-Identifier: Apache-2.0
// Frames lent, buffers given.
#include <numeric>
#include <vector>

#include "unit/socket/fixture.h"

namespace tapir::socket {
namespace {

using testing::Pair;
using testing::TwoPrograms;

struct ZeroCopyTest : TwoPrograms {
  std::vector<std::uint8_t> numbered(std::size_t size) {
    std::vector<std::uint8_t> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
    return bytes;
  }
  std::string lent_text() {
    const auto lent = b.sockets.lend(server, pair.now);
    if (!lent) return std::to_string(-static_cast<long>(lent.error()));
    std::string text(lent->bytes.begin(), lent->bytes.end());
    if (lent->name != 0) b.sockets.give_back(lent->name);
    return text;
  }
};

TEST_F(ZeroCopyTest, FramesAreLentInOrder) {
  establish();
  EXPECT_EQ(lent_text(), std::to_string(-EAGAIN));
  EXPECT_EQ(a.send(client, "one"), 3);
  pair.settle();
  EXPECT_EQ(b.recv(server, 1), "o");
  EXPECT_EQ(lent_text(), "ne") << "less what was read of it";
  EXPECT_EQ(a.send(client, "two"), 3);
  pair.settle();
  const auto held = b.sockets.lend(server, pair.now);
  ASSERT_TRUE(held);
  EXPECT_EQ(b.recv(server), std::to_string(-EAGAIN)) << "lent is read";
  EXPECT_EQ(a.send(client, "three"), 5);
  EXPECT_EQ(a.shutdown(client, SHUT_WR), 0);
  pair.settle();
  EXPECT_EQ(std::string(held->bytes.begin(), held->bytes.end()), "two") << "until it is given back";
  b.sockets.give_back(held->name);
  EXPECT_EQ(lent_text(), "three");
  EXPECT_EQ(lent_text(), "") << "the end";
}

TEST_F(ZeroCopyTest, LendingStopsAtAnUrgentByte) {
  establish();
  EXPECT_EQ(a.send(client, "before"), 6);
  EXPECT_EQ(a.send(client, "!", MSG_OOB), 1);
  EXPECT_EQ(a.send(client, "after"), 5);
  pair.settle();
  EXPECT_EQ(lent_text(), "before");
  EXPECT_EQ(b.recv(server, 1, MSG_OOB), "!");
  EXPECT_EQ(lent_text(), "after");
}

TEST_F(ZeroCopyTest, OnlyStreamsLendAndTake) {
  const int datagram = a.udp();
  EXPECT_EQ(a.sockets.lend(datagram, pair.now).error(), Errno{EOPNOTSUPP});
  EXPECT_EQ(a.sockets.lend(99, pair.now).error(), Errno{EBADF});
  EXPECT_EQ(a.sockets.lend(a.tcp(), pair.now).error(), Errno{ENOTCONN});
}

TEST_F(ZeroCopyTest, AGivenBufferIsBackWhenItIsAcknowledged) {
  establish();
  EXPECT_EQ(a.send(client, "copied before "), 14);
  const std::vector<std::uint8_t> given = numbered(100'000);
  const auto name = a.sockets.begin_giving();
  ASSERT_TRUE(name);
  std::string received;
  std::size_t sent = 0;
  for (int round = 0; sent < given.size() && round < 1000; ++round) {
    const auto taken = a.sockets.give(client, Bytes(given).subspan(sent), *name, 0, pair.now);
    if (taken) sent += *taken;
    EXPECT_EQ(a.sockets.poll_given_back(), 0U) << "the call goes on";
    if (sent < given.size()) {
      pair.run_for(std::chrono::milliseconds(50));
      received += b.recv(server, 200'000);
    }
  }
  ASSERT_EQ(sent, given.size());
  EXPECT_EQ(a.send(client, " copied after"), 13);
  a.sockets.end_giving(*name);
  EXPECT_EQ(a.sockets.poll_given_back(), 0U) << "not acknowledged yet";
  for (int round = 0; round < 50; ++round) {
    pair.run_for(std::chrono::milliseconds(50));
    const std::string more = b.recv(server, 200'000);
    if (!more.starts_with('-')) received += more;
  }
  EXPECT_EQ(a.sockets.poll_given_back(), *name);
  EXPECT_EQ(a.sockets.poll_given_back(), 0U) << "told once";
  EXPECT_EQ(received, "copied before " + std::string(given.begin(), given.end()) + " copied after");
}

TEST_F(ZeroCopyTest, AResetGivesBack) {
  establish();
  const std::vector<std::uint8_t> given = numbered(10'000);
  const auto name = a.sockets.begin_giving();
  EXPECT_EQ(a.sockets.give(client, given, *name, 0, pair.now), given.size());
  a.sockets.end_giving(*name);
  EXPECT_EQ(b.disconnect(server), 0);
  pair.settle();
  EXPECT_EQ(a.sockets.poll_given_back(), *name);
}

TEST_F(ZeroCopyTest, WhatWasNeverTakenIsBackAtOnce) {
  const int fd = a.tcp();
  const std::vector<std::uint8_t> given = numbered(10'000);
  const auto name = a.sockets.begin_giving();
  EXPECT_EQ(a.sockets.give(fd, given, *name, 0, pair.now).error(), Errno{EPIPE});
  EXPECT_EQ(a.sockets.poll_given_back(), 0U);
  a.sockets.end_giving(*name);
  EXPECT_EQ(a.sockets.poll_given_back(), *name);
}

// Many small writes between given buffers: no segment has more pieces than a frame can point at.
TEST_F(ZeroCopyTest, GivenAndCopiedMayAlternate) {
  establish();
  const std::vector<std::uint8_t> given = numbered(tcp::kGivenMin);
  std::string expected;
  std::string received;
  std::vector<std::uint64_t> names;
  for (int i = 0; i < 40; ++i) {
    const auto name = a.sockets.begin_giving();
    std::size_t sent = 0;
    for (int round = 0; sent < given.size() && round < 200; ++round) {
      sent += a.sockets.give(client, Bytes(given).subspan(sent), *name, MSG_MORE, pair.now).value_or(0);
      if (sent == given.size()) break;
      pair.run_for(std::chrono::milliseconds(20));
      if (const std::string more = b.recv(server, 200'000); !more.starts_with('-')) received += more;
    }
    ASSERT_EQ(sent, given.size());
    a.sockets.end_giving(*name);
    expected.append(given.begin(), given.end());
    if (a.send(client, "x", MSG_MORE) == 1) expected += 'x';
  }
  EXPECT_EQ(a.set(client, SOL_TCP, TCP_NODELAY, 1), 0);
  for (int round = 0; round < 100; ++round) {
    pair.run_for(std::chrono::milliseconds(20));
    if (const std::string more = b.recv(server, 200'000); !more.starts_with('-')) received += more;
  }
  EXPECT_EQ(received.size(), expected.size());
  EXPECT_TRUE(received == expected);
  int back = 0;
  while (a.sockets.poll_given_back() != 0) ++back;
  EXPECT_EQ(back, 40);
}

}  // namespace
}  // namespace tapir::socket
