// SPDX-License-Identifier: Apache-2.0
// Programs on two stacks: sockets with short names, answers as numbers.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cstring>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "socket/blocking_call.h"
#include "socket/sockets.h"
#include "unit/stack/pair.h"

namespace tapir::socket::testing {

using stack::testing::Pair;

inline sockaddr_in address_of(const IpAddress& address, std::uint16_t port) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = to_big_endian(port);
  in.sin_addr.s_addr = to_big_endian(address.v4_bits());
  return in;
}

inline constexpr IpAddress kAny = IpAddress::any_v4();

// The calls of one program with arguments in place of pointers; errors are negative errnos.
class Program {
 public:
  Program(Pair& pair, stack::Stack& stack) : sockets(stack, 3), pair_(pair) {}

  template <typename T>
  static long number(const Result<T>& result) {
    return result ? static_cast<long>(*result) : -static_cast<long>(result.error());
  }

  int tcp() { return *sockets.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, now()); }
  int udp() { return *sockets.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0, now()); }
  long bind(int fd, const IpAddress& address, std::uint16_t port) {
    const sockaddr_in in = address_of(address, port);
    return number(sockets.bind(fd, reinterpret_cast<const sockaddr*>(&in), sizeof(in), now()));
  }
  long listen(int fd, int backlog = 5) { return number(sockets.listen(fd, backlog, now())); }
  long connect(int fd, const IpAddress& address, std::uint16_t port) {
    const sockaddr_in in = address_of(address, port);
    return number(sockets.connect(fd, reinterpret_cast<const sockaddr*>(&in), sizeof(in), now()));
  }
  long disconnect(int fd) {
    sockaddr in{};
    in.sa_family = AF_UNSPEC;
    return number(sockets.connect(fd, &in, sizeof(in), now()));
  }
  long accept(int fd) { return number(sockets.accept4(fd, nullptr, nullptr, SOCK_NONBLOCK, now())); }
  long send(int fd, std::string_view text, int flags = 0) {
    return number(sockets.send(fd, text.data(), text.size(), flags, now()));
  }
  long sendto(int fd, std::string_view text, const IpAddress& address, std::uint16_t port) {
    const sockaddr_in in = address_of(address, port);
    return number(sockets.sendto(fd, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&in),
                                 sizeof(in), now()));
  }
  // The text, or "-errno".
  std::string recv(int fd, std::size_t size = 4096, int flags = 0) {
    std::string text(size, '\0');
    const long got = number(sockets.recv(fd, text.data(), size, flags, now()));
    if (got < 0) return std::to_string(got);
    return text.substr(0, static_cast<std::size_t>(got));
  }
  long shutdown(int fd, int how) { return number(sockets.shutdown(fd, how, now())); }
  long close(int fd) { return number(sockets.close(fd, now())); }
  long set(int fd, int level, int name, int value) {
    return number(sockets.setsockopt(fd, level, name, &value, sizeof(value), now()));
  }
  long get(int fd, int level, int name) {
    int value = 0;
    socklen_t length = sizeof(value);
    const auto got = sockets.getsockopt(fd, level, name, &value, &length, now());
    return got ? value : number(got);
  }
  long error(int fd) { return get(fd, SOL_SOCKET, SO_ERROR); }
  int poll(int fd, short events = POLLIN | POLLOUT | POLLRDHUP | POLLPRI) {
    return sockets.poll_events(fd, events, now());
  }
  std::uint16_t port(int fd) {
    sockaddr_in in{};
    socklen_t length = sizeof(in);
    (void)sockets.getsockname(fd, reinterpret_cast<sockaddr*>(&in), &length);
    return to_big_endian(in.sin_port);
  }

  Sockets sockets;

 private:
  Instant now() const { return pair_.now; }
  Pair& pair_;
};

struct TwoPrograms : ::testing::Test {
  Pair pair;
  Program a{pair, pair.a};
  Program b{pair, pair.b};
  int listener = -1;
  int client = -1;
  int server = -1;

  // a's `client` connected to b's `server`, accepted from `listener` on port 80.
  void establish() {
    listener = b.tcp();
    ASSERT_EQ(b.bind(listener, kAny, 80), 0);
    ASSERT_EQ(b.listen(listener), 0);
    client = a.tcp();
    ASSERT_EQ(a.connect(client, Pair::b_address, 80), -EINPROGRESS);
    pair.settle();
    ASSERT_EQ(a.connect(client, Pair::b_address, 80), 0);
    server = static_cast<int>(b.accept(listener));
    ASSERT_GE(server, 0);
  }
};

}  // namespace tapir::socket::testing
