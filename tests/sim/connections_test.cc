// SPDX-License-Identifier: Apache-2.0
// Many connections, and connections at the edges of sequence space.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "programs.h"
#include "sim/network.h"
#include "stack/parts.h"

namespace tapir::sim {
namespace {

constexpr IpAddress kLeft = IpAddress::v4(10, 0, 0, 1);
constexpr IpAddress kRight = IpAddress::v4(10, 0, 0, 2);
constexpr std::uint16_t kPort = 7;

// Accepts everything and echoes.
class EchoServer : public Program {
 public:
  void run(Host& host, Instant now) override {
    socket::Sockets& sockets = host.sockets();
    if (listener_ < 0) {
      listener_ = *sockets.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, now);
      const sockaddr_in any = address_of(IpAddress::any_v4(), kPort);
      ASSERT_TRUE(sockets.bind(listener_, reinterpret_cast<const sockaddr*>(&any), sizeof any, now));
      ASSERT_TRUE(sockets.listen(listener_, 4096, now));
      epoll_ = *sockets.epoll_create1(0);
      watch(sockets, listener_, now);
    }
    std::array<epoll_event, 64> events;
    for (;;) {
      const auto ready = sockets.epoll_wait(epoll_, events, now);
      if (!ready || *ready == 0) return;
      for (int i = 0; i < *ready; ++i) {
        if (events[static_cast<std::size_t>(i)].data.fd == listener_)
          accept_all(sockets, now);
        else
          echo(sockets, events[static_cast<std::size_t>(i)].data.fd, now);
      }
    }
  }
  bool done() const override { return accepted_ > 0 && open_ == 0; }
  std::size_t accepted() const { return accepted_; }
  std::size_t open() const { return open_; }
  void stop(Host& host, Instant now) { ASSERT_TRUE(host.sockets().close(listener_, now)); }

 private:
  void watch(socket::Sockets& sockets, socket::Descriptor fd, Instant now) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ASSERT_TRUE(sockets.epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event, now));
  }
  void accept_all(socket::Sockets& sockets, Instant now) {
    while (const auto accepted = sockets.accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK, now)) {
      watch(sockets, *accepted, now);
      ++accepted_;
      ++open_;
    }
  }
  void echo(socket::Sockets& sockets, socket::Descriptor fd, Instant now) {
    char buffer[256];
    const auto got = sockets.recv(fd, buffer, sizeof buffer, 0, now);
    if (got && *got > 0) {
      ASSERT_TRUE(sockets.send(fd, buffer, *got, 0, now));
    } else if (got) {
      ASSERT_TRUE(sockets.close(fd, now));
      --open_;
    }
  }

  socket::Descriptor listener_ = -1;
  socket::Descriptor epoll_ = -1;
  std::size_t open_ = 0;
  std::size_t accepted_ = 0;
};

// Opens connections (at most `kHandshakes` handshakes at a time, so that no queue overflows), then uses all,
// then closes all.
class Crowd : public Program {
 public:
  explicit Crowd(std::size_t count) : count_(count) {}
  void run(Host& host, Instant now) override {
    socket::Sockets& sockets = host.sockets();
    while (open_.size() < count_ && open_.size() - connected_ < kHandshakes) {
      const auto fd = sockets.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, now);
      ASSERT_TRUE(fd.has_value());
      const sockaddr_in peer = address_of(kRight, kPort);
      (void)sockets.connect(*fd, reinterpret_cast<const sockaddr*>(&peer), sizeof peer, now);
      open_.push_back(*fd);
    }
    while (connected_ < open_.size() && (sockets.poll_events(open_[connected_], POLLOUT, now) & POLLOUT) != 0)
      ++connected_;
    if (connected_ == count_ && used_) answered_in(sockets, now);
  }
  bool all_connected() const { return connected_ == count_; }
  void use(Host& host, Instant now) {
    used_ = true;
    for (const socket::Descriptor fd : open_) ASSERT_TRUE(host.sockets().send(fd, "hello", 5, 0, now));
  }
  bool done() const override { return closed_; }
  std::size_t answered() const { return answered_; }

 private:
  static constexpr std::size_t kHandshakes = 200;

  void answered_in(socket::Sockets& sockets, Instant now) {
    for (; answered_ < open_.size(); ++answered_) {
      char buffer[16];
      const auto got = sockets.recv(open_[answered_], buffer, sizeof buffer, 0, now);
      if (!got) return;
      ASSERT_EQ(*got, 5u);
    }
    for (const socket::Descriptor fd : open_) ASSERT_TRUE(sockets.close(fd, now));
    closed_ = true;
  }

  std::size_t count_;
  std::size_t connected_ = 0;
  std::size_t answered_ = 0;
  bool used_ = false;
  bool closed_ = false;
  std::vector<socket::Descriptor> open_;
};

