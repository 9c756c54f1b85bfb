// SPDX-License-Identifier: Apache-2.0
// Two running stacks, a cable between them, and threads that call.
#include "runtime/stack_host.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <thread>

#include "runtime/host_pipe.h"

namespace tapir::runtime {
namespace {

sockaddr_in at(const char* ip, std::uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  ::inet_pton(AF_INET, ip, &a.sin_addr);
  return a;
}
const sockaddr* raw(const sockaddr_in& a) { return reinterpret_cast<const sockaddr*>(&a); }

int errno_of(const auto& result) { return result ? 0 : static_cast<int>(result.error()); }

class StackHostTest : public testing::Test {
 protected:
  void SetUp() override {
    auto [left, right] = make_host_pipe();
    ASSERT_NE(server_.add_interface({.name = "cable", .addresses = {*IpPrefix::parse("10.0.0.1/24")}},
                                    end_of_cable(std::move(left))),
              kNoInterface);
    ASSERT_NE(client_.add_interface({.name = "cable", .addresses = {*IpPrefix::parse("10.0.0.2/24")}},
                                    end_of_cable(std::move(right))),
              kNoInterface);
  }
  virtual std::unique_ptr<link::Device> end_of_cable(std::unique_ptr<link::Device> end) { return end; }

  Descriptor listen(std::uint16_t port) {
    const auto fd = server_.socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_TRUE(fd);
    const sockaddr_in address = at("10.0.0.1", port);
    EXPECT_EQ(errno_of(server_.bind(*fd, raw(address), sizeof address)), 0);
    EXPECT_EQ(errno_of(server_.listen(*fd, 128)), 0);
    return *fd;
  }
  Descriptor connect(std::uint16_t port) {
    const auto fd = client_.socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_TRUE(fd);
    const sockaddr_in address = at("10.0.0.1", port);
    EXPECT_EQ(errno_of(client_.connect(*fd, raw(address), sizeof address)), 0);
    return *fd;
  }
  // Both ends of a connection.
  std::pair<Descriptor, Descriptor> connected(std::uint16_t port) {
    const Descriptor listener = listen(port);
    const Descriptor to = connect(port);
    const auto from = server_.accept(listener);
    EXPECT_EQ(errno_of(from), 0);
    EXPECT_EQ(errno_of(server_.close(listener)), 0);
    return {from.value_or(-1), to};
  }
  static void echo(StackHost& host, Descriptor fd) {
    std::array<char, 65536> buffer;
    for (;;) {
      const auto n = host.recv(fd, buffer.data(), buffer.size());
      ASSERT_TRUE(n) << errno_of(n);
      if (*n == 0) break;
      const auto sent = host.send(fd, buffer.data(), static_cast<std::size_t>(*n));
      ASSERT_TRUE(sent) << errno_of(sent);
      ASSERT_EQ(*sent, *n);
    }
    EXPECT_EQ(errno_of(host.close(fd)), 0);
  }
  static void round_trips(StackHost& host, Descriptor fd, int count, std::size_t size) {
    std::string said(size, 'a');
    std::string heard(size, '\0');
    for (int i = 0; i < count; ++i) {
      said[static_cast<std::size_t>(i) % size] = static_cast<char>('a' + i % 26);
      ASSERT_EQ(host.send(fd, said.data(), size), static_cast<long>(size));
      const auto n = host.recv(fd, heard.data(), size, MSG_WAITALL);
      ASSERT_TRUE(n) << errno_of(n);
      ASSERT_EQ(*n, static_cast<long>(size));
      ASSERT_EQ(heard, said);
    }
    EXPECT_EQ(errno_of(host.shutdown(fd, SHUT_WR)), 0);
    const auto end = host.recv(fd, heard.data(), size);
    ASSERT_TRUE(end) << errno_of(end);
    EXPECT_EQ(*end, 0);
    EXPECT_EQ(errno_of(host.close(fd)), 0);
  }

  StackHost server_;
  StackHost client_;
};

TEST_F(StackHostTest, AnEcho) {
  const auto [from, to] = connected(7);
  std::thread echoing([&, fd = from] { echo(server_, fd); });
  round_trips(client_, to, 10, 100);
  echoing.join();
}

// Leaves errno behind as a device of the kernel's does that has nothing more.
class NoisyDevice : public link::Device {
 public:
  explicit NoisyDevice(std::unique_ptr<link::Device> inner) : inner_(std::move(inner)) {}
  std::uint32_t mtu() const override { return inner_->mtu(); }
  link::MacAddress mac() const override { return inner_->mac(); }
  link::Offloads offloads() const override { return inner_->offloads(); }
  std::size_t room() const override { return inner_->room(); }
  std::size_t transmit(std::span<const OutgoingFrame> batch, Instant now) override {
    errno = ENOBUFS;
    return inner_->transmit(batch, now);
  }
  std::size_t receive(std::span<Frame> batch, FramePool& pool, Instant now) override {
    const std::size_t count = inner_->receive(batch, pool, now);
    errno = EAGAIN;
    return count;
  }
  Instant next_timeout() const override { return inner_->next_timeout(); }
  int wait_descriptor() const override { return inner_->wait_descriptor(); }

