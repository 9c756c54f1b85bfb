// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <atomic>
#include <memory>
#include <sstream>
#include <string>
#include <tapir/socket.hpp>
#include <tapir/stack.hpp>
#include <thread>

#include "runtime/stack_host.h"

namespace tapir {
namespace {

struct Pair {
  Stack one;
  Stack other;
};

Pair make_pair() {
  auto [end, other_end] = make_cable();
  auto one = StackBuilder().cable(std::move(end)).address("10.0.0.1/24").build();
  auto other = StackBuilder().cable(std::move(other_end)).address("10.0.0.2/24").gateway("10.0.0.1").build();
  EXPECT_TRUE(one) << one.error();
  EXPECT_TRUE(other) << other.error();
  return {std::move(*one), std::move(*other)};
}

TEST(CppApiTest, AConnection) {
  Pair stacks = make_pair();
  auto listener = Listener::open(stacks.one, "10.0.0.1:0");
  ASSERT_TRUE(listener) << listener.error().message();
  const std::string where = *listener->local();
  auto out = Socket::connect(stacks.other, where);
  ASSERT_TRUE(out) << out.error().message();
  auto in = listener->accept();
  ASSERT_TRUE(in) << in.error().message();
  EXPECT_EQ(out->peer(), where);
  EXPECT_EQ(in->peer(), *out->local());

  EXPECT_EQ(out->send("question"), 8U);
  std::array<char, 100> buffer;
  ASSERT_EQ(in->receive(std::span<char>(buffer)), 8U);
  EXPECT_EQ(std::string_view(buffer.data(), 8), "question");
  EXPECT_TRUE(in->set_option(IPPROTO_TCP, TCP_NODELAY, 1));
  EXPECT_EQ(in->option(IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_TRUE(in->close());
  EXPECT_TRUE(in->close());
  EXPECT_EQ(out->receive(std::span<char>(buffer)), 0U);
}

TEST(CppApiTest, ErrorsAreLinuxs) {
  Pair stacks = make_pair();
  const auto refused = Socket::connect(stacks.other, "10.0.0.1:9");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), std::errc::connection_refused);
  const auto nonsense = Socket::connect(stacks.other, "nowhere");
  ASSERT_FALSE(nonsense);
  EXPECT_EQ(nonsense.error(), std::errc::invalid_argument);
  const auto listener = Listener::open(stacks.one, "10.0.0.1:80");
  ASSERT_TRUE(listener);
  const auto second = Listener::open(stacks.one, "10.0.0.1:80");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), std::errc::address_in_use);
}

TEST(CppApiTest, AnErrorPrintsItself) {
  Pair stacks = make_pair();
  const auto refused = Socket::connect(stacks.other, "10.0.0.1:9");
  ASSERT_FALSE(refused);
  std::ostringstream out;
  out << refused.error();
  EXPECT_EQ(out.str(), "connect: Connection refused (ECONNREFUSED)");
  const std::error_code code = refused.error();
  EXPECT_EQ(code, std::errc::connection_refused);
  EXPECT_EQ(Error(12345, "nothing").message(), "nothing: Unknown error 12345 (errno 12345)");
}

TEST(CppApiTest, AConnectTakesNoLongerThanItMay) {
  Pair stacks = make_pair();
  const auto silent = Socket::connect(stacks.other, "10.0.0.77:80", std::chrono::milliseconds(20));
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error(), std::errc::timed_out) << silent.error();
}

TEST(CppApiTest, CloseEndsCallsOfOtherThreads) {
  Pair stacks = make_pair();
  auto listener = Listener::open(stacks.one, "10.0.0.1:80");
  ASSERT_TRUE(listener);
  std::jthread closing([&] {
    while (stacks.one.host().stats().sleeps + stacks.one.host().stats().polls == 0) std::this_thread::yield();
    EXPECT_TRUE(listener->close());
  });
  const auto accepted = listener->accept();
  ASSERT_FALSE(accepted);
  // It may have been closed before the call began.
  EXPECT_TRUE(accepted.error() == std::errc::operation_canceled ||
              accepted.error() == std::errc::bad_file_descriptor)
      << accepted.error();
}

