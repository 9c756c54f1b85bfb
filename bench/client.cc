// SPDX-License-Identifier: Apache-2.0
// The kernel's end of every whole run: loads a server at ADDRESS with the machine's own TCP, for a bounded
// time, and prints one line of JSON. Congestion control is checked to be cubic.
//
//   bench_client send ADDRESS WARM-UP SECONDS        bytes into discard (9): {"gbit": ...}
//   bench_client receive ADDRESS WARM-UP SECONDS     bytes out of chargen (19): {"gbit": ...}
//   bench_client echo ADDRESS WARM-UP SECONDS N      1-byte round trips on N connections (7): {"rate": ...,
//   "p50_us": ..., "p99_us": ...} bench_client connect ADDRESS WARM-UP SECONDS N   N at a time: connect, one
//   byte each way, both FINs (7): {"rate": ...} bench_client hold ADDRESS N                      N
//   connections to discard (9); prints "held", ends with its input
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint16_t kEcho = 7;
constexpr std::uint16_t kDiscard = 9;
constexpr std::uint16_t kChargen = 19;
constexpr std::size_t kChunk = 256 * 1024;
// A server that says nothing for so long has failed.
constexpr int kPatienceMs = 5000;
// Latencies kept: more are not measured, so that memory is bounded.
constexpr std::size_t kSamplesMax = 4'000'000;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "bench_client: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

// When measuring begins and ends.
struct Span {
  Span(const char* warm_up, const char* seconds)
      : begin(Clock::now() + std::chrono::milliseconds(static_cast<long>(std::atof(warm_up) * 1000))),
        end(begin + std::chrono::milliseconds(static_cast<long>(std::atof(seconds) * 1000))) {}
  bool counts(Clock::time_point now) const { return now >= begin; }
  double seconds(Clock::time_point now) const { return std::chrono::duration<double>(now - begin).count(); }
  Clock::time_point begin, end;
};

sockaddr_in address_of(const char* text, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, text, &address.sin_addr) != 1) {
    errno = EINVAL;
    fail(text);
  }
  return address;
}

void begin_connect(int fd, const sockaddr_in& to) {
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS)
    fail("connect");
}

int open_socket(int flags) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (fd < 0) fail("socket");
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// Otherwise "the kernel" would be whatever the machine's default is.
void check_cubic(int fd) {
  char name[16] = {};
  socklen_t length = sizeof name;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length) != 0) fail("TCP_CONGESTION");
  if (std::string_view(name) != "cubic") {
    std::fprintf(stderr, "bench_client: the kernel runs %s, not cubic\n", name);
    std::exit(1);
  }
}

int connected(const sockaddr_in& to) {
  const int fd = open_socket(0);
  const timeval patience{kPatienceMs / 1000, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  begin_connect(fd, to);
  check_cubic(fd);
  return fd;
}

void bulk(const sockaddr_in& to, const Span& span, bool sends) {
  const int fd = connected(to);
  std::vector<char> buffer(kChunk, 'x');
  std::uint64_t bytes = 0;
  auto now = Clock::now();
  while (now < span.end) {
    const ssize_t moved = sends ? ::send(fd, buffer.data(), buffer.size(), MSG_NOSIGNAL)
                                : ::recv(fd, buffer.data(), buffer.size(), 0);
    if (moved <= 0) fail(sends ? "send" : "recv");
    now = Clock::now();
    if (span.counts(now)) bytes += static_cast<std::uint64_t>(moved);
  }
  std::printf("{\"gbit\": %.3f}\n", static_cast<double>(bytes) * 8e-9 / span.seconds(now));
}

class Epoll {
 public:
  Epoll() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (fd_ < 0) fail("epoll_create1");
  }
  void control(int operation, int fd, std::uint32_t events, std::uint32_t slot) const {
    epoll_event event{};
    event.events = events;
    event.data.u32 = slot;
    if (::epoll_ctl(fd_, operation, fd, &event) != 0) fail("epoll_ctl");
  }
  // At least one event.
  std::size_t wait(std::array<epoll_event, 64>& events) const {
    const int count = ::epoll_wait(fd_, events.data(), static_cast<int>(events.size()), kPatienceMs);
    if (count > 0) return static_cast<std::size_t>(count);
    if (count == 0) errno = ETIMEDOUT;
    fail("waiting for the server");
  }

 private:
  int fd_;
};

