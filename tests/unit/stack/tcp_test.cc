// SPDX-License-Identifier: Apache-2.0
// Streams between two stacks through the hub, without socket/.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "ip/events.h"
#include "unit/stack/pair.h"

namespace tapir::stack {
namespace {

using testing::Pair;

Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

struct Stream : ::testing::Test {
  Pair pair;
  tcp::ListenerId listener;
  tcp::ConnectionId client;
  tcp::ConnectionId server;

  void connect() {
    const auto listening =
        pair.b.parts().tcp.listen({IpAddress::any_v4(), 7}, kNoInterface, 5, false, {}, pair.now);
    ASSERT_TRUE(listening);
    listener = *listening;
    auto& parts = pair.a.parts();
    const auto path =
        parts.routes.resolve({.destination = Pair::b_address, .source = std::nullopt}, pair.now);
    ASSERT_TRUE(path);
    const auto made = parts.tcp.connect({{path->source, 40000}, {Pair::b_address, 7}}, *path, {}, pair.now);
    ASSERT_TRUE(made);
    client = *made;
    ASSERT_TRUE(pair.run_until([&] { return pair.b.parts().tcp.acceptable(listener); }));
    server = pair.b.parts().tcp.accept(listener, pair.now);
    ASSERT_TRUE(server);
  }
  tcp::State state_of(Stack& stack, tcp::ConnectionId id) {
    const tcp::Connection* connection = stack.parts().tcp.connection(id);
    return connection != nullptr ? connection->state() : tcp::State::kClosed;
  }
};

TEST_F(Stream, ConnectsEchoesAndCloses) {
  connect();
  EXPECT_EQ(state_of(pair.a, client), tcp::State::kEstablished);
  EXPECT_EQ(state_of(pair.b, server), tcp::State::kEstablished);

  EXPECT_EQ(pair.a.parts().tcp.write(client, bytes_of("hello"), {}, pair.now), 5u);
  std::array<std::uint8_t, 16> buffer{};
  ASSERT_TRUE(pair.run_until([&] { return pair.b.parts().tcp.connection(server)->readable_bytes() == 5; }));
  EXPECT_EQ(pair.b.parts().tcp.read(server, buffer, pair.now), 5u);
  EXPECT_EQ(std::string(buffer.begin(), buffer.begin() + 5), "hello");

  pair.a.parts().tcp.shutdown_send(client, pair.now);
  ASSERT_TRUE(pair.run_until([&] { return state_of(pair.b, server) == tcp::State::kCloseWait; }));
  pair.run_for(50ms);
  EXPECT_EQ(state_of(pair.a, client), tcp::State::kFinWait2);
  pair.b.parts().tcp.close(server, pair.now);
  pair.a.parts().tcp.close(client, pair.now);
  pair.run_for(1s);
  EXPECT_EQ(pair.a.parts().tcp.gauges().time_wait, 1u);
  EXPECT_EQ(pair.b.parts().tcp.gauges().connections, 0u);
  pair.run_for(61s);
  EXPECT_EQ(pair.a.parts().tcp.gauges().time_wait, 0u);
}

// A window is announced in whole units of its scale, so that its last bytes may not fit the buffer (Linux:
// __tcp_select_window, TCPRcvQDrop): nothing else is lost on a wire that loses nothing.
TEST_F(Stream, AReaderThatComesLateLosesWhatItsWindowWasRoundedUpBy) {
  connect();
  const std::string sent(1 << 20, 'x');
  std::string received;
  std::size_t written = 0;
  std::array<std::uint8_t, 65536> buffer;
  EXPECT_TRUE(pair.run_until(
      [&] {
        for (;;) {
          written += pair.a.parts().tcp.write(client, bytes_of(std::string_view(sent).substr(written)), {},
                                              pair.now);
          pair.a.poll_output(pair.now);
          const std::size_t got = pair.b.parts().tcp.read(server, buffer, pair.now);
          received.append(reinterpret_cast<const char*>(buffer.data()), got);
          pair.b.poll_output(pair.now);
          if (got == 0) break;
        }
        return received.size() == sent.size();
      },
      30s));
  EXPECT_TRUE(received == sent);
  EXPECT_LE(pair.a.counters().get(trace::Counter::kTcpRetransSegs),
            pair.b.counters().get(trace::Counter::kTcpExtTCPRcvQDrop));
  EXPECT_LE(pair.b.counters().get(trace::Counter::kTcpExtTCPRcvQDrop), 1u) << "of 730 segments";
}

TEST_F(Stream, CarriesAMegabyteIntact) {
  connect();
  std::string sent(1 << 20, '\0');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 + i / 251);
  std::string received;
  std::size_t written = 0;
  std::array<std::uint8_t, 65536> buffer;
  const auto write_and_read = [&](Stack&) {
    written +=
        pair.a.parts().tcp.write(client, bytes_of(std::string_view(sent).substr(written)), {}, pair.now);
    pair.a.poll_output(pair.now);
    const std::size_t got = pair.b.parts().tcp.read(server, buffer, pair.now);
    received.append(reinterpret_cast<const char*>(buffer.data()), got);
    pair.b.poll_output(pair.now);
  };
  write_and_read(pair.a);
  const bool done = pair.run_until([&] { return received.size() == sent.size(); }, 30s, write_and_read);
  EXPECT_TRUE(done) << written << " written, " << received.size() << " received";
  EXPECT_TRUE(received == sent);
  EXPECT_EQ(pair.a.counters().get(trace::Counter::kTcpRetransSegs), 0u);
}

TEST_F(Stream, ARefusedConnectionEndsAtOnce) {
  auto& parts = pair.a.parts();
  const auto path = parts.routes.resolve({.destination = Pair::b_address, .source = std::nullopt}, pair.now);
  const auto made = parts.tcp.connect({{path->source, 40000}, {Pair::b_address, 9}}, *path, {}, pair.now);
  ASSERT_TRUE(made);
  pair.run_for(1s);
  ASSERT_NE(parts.tcp.connection(*made), nullptr);
  EXPECT_EQ(parts.tcp.connection(*made)->cause(), tcp::CloseCause::kRefused);
}

TEST_F(Stream, NoNeighbourIsHostUnreachable) {
  auto& parts = pair.a.parts();
  const IpAddress nobody = IpAddress::v4(10, 0, 0, 77);
  const auto path = parts.routes.resolve({.destination = nobody, .source = std::nullopt}, pair.now);
  const auto made = parts.tcp.connect({{path->source, 40000}, {nobody, 9}}, *path, {}, pair.now);
  ASSERT_TRUE(made);
  pair.run_for(10s);
  EXPECT_EQ(parts.tcp.connection(*made)->cause(), tcp::CloseCause::kHostUnreachable);
}

// Linux's sk_dst_confirm: whose ACKs come needs no asking whether he is there.
TEST_F(Stream, ProgressConfirmsTheNeighbour) {
  struct ArpCount : trace::Probe {
    void on_record(const trace::Record& record) override {
      if (record.event == static_cast<std::uint16_t>(ip::Event::kArpSent)) ++sent;
    }
    int sent = 0;
  } arps;
  connect();
  pair.a.tracer().attach(&arps);
  // Several times the time for which a neighbour counts as reachable (base_reachable_time, 30 s).
  for (int i = 0; i < 60; ++i) {
    ASSERT_EQ(pair.a.parts().tcp.write(client, bytes_of("x"), {}, pair.now), 1u);
    pair.run_for(5s);
  }
  pair.a.tracer().attach(nullptr);
  EXPECT_EQ(arps.sent, 0);
}

}  // namespace
}  // namespace tapir::stack
