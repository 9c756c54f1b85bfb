// SPDX-License-Identifier: Apache-2.0
// What is told by signals: Linux's sk_wake_async, where its TCP calls it.
#include <fcntl.h>

#include "unit/socket/fixture.h"

namespace tapir::socket {
namespace {

using testing::TwoPrograms;

struct SignalledFilesTest : TwoPrograms {
  void SetUp() override {
    establish();
    (void)a.sockets.take_woken(pair.now);
    number = a.sockets.signal_number(client, true);
  }
  // What happened to the client's file since the last look.
  int told() {
    pair.settle();
    (void)a.sockets.take_woken(pair.now);
    const Sockets::Signalled one = a.sockets.poll_signal();
    EXPECT_TRUE(one.number == -1 || one.number == number);
    EXPECT_EQ(a.sockets.poll_signal().number, -1) << "one file, one word";
    return one.what;
  }
  int number = -1;
};

TEST_F(SignalledFilesTest, DataRoomAndBothEnds) {
  EXPECT_EQ(number, 0);
  EXPECT_EQ(a.sockets.signal_number(client, true), 0) << "it has one";
  EXPECT_EQ(told(), 0);
  EXPECT_EQ(b.send(server, "x"), 1);
  EXPECT_EQ(told(), kSignalReadable);
  EXPECT_EQ(told(), 0);
  EXPECT_EQ(b.send(server, "!", MSG_OOB), 1);
  EXPECT_EQ(told(), kSignalReadable | kSignalUrgent);
  EXPECT_EQ(a.send(client, "x"), 1);
  EXPECT_EQ(told(), 0) << "there was room before";
  EXPECT_EQ(b.shutdown(server, SHUT_WR), 0);
  EXPECT_EQ(told(), kSignalReadable);
  EXPECT_EQ(a.shutdown(client, SHUT_WR), 0);
  EXPECT_EQ(told(), 0) << "our own end is no news";
}

TEST_F(SignalledFilesTest, ThePeersEndAfterOursIsAHangUp) {
  EXPECT_EQ(a.shutdown(client, SHUT_WR), 0);
  EXPECT_EQ(told(), 0);
  EXPECT_EQ(b.close(server), 0);
  EXPECT_EQ(told(), kSignalReadable | kSignalHangUp);
}

TEST_F(SignalledFilesTest, AResetIsAnErrorAndNothingElse) {
  const linger hard{1, 0};
  ASSERT_TRUE(b.sockets.setsockopt(server, SOL_SOCKET, SO_LINGER, &hard, sizeof hard, pair.now));
  EXPECT_EQ(b.close(server), 0);
  EXPECT_EQ(told(), kSignalError);
}

TEST_F(SignalledFilesTest, TheNumberIsAnothersOnceTheEndIsTold) {
  const int second = *a.sockets.dup(client);
  EXPECT_EQ(a.sockets.signal_number(second, false), number) << "the same file";
  EXPECT_EQ(a.close(client), 0);
  EXPECT_EQ(told(), 0);
  EXPECT_EQ(a.close(second), 0);
  const int other = a.tcp();
  EXPECT_EQ(a.sockets.signal_number(other, true), 1) << "whose end has not been told";
  EXPECT_EQ(told(), kSignalEnded);
  EXPECT_TRUE(a.sockets.signals());
  const int third = a.tcp();
  EXPECT_EQ(a.sockets.signal_number(third, false), -1);
  EXPECT_EQ(a.sockets.signal_number(third, true), number);
}

TEST_F(SignalledFilesTest, SixteenAtATime) {
  for (int i = 1; i < Sockets::kSignalledMax; ++i) EXPECT_EQ(a.sockets.signal_number(a.tcp(), true), i);
  EXPECT_EQ(a.sockets.signal_number(a.tcp(), true), -1);
}

}  // namespace
}  // namespace tapir::socket