void echo(const sockaddr_in& to, const Span& span, std::size_t connections) {
  const Epoll epoll;
  std::vector<int> fds(connections);
  std::vector<Clock::time_point> asked(connections);
  std::vector<std::uint32_t> samples;
  samples.reserve(kSamplesMax);
  char byte = 'x';
  for (std::size_t i = 0; i < connections; ++i) {
    fds[i] = connected(to);
    epoll.control(EPOLL_CTL_ADD, fds[i], EPOLLIN, static_cast<std::uint32_t>(i));
  }
  for (std::size_t i = 0; i < connections; ++i) {
    asked[i] = Clock::now();
    if (::send(fds[i], &byte, 1, MSG_NOSIGNAL) != 1) fail("send");
  }
  std::uint64_t count = 0;
  std::array<epoll_event, 64> events;
  auto now = Clock::now();
  while (now < span.end) {
    const std::size_t ready = epoll.wait(events);
    for (std::size_t i = 0; i < ready; ++i) {
      const std::uint32_t slot = events[i].data.u32;
      if (::recv(fds[slot], &byte, 1, 0) != 1) fail("recv");
      now = Clock::now();
      if (span.counts(now)) {
        ++count;
        const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(now - asked[slot]).count();
        if (samples.size() < kSamplesMax) samples.push_back(static_cast<std::uint32_t>(took));
      }
      asked[slot] = now;
      if (::send(fds[slot], &byte, 1, MSG_NOSIGNAL) != 1) fail("send");
    }
  }
  const auto quantile = [&samples](std::size_t per_thousand) {
    if (samples.empty()) return 0.0;
    const auto at = samples.begin() + static_cast<std::ptrdiff_t>((samples.size() - 1) * per_thousand / 1000);
    std::nth_element(samples.begin(), at, samples.end());
    return *at / 1000.0;
  };
  const double p50 = quantile(500);
  const double p99 = quantile(990);
  std::printf("{\"rate\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
              static_cast<double>(count) / span.seconds(now), p50, p99);
}

// Each slot in turn: connects, sends a byte, reads it and shuts down, reads the end and closes.
void connect_request_close(const sockaddr_in& to, const Span& span, std::size_t connections) {
  const Epoll epoll;
  enum class Step : std::uint8_t { kConnecting, kAsked, kShutDown };
  struct Slot {
    int fd = -1;
    Step step = Step::kConnecting;
  };
  std::vector<Slot> slots(connections);
  const auto open = [&](std::uint32_t index) {
    slots[index] = {open_socket(SOCK_NONBLOCK), Step::kConnecting};
    begin_connect(slots[index].fd, to);
    epoll.control(EPOLL_CTL_ADD, slots[index].fd, EPOLLOUT, index);
  };
  for (std::uint32_t i = 0; i < connections; ++i) open(i);
  check_cubic(slots.front().fd);
  std::uint64_t count = 0;
  std::array<epoll_event, 64> events;
  char byte = 'x';
  auto now = Clock::now();
  while (now < span.end) {
    const std::size_t ready = epoll.wait(events);
    now = Clock::now();
    for (std::size_t i = 0; i < ready; ++i) {
      const std::uint32_t index = events[i].data.u32;
      Slot& slot = slots[index];
      switch (slot.step) {
        case Step::kConnecting:
          if (::send(slot.fd, &byte, 1, MSG_NOSIGNAL) != 1) fail("connect");
          epoll.control(EPOLL_CTL_MOD, slot.fd, EPOLLIN, index);
          slot.step = Step::kAsked;
          break;
        case Step::kAsked:
          if (::recv(slot.fd, &byte, 1, 0) != 1) fail("recv");
          ::shutdown(slot.fd, SHUT_WR);
          slot.step = Step::kShutDown;
          break;
        case Step::kShutDown:
          if (::recv(slot.fd, &byte, 1, 0) != 0) fail("recv of the end");
          ::close(slot.fd);
          if (span.counts(now)) ++count;
          open(index);
          break;
      }
    }
  }
  std::printf("{\"rate\": %.0f}\n", static_cast<double>(count) / span.seconds(now));
}

void hold(const sockaddr_in& to, std::size_t connections) {
  std::vector<int> fds;
  for (std::size_t i = 0; i < connections; ++i) fds.push_back(connected(to));
  std::puts("held");
  std::fflush(stdout);
  char byte;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  // At once, and without TIME-WAIT.
  const linger reset{1, 0};
  for (const int fd : fds) ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

void raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  raise_descriptor_limit();
  if (argc == 5 && what == "send") {
    bulk(address_of(argv[2], kDiscard), Span(argv[3], argv[4]), true);
  } else if (argc == 5 && what == "receive") {
    bulk(address_of(argv[2], kChargen), Span(argv[3], argv[4]), false);
  } else if (argc == 6 && what == "echo") {
    echo(address_of(argv[2], kEcho), Span(argv[3], argv[4]), std::strtoul(argv[5], nullptr, 10));
  } else if (argc == 6 && what == "connect") {
    connect_request_close(address_of(argv[2], kEcho), Span(argv[3], argv[4]),
                          std::strtoul(argv[5], nullptr, 10));
  } else if (argc == 4 && what == "hold") {
    hold(address_of(argv[2], kDiscard), std::strtoul(argv[3], nullptr, 10));
  } else {
    std::fputs("usage: bench_client send|receive|echo|connect|hold ADDRESS … (see its source)\n", stderr);
    return 2;
  }
  return 0;
}
