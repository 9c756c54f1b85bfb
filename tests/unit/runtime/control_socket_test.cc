// SPDX-License-Identifier: Apache-2.0
#include "runtime/control_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "runtime/control_client.h"
#include "runtime/unix_address.h"

namespace tapir::runtime {
namespace {

using nlohmann::json;

class ControlSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/tapir-control-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    path_ = folder_ + "/control";
  }
  void TearDown() override {
    ::unlink(path_.c_str());
    ::rmdir(folder_.c_str());
  }

  std::map<std::string, ControlHandler> handlers() {
    return {
        {"echo", [](const json& question, ControlReply& reply) { reply.send(question["text"]); }},
        {"refuse", [](const json&, ControlReply& reply) { reply.fail("not today"); }},
        {"count",
         [this](const json&, ControlReply& reply) {
           for (int i = 0; reply.send(i) && reply.wait(100us);) ++i;
           ++streams_ended_;
         }},
        // Says back what it hears, until it hears "stop".
        {"parrot",
         [](const json&, ControlReply& reply) {
           while (reply.open()) {
             const auto said = reply.receive(10ms);
             if (said && said->contains("stop")) return;
             if (said) reply.send(*said);
           }
         }},
    };
  }
  std::unique_ptr<ControlServer> serve() {
    auto server = ControlServer::open(path_, handlers());
    EXPECT_TRUE(server) << server.error();
    return std::move(*server);
  }

  std::string folder_;
  std::string path_;
  std::atomic<int> streams_ended_ = 0;
};

TEST_F(ControlSocketTest, AClientSaysMoreWhileItIsAnswered) {
  const auto server = serve();
  auto client = ControlClient::connect(path_);
  ASSERT_TRUE(client);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "abc", 3), 3);
  ControlInput input;
  input.descriptor = ends[0];
  int said = 0;
  input.next = [&]() -> std::optional<json> {
    char byte = 0;
    EXPECT_EQ(::read(ends[0], &byte, 1), 1);
    if (++said == 3) return json{{"stop", true}};
    return json{{"n", said}};
  };
  std::string heard;
  const auto done = client->ask(
      json{{"command", "parrot"}},
      [&](const json& data) {
        heard += std::to_string(data["n"].get<int>());
        return true;
      },
      &input);
  EXPECT_TRUE(done) << done.error();
  EXPECT_EQ(heard, "12");
  // The connection is as it was.
  input.descriptor = -1;
  EXPECT_EQ(*client->ask(json{{"command", "echo"}, {"text", "more"}}), "more");
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(ControlSocketTest, AQuestionIsAnswered) {
  const auto server = serve();
  auto client = ControlClient::connect(path_);
  ASSERT_TRUE(client);
  for (int i = 0; i < 3; ++i) {
    const auto data = client->ask(json{{"command", "echo"}, {"text", i}});
    ASSERT_TRUE(data) << data.error();
    EXPECT_EQ(*data, json(i));
  }
  const auto refused = client->ask(json{{"command", "refuse"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), "not today");
  const auto unknown = client->ask(json{{"command", "nothing"}});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error(), "this control socket knows no command 'nothing'");
  EXPECT_TRUE(client->ask(json{{"command", "echo"}, {"text", "still there"}}));
}

TEST_F(ControlSocketTest, AStreamEndsWhenTheClientLeaves) {
  auto server = serve();
  {
    auto client = ControlClient::connect(path_);
    ASSERT_TRUE(client);
    int seen = 0;
    EXPECT_TRUE(client->ask(json{{"command", "count"}}, [&seen](const json& data) {
      EXPECT_EQ(data, json(seen));
      return ++seen < 5;
    }));
    EXPECT_EQ(seen, 5);
  }
  server.reset();  // joins the client's thread
  EXPECT_EQ(streams_ended_, 1);
}

TEST_F(ControlSocketTest, AStreamEndsWithTheServer) {
  auto server = serve();
  auto client = ControlClient::connect(path_);
  ASSERT_TRUE(client);
  int seen = 0;
  const auto ended = client->ask(json{{"command", "count"}}, [&](const json&) {
    if (++seen == 3) server.reset();
    return true;
  });
  EXPECT_GE(seen, 3);
  EXPECT_EQ(streams_ended_, 1);
  EXPECT_NE(::access(path_.c_str(), F_OK), 0) << "the socket is removed";
}

TEST_F(ControlSocketTest, AServedPathIsRefused) {
  const auto server = serve();
  const auto second = ControlServer::open(path_, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(),
            "the control socket " + path_ + " is served by another program already: choose another path");
  EXPECT_TRUE(ControlClient::connect(path_)) << "the first goes on";
}

TEST_F(ControlSocketTest, AStaleSocketIsReplaced) {
  {
    const drivers::KernelDescriptor left(::socket(AF_UNIX, SOCK_STREAM, 0));
    const auto address = UnixAddress::of(path_);
    ASSERT_EQ(::bind(left.get(), address->get(), address->length()), 0);
  }
  ASSERT_EQ(::access(path_.c_str(), F_OK), 0);
  EXPECT_FALSE(ControlClient::connect(path_));
  const auto server = serve();
  EXPECT_TRUE(ControlClient::connect(path_));
}

TEST_F(ControlSocketTest, AFileIsLeftAlone) {
  const drivers::KernelDescriptor file(::open(path_.c_str(), O_CREAT | O_WRONLY, 0600));
  const auto server = ControlServer::open(path_, {});
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error(),
            "the control socket cannot be made at " + path_ + ": there is a file that is no socket");
  EXPECT_EQ(::access(path_.c_str(), F_OK), 0);
}

TEST_F(ControlSocketTest, GarbageIsAnsweredWithASentence) {
  const auto server = serve();
  const drivers::KernelDescriptor fd(::socket(AF_UNIX, SOCK_STREAM, 0));
  const auto address = UnixAddress::of(path_);
  ASSERT_EQ(::connect(fd.get(), address->get(), address->length()), 0);
  for (const std::string line : {"nonsense\n", "[1,2]\n", "{\"command\":7}\n", "\n"}) {
    ASSERT_EQ(::send(fd.get(), line.data(), line.size(), 0), static_cast<ssize_t>(line.size()));
    std::array<char, 200> answer;
    const ssize_t n = ::recv(fd.get(), answer.data(), answer.size(), 0);
    ASSERT_GT(n, 0);
    EXPECT_EQ(std::string(answer.data(), static_cast<std::size_t>(n)),
              "{\"error\":\"a question is a line with a JSON object that has a \\\"command\\\"\"}\n");
  }
}

TEST_F(ControlSocketTest, TooManyClientsAreSentAway) {
  const auto server = serve();
  std::vector<ControlClient> clients;
  for (std::size_t i = 0; i < kControlClientsMax; ++i) {
    auto client = ControlClient::connect(path_);
    ASSERT_TRUE(client);
    ASSERT_TRUE(client->ask(json{{"command", "echo"}, {"text", 1}}));
    clients.push_back(std::move(*client));
  }
  auto one_more = ControlClient::connect(path_);
  ASSERT_TRUE(one_more);
  EXPECT_FALSE(one_more->ask(json{{"command", "echo"}, {"text", 1}}));
}

TEST(ControlClientTest, NobodyThere) {
  const auto client = ControlClient::connect("/tmp/tapir-nobody-serves-this");
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error(),
            "no stack serves the control socket /tmp/tapir-nobody-serves-this: start one with `tapir up "
            "--control /tmp/tapir-nobody-serves-this`");
  EXPECT_FALSE(ControlClient::connect(std::string(200, 'x')));
}

}  // namespace
}  // namespace tapir::runtime
