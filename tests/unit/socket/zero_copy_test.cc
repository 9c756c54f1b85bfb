// SPDX-License-Identifier: Apache-2.0
// Frames lent, buffers given.
#include <memory>
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
  // How much of `bytes` the client's send() takes.
  std::size_t give(Bytes bytes, Loan& loan, int flags) {
    iovec piece{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    return a.sockets.sendmsg(client, &message, flags, pair.now, &loan).value_or(0);
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

// A buffer that a program gives: the call is its first user.
struct GivenBuffer : Loan {
  explicit GivenBuffer(Loan*& list) {
    users = 1;
    ended = &list;
  }
};

TEST_F(ZeroCopyTest, AGivenBufferIsBackWhenItIsAcknowledged) {
  establish();
  EXPECT_EQ(a.send(client, "copied before "), 14);
  const std::vector<std::uint8_t> given = numbered(100'000);
  Loan* back = nullptr;
  GivenBuffer buffer(back);
  std::string received;
  std::size_t sent = 0;
  for (int round = 0; sent < given.size() && round < 1000; ++round) {
    sent += give(Bytes(given).subspan(sent), buffer, 0);
    EXPECT_EQ(back, nullptr) << "the call goes on";
    if (sent < given.size()) {
      pair.run_for(std::chrono::milliseconds(50));
      received += b.recv(server, 200'000);
    }
  }
  ASSERT_EQ(sent, given.size());
  EXPECT_EQ(a.send(client, " copied after"), 13);
  buffer.end_use();
  EXPECT_EQ(back, nullptr) << "not acknowledged yet";
  for (int round = 0; round < 50; ++round) {
    pair.run_for(std::chrono::milliseconds(50));
    const std::string more = b.recv(server, 200'000);
    if (!more.starts_with('-')) received += more;
  }
  EXPECT_EQ(back, &buffer);
  EXPECT_EQ(buffer.next, nullptr) << "told once";
  EXPECT_EQ(received, "copied before " + std::string(given.begin(), given.end()) + " copied after");
}

TEST_F(ZeroCopyTest, AResetGivesBack) {
  establish();
  const std::vector<std::uint8_t> given = numbered(kLoanMin);
  Loan* back = nullptr;
  GivenBuffer buffer(back);
  EXPECT_EQ(give(given, buffer, 0), given.size());
  buffer.end_use();
  EXPECT_EQ(back, nullptr);
  EXPECT_EQ(b.disconnect(server), 0);
  pair.settle();
  EXPECT_EQ(back, &buffer);
}

// Many small writes between given buffers: no segment has more pieces than a frame can point at.
TEST_F(ZeroCopyTest, GivenAndCopiedMayAlternate) {
  establish();
  const std::vector<std::uint8_t> given = numbered(kLoanMin);
  Loan* back = nullptr;
  std::vector<std::unique_ptr<GivenBuffer>> buffers;
  std::string expected;
  std::string received;
  for (int i = 0; i < 40; ++i) {
    GivenBuffer& buffer = *buffers.emplace_back(std::make_unique<GivenBuffer>(back));
    std::size_t sent = 0;
    for (int round = 0; sent < given.size() && round < 200; ++round) {
      sent += give(Bytes(given).subspan(sent), buffer, MSG_MORE);
      if (sent == given.size()) break;
      pair.run_for(std::chrono::milliseconds(20));
      if (const std::string more = b.recv(server, 200'000); !more.starts_with('-')) received += more;
    }
    ASSERT_EQ(sent, given.size());
    buffer.end_use();
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
  int count = 0;
  for (const Loan* loan = back; loan != nullptr; loan = loan->next) ++count;
  EXPECT_EQ(count, 40);
}

}  // namespace
}  // namespace tapir::socket
