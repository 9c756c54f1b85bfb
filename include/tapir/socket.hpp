// SPDX-License-Identifier: Apache-2.0
/// Sockets on a tapir::Stack. Results and errors are Linux's (tapir::Error has the errno, and prints itself).
/// Addresses are texts: "10.0.0.1:80".
///
/// A call on a socket waits as Linux's does; receive_timeout() and send_timeout() bound it, and then it fails
/// with std::errc::resource_unavailable_try_again. All calls may come from any thread; close() and cancel()
/// end those of other threads with std::errc::operation_canceled.
///
/// The calls named async_… do not wait: they begin something, and `done` is told how it ended, once, from
/// some thread that runs the stack (it may be the caller's, before the call returns) or, if one is named,
/// from an EventLoop's. What they were given (spans, the stack) must live until then; the socket need not.
/// <tapir/event_loop.hpp> has them for co_await, <tapir/asio.hpp> for Asio.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tapir/error.hpp"
#include "tapir/stack.hpp"

namespace tapir {

class EventLoop;

/// How an async_… call tells its end.
template <typename T>
using Done = std::move_only_function<void(SocketResult<T>)>;

/// Received bytes that were not copied: a frame as it came, lent by the stack until this is destroyed.
/// Move-only. The stack must outlive it, and at most 4096 are lent at a time.
class Lease {
 public:
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease();

  /// Empty: the peer has closed its direction.
  std::span<const std::byte> bytes() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }

 private:
  friend class Socket;
  Lease(runtime::StackHost* host, std::uint64_t name, std::span<const std::byte> bytes)
      : host_(host), name_(name), bytes_(bytes) {}

  runtime::StackHost* host_;
  std::uint64_t name_;
  std::span<const std::byte> bytes_;
};

/// A socket; closed when destroyed. Move-only. The stack must outlive it.
class Socket {
 public:
  /// A socket of `domain` (AF_INET), `type` (SOCK_STREAM, SOCK_DGRAM, …; | SOCK_NONBLOCK) and protocol, as
  /// socket(2).
  static SocketResult<Socket> open(Stack& stack, int domain, int type, int protocol = 0);
  /// A TCP connection to "10.0.0.2:80". ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH …; EINVAL: no such
  /// address.
  static SocketResult<Socket> connect(Stack& stack, std::string_view to);
  /// The same, or ETIMEDOUT when it has taken so long.
  static SocketResult<Socket> connect(Stack& stack, std::string_view to, std::chrono::microseconds at_most);
  static void async_connect(Stack& stack, std::string_view to, Done<Socket> done, EventLoop* loop = nullptr);
  /// One that is closed.
  static Socket none() { return Socket(nullptr, -1); }
  /// A UDP socket bound to "10.0.0.1:53"; port 0 is any.
  static SocketResult<Socket> bind_udp(Stack& stack, std::string_view at);

  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  /// The descriptor, a number of its stack's own (see <tapir/posix.h>); -1 once closed.
  int descriptor() const { return descriptor_; }

  /// Sends all of `data`; fewer bytes only when an error or a time-out came between (the error is told by the
  /// next call). EPIPE: the connection is over. `flags` as send(2); no signal is raised.
  SocketResult<std::size_t> send(std::span<const std::byte> data, int flags = 0);
  SocketResult<std::size_t> send(std::string_view text, int flags = 0);
  void async_send(std::span<const std::byte> data, Done<std::size_t> done, int flags = 0,
                  EventLoop* loop = nullptr);
  /// Receives what is there, at least one byte; 0: the peer has closed its direction. `flags` as recv(2),
  /// e.g. MSG_WAITALL.
  SocketResult<std::size_t> receive(std::span<std::byte> into, int flags = 0);
  SocketResult<std::size_t> receive(std::span<char> into, int flags = 0);
  void async_receive(std::span<std::byte> into, Done<std::size_t> done, int flags = 0,
                     EventLoop* loop = nullptr);
  /// A datagram to "10.0.0.2:53".
  SocketResult<std::size_t> send_to(std::span<const std::byte> data, std::string_view to, int flags = 0);
  /// A datagram, and in `from` its sender, "10.0.0.2:53".
  SocketResult<std::size_t> receive_from(std::span<std::byte> into, std::string& from, int flags = 0);

  /// receive() of a stream without the copy: the next frame of it. EOPNOTSUPP: no stream; ENOBUFS: too many
  /// are lent.
  SocketResult<Lease> lend(int flags = 0);
  /// send() of a stream without the copy: `buffer` (a std::vector, a std::string, any contiguous range that
  /// can be moved) becomes the stack's, and is destroyed, in some thread that runs the stack, when the peer
  /// has acknowledged all of it or the connection is over. Less than 16 KiB is copied all the same, and
  /// destroyed before the call returns.
  template <typename Buffer>
    requires(!std::is_lvalue_reference_v<Buffer>)
  SocketResult<std::size_t> give(Buffer&& buffer, int flags = 0) {
    auto owned = std::make_shared<Buffer>(std::move(buffer));
    const auto bytes = std::as_bytes(std::span(*owned));
    return give(bytes, std::move(owned), flags);
  }
  /// The same of `bytes` that live as long as `owner`.
  SocketResult<std::size_t> give(std::span<const std::byte> bytes, std::shared_ptr<void> owner,
                                 int flags = 0);

  /// SHUT_RD, SHUT_WR, SHUT_RDWR.
  SocketResult<void> shutdown(int how);
  /// Ends the calls under way on this socket, with std::errc::operation_canceled.
  void cancel();
  /// cancel(), then closes it, and tells what the destructor cannot. A second close is nothing.
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
  Socket(runtime::StackHost* host, int descriptor) : host_(host), descriptor_(descriptor) {}

  runtime::StackHost* host_;
  int descriptor_;
};

/// A TCP socket that accepts connections.
class Listener {
 public:
  /// Listens at "10.0.0.1:80"; port 0 is any. EADDRINUSE: the port is taken; EADDRNOTAVAIL: the address is
  /// not the stack's.
  static SocketResult<Listener> open(Stack& stack, std::string_view at, int backlog = 128);

  /// The next connection; waits for it.
  SocketResult<Socket> accept();
  void async_accept(Done<Socket> done, EventLoop* loop = nullptr);
  /// "10.0.0.1:80".
  SocketResult<std::string> local() const { return socket_.local(); }
  Socket& socket() { return socket_; }
  void cancel() { socket_.cancel(); }
  SocketResult<void> close() { return socket_.close(); }

 private:
  explicit Listener(Socket socket) : socket_(static_cast<Socket&&>(socket)) {}
  Socket socket_;
};

}  // namespace tapir
