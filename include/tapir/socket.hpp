// SPDX-License-Identifier: Apache-2.0
/// Sockets on a tapir::Stack. Results and errors are Linux's: an error is a std::error_code of std::generic_category(), so that it
/// compares with std::errc. Addresses are texts: "10.0.0.1:80".
///
/// A call on a socket waits as Linux's does; SO_RCVTIMEO and SO_SNDTIMEO (receive_timeout(), send_timeout()) bound it, and then it
/// fails with std::errc::resource_unavailable_try_again. All calls may come from any thread.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "tapir/stack.hpp"

namespace tapir {

template <typename T>
using SocketResult = std::expected<T, std::error_code>;

/// A socket; closed when destroyed. Move-only. The stack must outlive it.
class Socket {
 public:
  /// A socket of `domain` (AF_INET), `type` (SOCK_STREAM, SOCK_DGRAM, …; | SOCK_NONBLOCK) and protocol, as socket(2).
  static SocketResult<Socket> open(Stack& stack, int domain, int type, int protocol = 0);
  /// A TCP connection to "10.0.0.2:80". ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH …; EINVAL: no such address.
  static SocketResult<Socket> connect(Stack& stack, std::string_view to);
  /// A UDP socket bound to "10.0.0.1:53"; port 0 is any.
  static SocketResult<Socket> bind_udp(Stack& stack, std::string_view at);

  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  /// The descriptor, a number of its stack's own (see <tapir/posix.h>); -1 once closed.
  int descriptor() const { return descriptor_; }

  /// Sends all of `data`; fewer bytes only when an error or a time-out came between (the error is told by the next call).
  /// EPIPE: the connection is over. `flags` as send(2); no signal is raised.
  SocketResult<std::size_t> send(std::span<const std::byte> data, int flags = 0);
  SocketResult<std::size_t> send(std::string_view text, int flags = 0);
  /// Receives what is there, at least one byte; 0: the peer has closed its direction. `flags` as recv(2), e.g. MSG_WAITALL.
  SocketResult<std::size_t> receive(std::span<std::byte> into, int flags = 0);
  SocketResult<std::size_t> receive(std::span<char> into, int flags = 0);
  /// A datagram to "10.0.0.2:53".
  SocketResult<std::size_t> send_to(std::span<const std::byte> data, std::string_view to, int flags = 0);
  /// A datagram, and in `from` its sender, "10.0.0.2:53".
  SocketResult<std::size_t> receive_from(std::span<std::byte> into, std::string& from, int flags = 0);

  /// SHUT_RD, SHUT_WR, SHUT_RDWR.
  SocketResult<void> shutdown(int how);
  /// Closes it, and tells what the destructor cannot. A second close is nothing.
  SocketResult<void> close();

  /// How long receive() and accept(), or send() and connect(), wait; zero = for ever.
  SocketResult<void> receive_timeout(std::chrono::microseconds timeout);
  SocketResult<void> send_timeout(std::chrono::microseconds timeout);
  /// An option whose value is an int, as setsockopt(2) and getsockopt(2).
  SocketResult<void> set_option(int level, int name, int value);
  SocketResult<int> option(int level, int name) const;

  /// "10.0.0.1:80": our end, and the peer's (ENOTCONN).
  SocketResult<std::string> local() const;
  SocketResult<std::string> peer() const;

 private:
  friend class Listener;
  Socket(runtime::StackHost& host, int descriptor) : host_(&host), descriptor_(descriptor) {}

  runtime::StackHost* host_;
  int descriptor_;
};

/// A TCP socket that accepts connections.
class Listener {
 public:
  /// Listens at "10.0.0.1:80"; port 0 is any. EADDRINUSE: the port is taken; EADDRNOTAVAIL: the address is not the stack's.
  static SocketResult<Listener> open(Stack& stack, std::string_view at, int backlog = 128);

  /// The next connection; waits for it.
  SocketResult<Socket> accept();
  /// "10.0.0.1:80".
  SocketResult<std::string> local() const { return socket_.local(); }
  Socket& socket() { return socket_; }

 private:
  explicit Listener(Socket socket) : socket_(static_cast<Socket&&>(socket)) {}
  Socket socket_;
};

}  // namespace tapir