 private:
  std::unique_ptr<link::Device> inner_;
};

class NoisyHostTest : public StackHostTest {
 protected:
  std::unique_ptr<link::Device> end_of_cable(std::unique_ptr<link::Device> end) override {
    return std::make_unique<NoisyDevice>(std::move(end));
  }
};

// As on Linux, where a call that succeeds leaves errno alone: s_server of OpenSSL 3 looks at it after a
// read() of 0.
TEST_F(NoisyHostTest, ErrnoStaysTheCallers) {
  const auto [from, to] = connected(7);
  char byte = 'x';
  for (int i = 0; i < 100; ++i) {
    errno = ENOTTY;
    ASSERT_EQ(client_.send(to, &byte, 1), 1);
    ASSERT_EQ(errno, ENOTTY) << "after send";
    ASSERT_EQ(server_.recv(from, &byte, 1), 1);
    ASSERT_EQ(errno, ENOTTY) << "after recv";
  }
  ASSERT_TRUE(client_.shutdown(to, SHUT_WR));
  ASSERT_EQ(errno, ENOTTY) << "after shutdown";
  ASSERT_EQ(server_.recv(from, &byte, 1), 0);
  ASSERT_EQ(errno, ENOTTY) << "after the end";
}

TEST_F(StackHostTest, OneThreadPaysNoHandOver) {
  const auto [from, to] = connected(7);
  std::thread echoing([&, fd = from] { echo(server_, fd); });
  const HostStats before = server_.stats();
  const Instant began = monotonic_now();
  round_trips(client_, to, 2000, 1);
  echoing.join();
  const HostStats after = server_.stats();
  EXPECT_EQ(after.sleeps, before.sleeps);
  // The service thread has its part in the first round trip, and after a pause of the scheduler's making,
  // which takes drive_grace at least.
  const auto pauses = static_cast<std::uint64_t>((monotonic_now() - began) / HostConfig{}.drive_grace);
  EXPECT_LE(after.kicks - before.kicks, 1 + pauses);
  EXPECT_LE(after.wakes - before.wakes, 1 + pauses);
  EXPECT_GE(after.turns - before.turns, 2000U);
}

TEST_F(StackHostTest, TwoThreadsPayAtMostOneWakePerCall) {
  const auto [from, to] = connected(7);
  const auto [from2, to2] = connected(8);
  std::thread echoing([&, fd = from] { echo(server_, fd); });
  std::thread echoing2([&, fd = from2] { echo(server_, fd); });
  const HostStats before = server_.stats();
  constexpr int kTrips = 1000;
  std::thread calling([&, fd = to] { round_trips(client_, fd, kTrips, 1); });
  round_trips(client_, to2, kTrips, 1);
  calling.join();
  echoing.join();
  echoing2.join();
  // Each of 2 x 1000 requests wakes the thread that takes it, or the one that drives next, and never both.
  // How often two threads want the lock at one moment (`contended`) is the scheduler's to say; a few wakes
  // more are the service thread's.
  const HostStats after = server_.stats();
  constexpr std::uint64_t kRequests = 2U * kTrips;
  EXPECT_LE(after.wakes - before.wakes, kRequests + 10);
  EXPECT_LE(after.sleeps - before.sleeps, kRequests + 10);
}

TEST_F(StackHostTest, TapipBug27_ManyThreadsOnEachSide) {
  constexpr int kThreads = 4;
  const Descriptor listener = listen(7);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      const auto fd = server_.accept(listener);
      ASSERT_TRUE(fd) << errno_of(fd);
      echo(server_, *fd);
    });
    threads.emplace_back(
        [&, i] { round_trips(client_, connect(7), 50, static_cast<std::size_t>(1 + i * 20000)); });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(StackHostTest, ALingeringCloseEndsWithTheAckOfItsFin) {
  const auto [from, to] = connected(7);
  const linger lingering{1, 60};
  ASSERT_EQ(errno_of(client_.setsockopt(to, SOL_SOCKET, SO_LINGER, &lingering, sizeof lingering)), 0);
  ASSERT_EQ(client_.send(to, "hello", 5).value_or(-1), 5);
  const Instant start = monotonic_now();
  EXPECT_EQ(errno_of(client_.close(to)), 0);
  EXPECT_LT(monotonic_now() - start, 30s);
}

TEST_F(StackHostTest, NobodyWaitsAndTheStackAnswers) {
  listen(7);
  connect(7);  // the server's program does nothing: its service thread answers
}

TEST_F(StackHostTest, ARefusedConnection) {
  const auto fd = client_.socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = at("10.0.0.1", 9);
  EXPECT_EQ(errno_of(client_.connect(*fd, raw(address), sizeof address)), ECONNREFUSED);
}

TEST_F(StackHostTest, AReceiveTimesOut) {
  const auto [from, to] = connected(7);
  const timeval timeout{0, 20'000};
  ASSERT_EQ(errno_of(client_.setsockopt(to, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout)), 0);
  char byte = 0;
  const Instant start = monotonic_now();
  EXPECT_EQ(errno_of(client_.recv(to, &byte, 1)), EAGAIN);
  EXPECT_GE(monotonic_now() - start, 20ms);
}

TEST_F(StackHostTest, ASleeperTimesOutToo) {
  const auto [from, to] = connected(7);
  const auto [from2, to2] = connected(8);
  std::thread driving([&, fd = to] {
    char byte = 0;
    EXPECT_EQ(client_.recv(fd, &byte, 1), 1);
  });
  while (client_.stats().polls == 0) std::this_thread::yield();
  const timeval timeout{0, 20'000};
  ASSERT_EQ(errno_of(client_.setsockopt(to2, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout)), 0);
  char byte = 0;
  EXPECT_EQ(errno_of(client_.recv(to2, &byte, 1)), EAGAIN);
  EXPECT_EQ(server_.send(from, "x", 1), 1);
  driving.join();
}

TEST_F(StackHostTest, PollTimesOutAndWakes) {
  const auto [from, to] = connected(7);
  pollfd waiting{to, POLLIN, 0};
  EXPECT_EQ(client_.poll({&waiting, 1}, 10ms), 0);
  EXPECT_EQ(client_.poll({&waiting, 1}, 0ms), 0);
  std::thread sending([&, fd = from] { EXPECT_EQ(server_.send(fd, "x", 1), 1); });
  EXPECT_EQ(client_.poll({&waiting, 1}, std::nullopt), 1);
  EXPECT_EQ(waiting.revents, POLLIN);
  sending.join();
}

TEST_F(StackHostTest, EpollWakes) {
  const auto [from, to] = connected(7);
  const auto epoll = client_.epoll_create1(0);
  ASSERT_TRUE(epoll);
  epoll_event wanted{EPOLLIN, {.u64 = 42}};
  ASSERT_EQ(errno_of(client_.epoll_ctl(*epoll, EPOLL_CTL_ADD, to, &wanted)), 0);
  std::array<epoll_event, 4> events;
  EXPECT_EQ(client_.epoll_wait(*epoll, events, 10ms), 0);
  std::thread sending([&, fd = from] { EXPECT_EQ(server_.send(fd, "x", 1), 1); });
  EXPECT_EQ(client_.epoll_wait(*epoll, events, std::nullopt), 1);
  const std::uint64_t data = events[0].data.u64;  // epoll_event is packed: no reference into it
  EXPECT_EQ(data, 42U);
  sending.join();
}

// What an epoll set has it tells without a turn, and so before more comes; what it has not it looks for.
TEST_F(StackHostTest, AnEpollSetTellsWhatItHasBeforeItLooks) {
  const auto [from, to] = connected(7);
  const auto [from2, to2] = connected(8);
  const int on = 1;
  ASSERT_TRUE(server_.setsockopt(from2, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
  const auto epoll = client_.epoll_create1(0);
  ASSERT_TRUE(epoll);
  epoll_event wanted{EPOLLIN, {.u64 = 1}};
  ASSERT_EQ(errno_of(client_.epoll_ctl(*epoll, EPOLL_CTL_ADD, to, &wanted)), 0);
  wanted.data.u64 = 2;
  ASSERT_EQ(errno_of(client_.epoll_ctl(*epoll, EPOLL_CTL_ADD, to2, &wanted)), 0);
  std::array<epoll_event, 4> events;
  EXPECT_EQ(server_.send(from, "x", 1), 1);
  EXPECT_EQ(client_.epoll_wait(*epoll, events, std::nullopt), 1);
  constexpr unsigned kWaits = 1000;
  const HostStats before = client_.stats();
  for (unsigned i = 0; i < kWaits; ++i) ASSERT_EQ(client_.epoll_wait(*epoll, events, std::nullopt), 1);
  const HostStats after = client_.stats();
  // Half a millisecond after a turn a call takes another; how many that are is the machine's to say.
  EXPECT_LT(after.turns - before.turns, kWaits / 2);
  EXPECT_EQ(server_.send(from2, "x", 1), 1);
  while (client_.epoll_wait(*epoll, events, std::nullopt) != 2) continue;
  std::array<char, 2> buffer;
  EXPECT_EQ(client_.recv(to, buffer.data(), buffer.size()), 1);
  EXPECT_EQ(client_.recv(to2, buffer.data(), buffer.size()), 1);
  EXPECT_EQ(server_.send(from2, "y", 1), 1);
  EXPECT_EQ(client_.epoll_wait(*epoll, events, Duration::zero()), 1)
      << "nothing in the list: the devices are looked at";
}

TEST_F(StackHostTest, ACallOfAnotherThreadWakesTheDriver) {
  const auto [from, to] = connected(7);
  std::thread waiting([&, fd = to] {
    char byte = 0;
    EXPECT_EQ(client_.recv(fd, &byte, 1), 0);
  });
  while (client_.stats().polls == 0) std::this_thread::yield();
  EXPECT_EQ(errno_of(client_.shutdown(to, SHUT_RD)), 0);
  waiting.join();
}

TEST_F(StackHostTest, AnEarlierDeadlineOfAnotherThreadIsKept) {
  const auto [from, to] = connected(7);
  std::thread driving([&, fd = to] {
    char byte = 0;
    EXPECT_EQ(client_.recv(fd, &byte, 1), 1);
  });
  while (client_.stats().polls == 0) std::this_thread::yield();
  // Nobody answers for 10.0.0.77: the neighbour's timer comes first from now on.
  const auto fd = client_.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const sockaddr_in address = at("10.0.0.77", 9);
  EXPECT_EQ(errno_of(client_.connect(*fd, raw(address), sizeof address)), EINPROGRESS);
  pollfd failed{*fd, POLLOUT, 0};
  EXPECT_EQ(client_.poll({&failed, 1}, 10s), 1) << "the driver's turns run the neighbour's timers";
  EXPECT_EQ(server_.send(from, "x", 1), 1);
  driving.join();
}

TEST_F(StackHostTest, LoopbackWithinOneStack) {
  const Descriptor listener = *server_.socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = at("127.0.0.1", 7);
  ASSERT_EQ(errno_of(server_.bind(listener, raw(address), sizeof address)), 0);
  ASSERT_EQ(errno_of(server_.listen(listener, 1)), 0);
  const Descriptor to = *server_.socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(errno_of(server_.connect(to, raw(address), sizeof address)), 0);
  const auto from = server_.accept(listener);
  ASSERT_TRUE(from);
  std::thread echoing([&, fd = *from] { echo(server_, fd); });
  round_trips(server_, to, 100, 1000);
  echoing.join();
}

// ---- signals
// -------------------------------------------------------------------------------------------------------

std::atomic<int> signals_seen = 0;

class SignalTest : public StackHostTest {
 protected:
  void handle(int flags) {
    struct sigaction action{};
    action.sa_handler = [](int) { ++signals_seen; };
    action.sa_flags = flags;
    ASSERT_EQ(::sigaction(SIGUSR1, &action, &before_), 0);
    signals_seen = 0;
  }
  void TearDown() override { ::sigaction(SIGUSR1, &before_, nullptr); }
  // Signals `thread` while it waits, until `done`: the first may come before it sleeps.
  void signal_until(std::thread& thread, const std::atomic<bool>& done) {
    while (!done) {
      ::pthread_kill(thread.native_handle(), SIGUSR1);
      std::this_thread::yield();
    }
  }
  struct sigaction before_{};
};

TEST_F(SignalTest, AHandlerWithoutRestartEndsTheCall) {
  handle(0);
  const auto [from, to] = connected(7);
  std::atomic<bool> done = false;
  std::thread waiting([&, fd = to] {
    char byte = 0;
    EXPECT_EQ(errno_of(client_.recv(fd, &byte, 1)), EINTR);
    done = true;
  });
  signal_until(waiting, done);
  waiting.join();
}

TEST_F(SignalTest, AHandlerWithRestartDoesNot) {
  handle(SA_RESTART);
  const auto [from, to] = connected(7);
  std::atomic<bool> done = false;
  std::thread waiting([&, fd = to] {
    char byte = 0;
    EXPECT_EQ(client_.recv(fd, &byte, 1), 1);
    done = true;
  });
  while (signals_seen < 10 && !done) {
    ::pthread_kill(waiting.native_handle(), SIGUSR1);
    std::this_thread::yield();
  }
  EXPECT_EQ(server_.send(from, "x", 1), 1);
  waiting.join();
}

TEST_F(SignalTest, PollIsNeverRestarted) {
  handle(SA_RESTART);
  const auto [from, to] = connected(7);
  std::atomic<bool> done = false;
  std::thread waiting([&, fd = to] {
    pollfd one{fd, POLLIN, 0};
    EXPECT_EQ(errno_of(client_.poll({&one, 1}, std::nullopt)), EINTR);
    done = true;
  });
  signal_until(waiting, done);
  waiting.join();
}

}  // namespace
}  // namespace tapir::runtime
