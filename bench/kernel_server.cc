// SPDX-License-Identifier: Apache-2.0
// The machine's own TCP as the server of the whole runs: echo (7), discard (9) and chargen (19), one thread,
// one epoll set, as `tapir up` serves them. Ends with its input.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

namespace {

constexpr std::uint16_t kEcho = 7;
constexpr std::uint16_t kDiscard = 9;
constexpr std::uint16_t kChargen = 19;
constexpr std::size_t kChunk = 256 * 1024;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "bench_kernel_server: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

class Server {
 public:
  Server() : epoll_(::epoll_create1(EPOLL_CLOEXEC)), buffer_(kChunk, 'x') {
    for (const std::uint16_t port : {kEcho, kDiscard, kChargen}) listen(port);
    watch(STDIN_FILENO, 0, EPOLLIN);
  }

  void run() {
    std::array<epoll_event, 256> events;
    for (;;) {
      const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (std::size_t i = 0; static_cast<int>(i) < count; ++i) {
        const auto fd = static_cast<int>(events[i].data.u64 & 0xffffffff);
        const auto port = static_cast<std::uint16_t>(events[i].data.u64 >> 32);
        const bool listener = (events[i].data.u64 >> 48) != 0;
        if (fd == STDIN_FILENO) return;
        if (listener) {
          accept(fd, port);
        } else if (!serve(fd, port)) {
          ::close(fd);
        }
      }
    }
  }

 private:
  void watch(int fd, std::uint64_t what, std::uint32_t interest) const {
    epoll_event event{};
    event.events = interest;
    event.data.u64 = what << 32 | static_cast<std::uint32_t>(fd);
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
  }

  void listen(std::uint16_t port) const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("bind");
    if (::listen(fd, SOMAXCONN) != 0) fail("listen");
    watch(fd, std::uint64_t{1} << 16 | port, EPOLLIN);
  }

  void accept(int listener, std::uint16_t port) const {
    for (int i = 0; i < 64; ++i) {
      const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      char name[16] = {};
      socklen_t length = sizeof name;
      // An accepted connection has its route's algorithm; asked of bulk only, so that it costs the rates
      // nothing.
      if (port == kChargen && (::getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length) != 0 ||
                               std::string_view(name) != "cubic")) {
        std::fprintf(stderr, "bench_kernel_server: the kernel runs %s, not cubic\n", name);
        std::exit(1);
      }
      watch(fd, port, port == kChargen ? EPOLLOUT : EPOLLIN);
    }
  }

  // False when the connection is over.
  bool serve(int fd, std::uint16_t port) {
    for (std::size_t total = 0; total < 4 * kChunk;) {
      const ssize_t moved = port == kChargen
                                ? ::send(fd, buffer_.data(), kChunk, MSG_NOSIGNAL)
                                : ::recv(fd, buffer_.data(), port == kEcho ? kChunk / 4 : kChunk, 0);
      if (moved == 0) return false;
      if (moved < 0) return errno == EAGAIN || errno == EINTR;
      const auto size = static_cast<std::size_t>(moved);
      if (port == kEcho && ::send(fd, buffer_.data(), size, MSG_NOSIGNAL) != moved) return false;
      total += size;
      if (size < (port == kEcho ? kChunk / 4 : kChunk)) break;
    }
    return true;
  }

  int epoll_;
  std::vector<char> buffer_;
};

}  // namespace

int main() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  Server server;
  std::puts("ready");
  std::fflush(stdout);
  server.run();
  return 0;
}
