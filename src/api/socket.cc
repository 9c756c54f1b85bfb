// SPDX-License-Identifier: Apache-2.0
#include "tapir/socket.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include <utility>

#include "api/address.h"
#include "runtime/stack_host.h"

namespace tapir {
namespace {

std::unexpected<std::error_code> failure(int linux_errno) { return std::unexpected(std::error_code(linux_errno, std::generic_category())); }

// A result of socket/ as the API's: the value cast, the errno as an error_code.
template <typename To, typename From>
SocketResult<To> result(const socket::Result<From>& from) {
  if (!from) return failure(static_cast<int>(from.error()));
  if constexpr (std::is_void_v<To>) {
    return {};
  } else {
    return static_cast<To>(*from);
  }
}

template <typename Ask>
SocketResult<std::string> address_text(Ask ask) {
  api::SocketAddress address;
  if (auto asked = ask(address.get(), &address.length); !asked) return failure(static_cast<int>(asked.error()));
  return api::to_text(address);
}

}  // namespace

SocketResult<Socket> Socket::open(Stack& stack, int domain, int type, int protocol) {
  const auto fd = stack.host().socket(domain, type, protocol);
  if (!fd) return failure(static_cast<int>(fd.error()));
  return Socket(stack.host(), *fd);
}

SocketResult<Socket> Socket::connect(Stack& stack, std::string_view to) {
  const auto address = api::parse_address(to);
  if (!address) return failure(EINVAL);
  auto made = open(stack, address->storage.ss_family, SOCK_STREAM);
  if (!made) return made;
  if (auto connected = stack.host().connect(made->descriptor_, address->get(), address->length); !connected)
    return failure(static_cast<int>(connected.error()));
  return made;
}

SocketResult<Socket> Socket::bind_udp(Stack& stack, std::string_view at) {
  const auto address = api::parse_address(at);
  if (!address) return failure(EINVAL);
  auto made = open(stack, address->storage.ss_family, SOCK_DGRAM);
  if (!made) return made;
  if (auto bound = stack.host().bind(made->descriptor_, address->get(), address->length); !bound) return failure(static_cast<int>(bound.error()));
  return made;
}

Socket::Socket(Socket&& other) noexcept : host_(other.host_), descriptor_(std::exchange(other.descriptor_, -1)) {}

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
  return result<std::size_t>(host_->send(descriptor_, data.data(), data.size(), flags | MSG_NOSIGNAL));
}
SocketResult<std::size_t> Socket::send(std::string_view text, int flags) { return send(std::as_bytes(std::span(text)), flags); }

SocketResult<std::size_t> Socket::receive(std::span<std::byte> into, int flags) {
  return result<std::size_t>(host_->recv(descriptor_, into.data(), into.size(), flags));
}
SocketResult<std::size_t> Socket::receive(std::span<char> into, int flags) { return receive(std::as_writable_bytes(into), flags); }

SocketResult<std::size_t> Socket::send_to(std::span<const std::byte> data, std::string_view to, int flags) {
  const auto address = api::parse_address(to);
  if (!address) return failure(EINVAL);
  return result<std::size_t>(host_->sendto(descriptor_, data.data(), data.size(), flags | MSG_NOSIGNAL, address->get(), address->length));
}

SocketResult<std::size_t> Socket::receive_from(std::span<std::byte> into, std::string& from, int flags) {
  api::SocketAddress address;
  const auto received = host_->recvfrom(descriptor_, into.data(), into.size(), flags, address.get(), &address.length);
  if (received) from = api::to_text(address);
  return result<std::size_t>(received);
}

SocketResult<void> Socket::shutdown(int how) { return result<void>(host_->shutdown(descriptor_, how)); }

SocketResult<void> Socket::close() {
  if (descriptor_ < 0) return {};
  return result<void>(host_->close(std::exchange(descriptor_, -1)));
}

namespace {

timeval to_timeval(std::chrono::microseconds timeout) {
  return {static_cast<time_t>(timeout.count() / 1'000'000), static_cast<suseconds_t>(timeout.count() % 1'000'000)};
}

}  // namespace

SocketResult<void> Socket::receive_timeout(std::chrono::microseconds timeout) {
  const timeval value = to_timeval(timeout);
  return result<void>(host_->setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value));
}
SocketResult<void> Socket::send_timeout(std::chrono::microseconds timeout) {
  const timeval value = to_timeval(timeout);
  return result<void>(host_->setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof value));
}
SocketResult<void> Socket::set_option(int level, int name, int value) {
  return result<void>(host_->setsockopt(descriptor_, level, name, &value, sizeof value));
}
SocketResult<int> Socket::option(int level, int name) const {
  int value = 0;
  socklen_t length = sizeof value;
  if (auto got = host_->getsockopt(descriptor_, level, name, &value, &length); !got) return failure(static_cast<int>(got.error()));
  return value;
}

SocketResult<std::string> Socket::local() const {
  return address_text([this](sockaddr* address, socklen_t* length) { return host_->getsockname(descriptor_, address, length); });
}
SocketResult<std::string> Socket::peer() const {
  return address_text([this](sockaddr* address, socklen_t* length) { return host_->getpeername(descriptor_, address, length); });
}

SocketResult<Listener> Listener::open(Stack& stack, std::string_view at, int backlog) {
  const auto address = api::parse_address(at);
  if (!address) return failure(EINVAL);
  auto made = Socket::open(stack, address->storage.ss_family, SOCK_STREAM);
  if (!made) return std::unexpected(made.error());
  runtime::StackHost& host = stack.host();
  if (auto bound = host.bind(made->descriptor(), address->get(), address->length); !bound) return failure(static_cast<int>(bound.error()));
  if (auto listening = host.listen(made->descriptor(), backlog); !listening) return failure(static_cast<int>(listening.error()));
  return Listener(std::move(*made));
}

SocketResult<Socket> Listener::accept() {
  const auto fd = socket_.host_->accept(socket_.descriptor_);
  if (!fd) return failure(static_cast<int>(fd.error()));
  return Socket(*socket_.host_, *fd);
}

}  // namespace tapir
