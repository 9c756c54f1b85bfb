// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <tapir/socket.hpp>
#include <tapir/stack.hpp>

#include <array>
#include <thread>

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
