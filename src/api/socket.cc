// SPDX-License-Identifier: Apache-2.0
#include "tapir/socket.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include <optional>
#include <utility>

#include "api/address.h"
#include "api/event_loop.h"
#include "runtime/stack_host.h"

namespace tapir {
namespace {

std::unexpected<Error> failure(const char* call, int linux_errno) {
  return std::unexpected(Error(linux_errno, call));
}
std::unexpected<Error> failure(const char* call, socket::Errno linux_errno) {
  return failure(call, static_cast<int>(linux_errno));
}

// A result of socket/ as the API's: the value cast, the errno with the name of the call.
template <typename To, typename From>
SocketResult<To> result(const char* call, const socket::Result<From>& from) {
  if (!from) return failure(call, from.error());
  if constexpr (std::is_void_v<To>) {
    return {};
  } else {
    return static_cast<To>(*from);
  }
}

template <typename Ask>
SocketResult<std::string> address_text(const char* call, Ask ask) {
  api::SocketAddress address;
  if (auto asked = ask(address.get(), &address.length); !asked) return failure(call, asked.error());
  return api::to_text(address);
}

runtime::StackHost::Finished told_with_size(const char* call, Done<std::size_t> done) {
  return [call, done = std::move(done)](socket::Result<long> answer) mutable {
    done(result<std::size_t>(call, answer));
  };
}

// connect(2) that carries its address with it.
class AddressedConnect {
 public:
  AddressedConnect(int fd, const api::SocketAddress& address) : fd_(fd), address_(address) {}
  std::optional<socket::Result<long>> step(socket::Sockets& sockets, Instant now) {
    if (!call_) call_.emplace(fd_, address_.get(), address_.length);
    return call_->step(sockets, now);
  }
  Instant deadline() const { return call_ ? call_->deadline() : kNever; }
  void move_to(int fd) {
    fd_ = fd;
    if (call_) call_->move_to(fd);
  }