TEST(CppApiTest, BytesChangeHands) {
  Pair stacks = make_pair();
  auto listener = Listener::open(stacks.one, "10.0.0.1:80");
  auto out = Socket::connect(stacks.other, "10.0.0.1:80");
  ASSERT_TRUE(out) << out.error();
  auto in = listener->accept();
  ASSERT_TRUE(in);
  std::string expected(300'000, '.');
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = static_cast<char>('a' + i % 23);
  std::atomic<bool> back = false;
  const std::shared_ptr<std::string> owned(new std::string(expected), [&](std::string* text) {
    delete text;
    back = true;
  });
  std::weak_ptr<std::string> still = owned;
  std::jthread giving([&, text = owned]() mutable {
    const auto bytes = std::as_bytes(std::span(*text));
    EXPECT_EQ(out->give(bytes, std::move(text)), expected.size());
  });
  const_cast<std::shared_ptr<std::string>&>(owned).reset();
  std::string received;
  while (received.size() < expected.size()) {
    const auto lease = in->lend();
    ASSERT_TRUE(lease) << lease.error();
    ASSERT_FALSE(lease->empty());
    received.append(reinterpret_cast<const char*>(lease->bytes().data()), lease->bytes().size());
  }
  EXPECT_TRUE(received == expected);
  giving.join();
  while (!back) std::this_thread::yield();
  EXPECT_EQ(out->give(std::string("little")), 6U) << "copied";
  std::array<char, 6> little;
  EXPECT_EQ(in->receive(std::span<char>(little), MSG_WAITALL), 6U);
  out->close().value();
  const auto end = in->lend();
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->empty());
}

TEST(CppApiTest, ATimeout) {
  Pair stacks = make_pair();
  auto listener = Listener::open(stacks.one, "10.0.0.1:80");
  auto out = Socket::connect(stacks.other, "10.0.0.1:80");
  ASSERT_TRUE(out);
  ASSERT_TRUE(out->receive_timeout(std::chrono::milliseconds(10)));
  std::array<char, 1> buffer;
  const auto received = out->receive(std::span<char>(buffer));
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error(), std::errc::resource_unavailable_try_again);
}

TEST(CppApiTest, Datagrams) {
  Pair stacks = make_pair();
  auto one = Socket::bind_udp(stacks.one, "10.0.0.1:53");
  ASSERT_TRUE(one) << one.error().message();
  auto other = Socket::bind_udp(stacks.other, "0.0.0.0:0");
  ASSERT_TRUE(other);
  std::array<std::byte, 3> data = {std::byte{1}, std::byte{2}, std::byte{3}};
  ASSERT_EQ(other->send_to(data, "10.0.0.1:53"), 3U);
  std::array<std::byte, 100> buffer;
  std::string from;
  ASSERT_EQ(one->receive_from(buffer, from), 3U);
  EXPECT_TRUE(from.starts_with("10.0.0.2:")) << from;
}

TEST(CppApiTest, Knobs) {
  Pair stacks = make_pair();
  EXPECT_TRUE(stacks.one.set_sysctl("net.ipv4.tcp_syn_retries", "3"));
  EXPECT_EQ(stacks.one.sysctl("net.ipv4.tcp_syn_retries"), "3");
  EXPECT_NE(stacks.other.sysctl("net.ipv4.tcp_syn_retries"), "3");
  EXPECT_FALSE(stacks.one.sysctl("net.ipv4.no_such_knob"));
}

TEST(CppApiTest, SetUpErrorsAreSentences) {
  const auto misplaced = StackBuilder().address("10.0.0.1/24").build();
  ASSERT_FALSE(misplaced);
  EXPECT_EQ(misplaced.error(), "an address belongs to a device: name the device first");
  auto [end, other_end] = make_cable();
  const auto bad = StackBuilder().cable(std::move(end)).address("10.0.0").build();
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error(), "'10.0.0' is no address with a prefix length, such as 10.0.0.1/24");
  const auto none = StackBuilder().packet("nosuch0").build();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error(), "there is no interface 'nosuch0' in this network namespace");
  EXPECT_FALSE(StackBuilder().sysctl("no.such.knob", "1").build());
}

TEST(CppApiTest, StacksComeAndGo) {
  for (int i = 0; i < 50; ++i) {
    Pair stacks = make_pair();
    auto listener = Listener::open(stacks.one, "10.0.0.1:80");
    auto out = Socket::connect(stacks.other, "10.0.0.1:80");
    ASSERT_TRUE(out);
  }
}

}  // namespace
}  // namespace tapir