TEST(Connections, TenThousandOpenedUsedAndClosedLeaveNothing) {
  Network network(5);
  Host& left = network.add_host("left");
  Host& right = network.add_host("right");
  network.connect(left, {kLeft, 24}, right, {kRight, 24});
  const std::size_t before_left = left.stack().budget().used();
  auto& server = network.start<EchoServer>(right);
  auto& crowd = network.start<Crowd>(left, std::size_t{10'000});
  const Instant limit = network.now() + Duration(60s);
  while (!crowd.all_connected() && network.now() < limit && network.step()) {
  }
  ASSERT_TRUE(crowd.all_connected());
  network.run_for(1s);
  // An idle connection with its socket, port and places in tables.
  const std::size_t per_connection = (left.stack().budget().used() - before_left) / 10'000;
  EXPECT_LE(per_connection, 1000u);
  RecordProperty("bytes_per_idle_connection", static_cast<int>(per_connection));
  crowd.use(left, network.now());
  const bool finished = network.run_programs(network.now() + Duration(60s));
  ASSERT_TRUE(finished) << crowd.answered() << " of 10000 answered, " << server.open()
                        << " open at the server";
  EXPECT_EQ(server.accepted(), 10'000u);
  server.stop(right, network.now());
  network.run_for(130s);
  for (Host* host : {&left, &right}) {
    const tcp::Engine::Gauges gauges = host->stack().parts().tcp.gauges();
    EXPECT_EQ(gauges.connections, 0u);
    EXPECT_EQ(gauges.time_wait, 0u);
    EXPECT_EQ(gauges.half_open, 0u);
    EXPECT_EQ(gauges.listeners, 0u);
    EXPECT_EQ(gauges.chunks, 0u);
    EXPECT_EQ(host->stack().frames().in_use(), 0u);
  }
  // Every record and buffer is back; lists and tables that once held ten thousand may keep their size.
  EXPECT_LE(left.stack().budget().used(), before_left + (512 << 10));
}

// TapipBug08_SequenceComparesBreakAtWrap: numbers started near 2^31 and 2^32 (tapip compared with a plain <).
class NearTheWraps : public testing::TestWithParam<std::uint32_t> {};

TEST_P(NearTheWraps, TapipBug08_SequenceComparesBreakAtWrap) {
  Network network(GetParam());
  Host& left = network.add_host("left");
  Host& right = network.add_host("right");
  CableConfig cable;
  cable.impair = *link::parse_impair("loss 2%, reorder 5% 1ms, duplicate 1%, delay 1ms");
  cable.impaired = true;
  network.connect(left, {kLeft, 24}, right, {kRight, 24}, cable);
  left.stack().parts().tcp.force_iss(SeqNum(GetParam()));
  right.stack().parts().tcp.force_iss(SeqNum(GetParam() + 0x80000000U));
  constexpr std::uint64_t kBytes = 4 << 20;
  auto& server = network.start<Duplex>(
      right, Duplex::Config{.listen_port = 5001, .send_bytes = kBytes, .receive_bytes = kBytes, .seed = 3});
  auto& client = network.start<Duplex>(
      left, Duplex::Config{
                .peer = kRight, .peer_port = 5001, .send_bytes = kBytes, .receive_bytes = kBytes, .seed = 3});
  EXPECT_TRUE(network.run_programs(network.now() + Duration(1h)));
  EXPECT_TRUE(server.intact()) << server.error();
  EXPECT_TRUE(client.intact()) << client.error();
}
INSTANTIATE_TEST_SUITE_P(Starts, NearTheWraps,
                         testing::Values(0xfffffffeU, 0xffffffffU, 0xfffff000U, 0xfff00000U, 0x7ffffffeU,
                                         0x7fffffffU, 0x7fffff00U, 0x7ff00000U, 0U));

}  // namespace
}  // namespace tapir::sim
