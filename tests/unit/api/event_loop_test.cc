// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <stdexcept>
#include <tapir/event_loop.hpp>
#include <tapir/socket.hpp>
#include <tapir/stack.hpp>
#include <thread>

#include "runtime/stack_host.h"

namespace tapir {
namespace {

struct EventLoopTest : testing::Test {
  std::pair<CableEnd, CableEnd> cable = make_cable();
  Stack one = *StackBuilder().cable(std::move(cable.first)).address("10.0.0.1/24").build();
  Stack other = *StackBuilder().cable(std::move(cable.second)).address("10.0.0.2/24").build();
};

Task<void> echo(EventLoop& loop, Socket client) {
  std::array<std::byte, 1000> buffer;
  for (;;) {
    const auto received = co_await loop.receive(client, buffer);
    if (!received || *received == 0) co_return;
    const auto sent = co_await loop.send(client, std::span<const std::byte>(buffer).first(*received));
    if (!sent) co_return;
  }
}

Task<void> serve(EventLoop& loop, Listener& listener, int clients) {
  for (int i = 0; i < clients; ++i) {
    auto client = co_await loop.accept(listener);
    EXPECT_TRUE(client) << client.error();
    if (client) loop.spawn(echo(loop, std::move(*client)));
  }
}

Task<std::string> ask(EventLoop& loop, Socket& server, std::string question) {
  const auto sent = co_await loop.send(server, question);
  EXPECT_EQ(sent, question.size());
  std::string answer(question.size(), ' ');
  const auto received = co_await loop.receive(server, std::as_writable_bytes(std::span(answer)), MSG_WAITALL);
  EXPECT_EQ(received, question.size());
  co_return answer;
}

Task<void> client_of(EventLoop& loop, int number, int& answered) {
  auto server = co_await loop.connect("10.0.0.1:7");
  EXPECT_TRUE(server) << server.error();
  if (!server) co_return;
  for (int i = 0; i < 20; ++i) {
    const std::string question = std::to_string(number) + "/" + std::to_string(i) + std::string(1500, '.');
    const std::string answer = co_await ask(loop, *server, question);
    if (answer == question) ++answered;
  }
}

TEST_F(EventLoopTest, ManyConnectionsInOneThread) {
  auto listener = Listener::open(one, "10.0.0.1:7");
  ASSERT_TRUE(listener) << listener.error();
  std::jthread serving([&] {
    EventLoop loop(one);
    loop.spawn(serve(loop, *listener, 30));
    loop.run();
  });
  EventLoop loop(other);
  int answered = 0;
  for (int i = 0; i < 30; ++i) loop.spawn(client_of(loop, i, answered));
  loop.run();
  EXPECT_EQ(answered, 600);
}

TEST_F(EventLoopTest, ErrorsComeAsResults) {
  EventLoop loop(other);
  loop.spawn([](EventLoop& l) -> Task<void> {
    const auto refused = co_await l.connect("10.0.0.1:9");
    EXPECT_EQ(refused.error(), std::errc::connection_refused);
    const auto nonsense = co_await l.connect("nowhere");
    EXPECT_EQ(nonsense.error(), std::errc::invalid_argument);
  }(loop));
  loop.run();
}

TEST_F(EventLoopTest, TimeIsKept) {
  EventLoop loop(one);
  std::string order;
  const auto sleeper = [](EventLoop& l, int milliseconds, char name, std::string& out) -> Task<void> {
    const auto slept = co_await l.sleep_for(std::chrono::milliseconds(milliseconds));
    EXPECT_TRUE(slept);
    out += name;
  };
  const auto before = std::chrono::steady_clock::now();
  loop.spawn(sleeper(loop, 20, 'c', order));
  loop.spawn(sleeper(loop, 5, 'a', order));
  loop.spawn(sleeper(loop, 10, 'b', order));
  loop.run();
  EXPECT_EQ(order, "abc");
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(20));
}

TEST_F(EventLoopTest, CloseEndsWhatIsAwaited) {
  auto listener = Listener::open(one, "10.0.0.1:7");
  ASSERT_TRUE(listener);
  EventLoop loop(one);
  loop.spawn([](EventLoop& l, Listener& at) -> Task<void> {
    const auto never = co_await l.accept(at);
    EXPECT_EQ(never.error(), std::errc::operation_canceled);
  }(loop, *listener));
  loop.spawn([](EventLoop& l, Listener& at) -> Task<void> {
    const auto slept = co_await l.sleep_for(std::chrono::milliseconds(1));
    EXPECT_TRUE(slept);
    EXPECT_TRUE(at.close());
  }(loop, *listener));
  loop.run();
}

TEST_F(EventLoopTest, OtherThreadsPostAndStop) {
  EventLoop loop(one);
  loop.spawn([](EventLoop& l) -> Task<void> {
    const auto slept = co_await l.sleep_for(std::chrono::hours(1));
    EXPECT_FALSE(slept) << "it is never told";
  }(loop));
  int posted = 0;
  std::jthread other_thread([&] {
    for (int i = 0; i < 100; ++i) loop.post([&posted] { ++posted; });
    loop.post([&loop] { loop.stop(); });
  });
  loop.run();
  EXPECT_EQ(posted, 100);
}

TEST_F(EventLoopTest, AnExceptionLeavesRun) {
  EventLoop loop(one);
  loop.spawn([](EventLoop& l) -> Task<void> {
    const auto slept = co_await l.sleep_for(std::chrono::milliseconds(1));
    if (slept) throw std::runtime_error("thrown");
  }(loop));
  EXPECT_THROW(loop.run(), std::runtime_error);
}

// A loop that waits drives its stack: nothing is handed from thread to thread.
TEST_F(EventLoopTest, ARoundTripWakesNobody) {
  auto listener = Listener::open(one, "10.0.0.1:7");
  ASSERT_TRUE(listener);
  std::jthread serving([&] {
    EventLoop loop(one);
    loop.spawn(serve(loop, *listener, 1));
    loop.run();
  });
  auto server = Socket::connect(other, "10.0.0.1:7");
  ASSERT_TRUE(server);
  const auto round_trip = [&] {
    std::array<char, 1> byte{'x'};
    ASSERT_EQ(server->send(std::string_view(byte.data(), 1)), 1U);
    ASSERT_EQ(server->receive(std::span<char>(byte)), 1U);
  };
  for (int i = 0; i < 50; ++i) round_trip();
  const auto before = one.host().stats();
  for (int i = 0; i < 500; ++i) round_trip();
  const auto after = one.host().stats();
  EXPECT_LT(after.sleeps - before.sleeps, 50U);
  EXPECT_LT(after.wakes - before.wakes, 50U);
}

}  // namespace
}  // namespace tapir
