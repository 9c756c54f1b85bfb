// SPDX-License-Identifier: Apache-2.0
// StackHost's socket calls: those that never wait go straight to socket::Sockets, the others by way of their
// blocking form.
#include <cerrno>

#include "runtime/stack_host.h"

namespace tapir::runtime {
namespace {

msghdr message_of(iovec& piece, const void* data, std::size_t size, const sockaddr* name, socklen_t length) {
  piece = {const_cast<void*>(data), size};
  msghdr message{};
  message.msg_name = const_cast<sockaddr*>(name);
  message.msg_namelen = length;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  return message;
}

Result<int> narrowed(Result<long> result) {
  if (!result) return std::unexpected(result.error());
  return static_cast<int>(*result);
}

}  // namespace

Result<Descriptor> StackHost::socket(int domain, int type, int protocol) {
  return with([&](stack::Stack&, socket::Sockets& sockets, Instant now) {
    return sockets.socket(domain, type, protocol, now);
  });
}

Result<int> StackHost::bind(Descriptor fd, const sockaddr* address, socklen_t length) {
  return with([&](stack::Stack&, socket::Sockets& sockets, Instant now) {
    return sockets.bind(fd, address, length, now);
  });
}

Result<int> StackHost::listen(Descriptor fd, int backlog) {
  return with(
      [&](stack::Stack&, socket::Sockets& sockets, Instant now) { return sockets.listen(fd, backlog, now); });
}

Result<Descriptor> StackHost::accept(Descriptor fd, sockaddr* address, socklen_t* length, int flags) {
  socket::BlockingAccept call(fd, address, length, flags);
  return narrowed(run(call, fd));
}

Result<int> StackHost::connect(Descriptor fd, const sockaddr* address, socklen_t length) {
  socket::BlockingConnect call(fd, address, length);
  return narrowed(run(call, fd));
}

Result<long> StackHost::send(Descriptor fd, const void* data, std::size_t size, int flags) {
  return sendto(fd, data, size, flags, nullptr, 0);
}

Result<long> StackHost::sendto(Descriptor fd, const void* data, std::size_t size, int flags,
                               const sockaddr* to, socklen_t length) {
  iovec piece;
  return sendmsg(fd, message_of(piece, data, size, to, length), flags);
}

Result<long> StackHost::sendmsg(Descriptor fd, const msghdr& message, int flags) {
  socket::BlockingSend call(fd, message, flags);
  return run(call, fd);
}

Result<long> StackHost::send_lent(Descriptor fd, const void* data, std::size_t size, Loan& loan, int flags) {
  iovec piece;
  const msghdr message = message_of(piece, data, size, nullptr, 0);
  socket::BlockingSend call(fd, message, flags, &loan);
  return run(call, fd);
}

Result<long> StackHost::recv(Descriptor fd, void* data, std::size_t size, int flags) {
  return recvfrom(fd, data, size, flags, nullptr, nullptr);
}

Result<long> StackHost::recvfrom(Descriptor fd, void* data, std::size_t size, int flags, sockaddr* from,
                                 socklen_t* length) {
  socket::BlockingReceiveFrom call(fd, data, size, flags, from, length);
  return run(call, fd);
}

Result<long> StackHost::recvmsg(Descriptor fd, msghdr& message, int flags) {
  socket::BlockingReceive call(fd, &message, flags);
  return run(call, fd);
}

Result<int> StackHost::sendmmsg(Descriptor fd, mmsghdr* messages, unsigned count, int flags) {
  socket::BlockingSendMany call(fd, messages, count, flags);
  return narrowed(run(call, fd));
}

Result<int> StackHost::recvmmsg(Descriptor fd, mmsghdr* messages, unsigned count, int flags,
                                timespec* timeout) {
  socket::BlockingReceiveMany call(fd, messages, count, flags, timeout);
  return narrowed(run(call, fd));
}

Result<long> StackHost::readv(Descriptor fd, const iovec* pieces, int count) {
  socket::BlockingReadVector call(fd, pieces, count);
  return run(call, fd);
}

Result<long> StackHost::writev(Descriptor fd, const iovec* pieces, int count) {
  socket::BlockingWriteVector call(fd, pieces, count);
  return run(call, fd);
}

Result<int> StackHost::shutdown(Descriptor fd, int how) {
  return with(
      [&](stack::Stack&, socket::Sockets& sockets, Instant now) { return sockets.shutdown(fd, how, now); });
}

Result<int> StackHost::close(Descriptor fd) {
  // Under one lock with the close: the number may be another file's at once.
  struct Call : socket::LingeringClose {
    Call(StackHost& h, Descriptor descriptor) : LingeringClose(descriptor), host(h), closed(descriptor) {}
    std::optional<Result<long>> step(socket::Sockets& sockets, Instant now) {
      host.set_aside_waiters(std::exchange(closed, -1));
      return LingeringClose::step(sockets, now);
    }
    // No descriptor tells of the connection any more.
    bool watches_stack() const { return true; }
    StackHost& host;
    Descriptor closed;
  } call(*this, fd);
  return narrowed(run(call, -1));  // the descriptor is gone while it lingers
}

Result<Descriptor> StackHost::dup(Descriptor fd) {
  return with([&](stack::Stack&, socket::Sockets& sockets, Instant) { return sockets.dup(fd); });
}

Result<Descriptor> StackHost::dup3(Descriptor fd, Descriptor to, int flags) {
  return with([&](stack::Stack&, socket::Sockets& sockets, Instant now) {
    if (fd != to) set_aside_waiters(to);
    return sockets.dup3(fd, to, flags, now);
  });
}

Result<int> StackHost::getsockname(Descriptor fd, sockaddr* address, socklen_t* length) {
  return with([&](stack::Stack&, socket::Sockets& sockets, Instant) {
    return sockets.getsockname(fd, address, length);
  });
}

Result<int> StackHost::getpeername(Descriptor fd, sockaddr* address, socklen_t* length) {
  return with([&](stack::Stack&, socket::Sockets& sockets, Instant) {
    return sockets.getpeername(fd, address, length);
  });
}

Result<int> StackHost::getsockopt(Descriptor fd, int level, int name, void* value, socklen_t* length) {
  return with([&](stack::Stack&, socket::Sockets& sockets, Instant now) {
    return sockets.getsockopt(fd, level, name, value, length, now);
  });
}

Result<int> StackHost::setsockopt(Descriptor fd, int level, int name, const void* value, socklen_t length) {
  return with([&](stack::Stack&, socket::Sockets& sockets, Instant now) {
    return sockets.setsockopt(fd, level, name, value, length, now);
  });
}

Result<int> StackHost::ioctl(Descriptor fd, unsigned long request, void* argument) {
  return with([&](stack::Stack&, socket::Sockets& sockets, Instant now) {
    return sockets.ioctl(fd, request, argument, now);
  });
}

Result<int> StackHost::fcntl(Descriptor fd, int command, long argument) {
  return with(
      [&](stack::Stack&, socket::Sockets& sockets, Instant) { return sockets.fcntl(fd, command, argument); });
}

Result<int> StackHost::poll(std::span<pollfd> descriptors, std::optional<Duration> timeout) {
  socket::BlockingPoll call(descriptors, timeout);
  return narrowed(run(call, -1));
}

Result<Descriptor> StackHost::epoll_create1(int flags) {
  return with([&](stack::Stack&, socket::Sockets& sockets, Instant) { return sockets.epoll_create1(flags); });
}

Result<int> StackHost::epoll_ctl(Descriptor epfd, int operation, Descriptor fd, epoll_event* event) {
  return with([&](stack::Stack&, socket::Sockets& sockets, Instant now) {
    return sockets.epoll_ctl(epfd, operation, fd, event, now);
  });
}

Result<int> StackHost::epoll_wait(Descriptor epfd, std::span<epoll_event> events,
                                  std::optional<Duration> timeout) {
  socket::BlockingEpollWait call(epfd, events, timeout);
  return narrowed(run(call, epfd));
}

}  // namespace tapir::runtime