 private:
  int fd_;
  api::SocketAddress address_;
  std::optional<socket::BlockingConnect> call_;
};

timeval to_timeval(std::chrono::microseconds timeout) {
  return {static_cast<time_t>(timeout.count() / 1'000'000),
          static_cast<suseconds_t>(timeout.count() % 1'000'000)};
}

runtime::StackHost::Completions* answers_of(EventLoop* loop) {
  return loop != nullptr ? &api::LoopAnswers::of(*loop) : nullptr;
}

}  // namespace

Lease::Lease(Lease&& other) noexcept
    : host_(other.host_), name_(std::exchange(other.name_, 0)), bytes_(std::exchange(other.bytes_, {})) {}

Lease& Lease::operator=(Lease&& other) noexcept {
  std::swap(host_, other.host_);
  std::swap(name_, other.name_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Lease::~Lease() {
  if (name_ != 0) host_->give_back(name_);
}

SocketResult<Socket> Socket::open(Stack& stack, int domain, int type, int protocol) {
  const auto fd = stack.host().socket(domain, type, protocol);
  if (!fd) return failure("socket", fd.error());
  return Socket(&stack.host(), *fd);
}

SocketResult<Socket> Socket::connect(Stack& stack, std::string_view to) {
  return connect(stack, to, std::chrono::microseconds::zero());
}

SocketResult<Socket> Socket::connect(Stack& stack, std::string_view to, std::chrono::microseconds at_most) {
  const auto address = api::parse_address(to);
  if (!address) return failure("connect", EINVAL);
  auto made = open(stack, address->storage.ss_family, SOCK_STREAM);
  if (!made) return made;
  if (at_most != std::chrono::microseconds::zero())
    if (auto set = made->send_timeout(at_most); !set) return std::unexpected(set.error());
  const auto connected = stack.host().connect(made->descriptor_, address->get(), address->length);
  if (!connected)
    return failure("connect", connected.error() == socket::Errno{EINPROGRESS} ? socket::Errno{ETIMEDOUT}
                                                                              : connected.error());
  if (at_most != std::chrono::microseconds::zero())
    if (auto set = made->send_timeout(std::chrono::microseconds::zero()); !set)
      return std::unexpected(set.error());
  return made;
}

void Socket::async_connect(Stack& stack, std::string_view to, Done<Socket> done, EventLoop* loop) {
  const auto address = api::parse_address(to);
  // Errors of the beginning come as all others do: later, from where the end would.
  auto made = address ? open(stack, address->storage.ss_family, SOCK_STREAM) : failure("connect", EINVAL);
  runtime::StackHost& host = stack.host();
  if (!made) {
    host.start(
        api::Answered{made.error().number()}, runtime::StackHost::kNowhere,
        [error = made.error(), done = std::move(done)](socket::Result<long>) mutable {
          done(std::unexpected(error));
        },
        answers_of(loop));
    return;
  }
  const int fd = made->descriptor_;
  host.start(
      AddressedConnect(fd, *address), fd,
      [made = std::move(*made), done = std::move(done)](socket::Result<long> answer) mutable {
        if (answer) {
          done(std::move(made));
        } else {
          done(failure("connect", answer.error()));
        }
      },
      answers_of(loop));
}

SocketResult<Socket> Socket::bind_udp(Stack& stack, std::string_view at) {
  const auto address = api::parse_address(at);
  if (!address) return failure("bind", EINVAL);
  auto made = open(stack, address->storage.ss_family, SOCK_DGRAM);
  if (!made) return made;
  if (auto bound = stack.host().bind(made->descriptor_, address->get(), address->length); !bound)
    return failure("bind", bound.error());
  return made;
}

Socket::Socket(Socket&& other) noexcept
    : host_(other.host_), descriptor_(std::exchange(other.descriptor_, -1)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    static_cast<void>(close());
    host_ = other.host_;
    descriptor_ = std::exchange(other.descriptor_, -1);
  }
  return *this;
}

Socket::~Socket() { static_cast<void>(close()); }

SocketResult<std::size_t> Socket::send(std::span<const std::byte> data, int flags) {
  return result<std::size_t>("send",
                             host_->send(descriptor_, data.data(), data.size(), flags | MSG_NOSIGNAL));
}
SocketResult<std::size_t> Socket::send(std::string_view text, int flags) {
  return send(std::as_bytes(std::span(text)), flags);
}

void Socket::async_send(std::span<const std::byte> data, Done<std::size_t> done, int flags, EventLoop* loop) {
  iovec piece{const_cast<std::byte*>(data.data()), data.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  host_->start(socket::BlockingSend(descriptor_, message, flags | MSG_NOSIGNAL), descriptor_,
               told_with_size("send", std::move(done)), answers_of(loop));
}

SocketResult<std::size_t> Socket::receive(std::span<std::byte> into, int flags) {
  return result<std::size_t>("receive", host_->recv(descriptor_, into.data(), into.size(), flags));
}
SocketResult<std::size_t> Socket::receive(std::span<char> into, int flags) {
  return receive(std::as_writable_bytes(into), flags);
}

void Socket::async_receive(std::span<std::byte> into, Done<std::size_t> done, int flags, EventLoop* loop) {
  host_->start(socket::BlockingReceiveFrom(descriptor_, into.data(), into.size(), flags, nullptr, nullptr),
               descriptor_, told_with_size("receive", std::move(done)), answers_of(loop));
}

SocketResult<std::size_t> Socket::send_to(std::span<const std::byte> data, std::string_view to, int flags) {
  const auto address = api::parse_address(to);
  if (!address) return failure("send_to", EINVAL);
  return result<std::size_t>("send_to", host_->sendto(descriptor_, data.data(), data.size(),
                                                      flags | MSG_NOSIGNAL, address->get(), address->length));
}

SocketResult<std::size_t> Socket::receive_from(std::span<std::byte> into, std::string& from, int flags) {
  api::SocketAddress address;
  const auto received =
      host_->recvfrom(descriptor_, into.data(), into.size(), flags, address.get(), &address.length);
  if (received) from = api::to_text(address);
  return result<std::size_t>("receive_from", received);
}

SocketResult<Lease> Socket::lend(int flags) {
  const auto lent = host_->lend(descriptor_, flags);
  if (!lent) return failure("lend", lent.error());
  return Lease(host_, lent->name, std::as_bytes(std::span(lent->bytes)));
}

SocketResult<std::size_t> Socket::give(std::span<const std::byte> bytes, std::shared_ptr<void> owner,
                                       int flags) {
  const Bytes given(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  return result<std::size_t>("give", host_->give(descriptor_, given, std::move(owner), flags | MSG_NOSIGNAL));
}

SocketResult<void> Socket::shutdown(int how) {
  return result<void>("shutdown", host_->shutdown(descriptor_, how));
}

void Socket::cancel() {
  if (descriptor_ >= 0) host_->cancel(descriptor_);
}

SocketResult<void> Socket::close() {
  if (descriptor_ < 0) return {};
  return result<void>("close", host_->cancel_and_close(std::exchange(descriptor_, -1)));
}

SocketResult<void> Socket::receive_timeout(std::chrono::microseconds timeout) {
  const timeval value = to_timeval(timeout);
  return result<void>("receive_timeout",
                      host_->setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value));
}
SocketResult<void> Socket::send_timeout(std::chrono::microseconds timeout) {
  const timeval value = to_timeval(timeout);
  return result<void>("send_timeout",
                      host_->setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof value));
}
SocketResult<void> Socket::set_option(int level, int name, int value) {
  return result<void>("set_option", host_->setsockopt(descriptor_, level, name, &value, sizeof value));
}
SocketResult<int> Socket::option(int level, int name) const {
  int value = 0;
  socklen_t length = sizeof value;
  if (auto got = host_->getsockopt(descriptor_, level, name, &value, &length); !got)
    return failure("option", got.error());
  return value;
}

SocketResult<std::string> Socket::local() const {
  return address_text("local", [this](sockaddr* address, socklen_t* length) {
    return host_->getsockname(descriptor_, address, length);
  });
}
SocketResult<std::string> Socket::peer() const {
  return address_text("peer", [this](sockaddr* address, socklen_t* length) {
    return host_->getpeername(descriptor_, address, length);
  });
}

SocketResult<Listener> Listener::open(Stack& stack, std::string_view at, int backlog) {
  const auto address = api::parse_address(at);
  if (!address) return failure("listen", EINVAL);
  auto made = Socket::open(stack, address->storage.ss_family, SOCK_STREAM);
  if (!made) return std::unexpected(made.error());
  runtime::StackHost& host = stack.host();
  if (auto bound = host.bind(made->descriptor(), address->get(), address->length); !bound)
    return failure("bind", bound.error());
  if (auto listening = host.listen(made->descriptor(), backlog); !listening)
    return failure("listen", listening.error());
  return Listener(std::move(*made));
}

SocketResult<Socket> Listener::accept() {
  const auto fd = socket_.host_->accept(socket_.descriptor_);
  if (!fd) return failure("accept", fd.error());
  return Socket(socket_.host_, *fd);
}

void Listener::async_accept(Done<Socket> done, EventLoop* loop) {
  runtime::StackHost* host = socket_.host_;
  host->start(
      socket::BlockingAccept(socket_.descriptor_, nullptr, nullptr, 0), socket_.descriptor_,
      [host, done = std::move(done)](socket::Result<long> answer) mutable {
        if (answer) {
          done(Socket(host, static_cast<int>(*answer)));
        } else {
          done(failure("accept", answer.error()));
        }
      },
      answers_of(loop));
}

}  // namespace tapir
