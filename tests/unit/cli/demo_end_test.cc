// SPDX-License-Identifier: Apache-2.0
#include "cli/demo_end.h"

#include <gtest/gtest.h>

#include <future>

#include "runtime/host_pipe.h"

namespace tapir::cli {
namespace {

// Two stacks and a cable: what the demo's steps stand on.
class DemoEnds : public testing::Test {
 protected:
  DemoEnds() {
    auto [left, right] = runtime::make_host_pipe();
    left_.add_interface({.name = "pipe0", .addresses = {*IpPrefix::parse("10.0.0.1/24")}}, std::move(left));
    right_.add_interface({.name = "pipe0", .addresses = {*IpPrefix::parse("10.0.0.2/24")}}, std::move(right));
  }
  runtime::StackHost left_, right_;
  std::unique_ptr<DemoEnd> one_ = make_stack_end(left_, "one"), other_ = make_stack_end(right_, "other");
  const Endpoint at_ = *Endpoint::parse("10.0.0.1:80");
};

TEST_F(DemoEnds, TalkAndTellTheirStates) {
  auto listener = DemoSocket::listen(*one_, at_);
  ASSERT_TRUE(listener);
  EXPECT_EQ(listener->state(), tcp::State::kListen);
  auto accepting = std::async(std::launch::async, [&] { return listener->accept(); });
  auto client = DemoSocket::connect(*other_, at_);
  auto server = accepting.get();
  ASSERT_TRUE(client && server);
  EXPECT_EQ(server->remote_port(), client->local_port());
  EXPECT_TRUE(client->send("a line\n"));
  EXPECT_EQ(server->receive_until("\n"), "a line\n");
  EXPECT_EQ(server->state(), tcp::State::kEstablished);
  client->shutdown_send();
  EXPECT_EQ(server->receive_until(""), "");
  EXPECT_EQ(server->state(), tcp::State::kCloseWait);
}

TEST_F(DemoEnds, AreRefused) {
  const auto client = DemoSocket::connect(*other_, at_);
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error(), ECONNREFUSED);
}

TEST_F(DemoEnds, Ping) {
  const DemoPing ping = ping_from_stack(left_, IpAddress::v4(10, 0, 0, 2), 2);
  EXPECT_EQ(ping.sent, 2);
  EXPECT_EQ(ping.answered, 2);
}

TEST(Programs, OutputAndStatus) {
  const ProgramRun ran = run_program({"sh", "-c", "echo out; echo err >&2; exit 3"});
  EXPECT_TRUE(ran.found);
  EXPECT_EQ(ran.status, 3);
  EXPECT_EQ(ran.output, "out\nerr\n");
  EXPECT_FALSE(run_program({"no-such-program-of-tapir"}).found);
}

}  // namespace
}  // namespace tapir::cli
