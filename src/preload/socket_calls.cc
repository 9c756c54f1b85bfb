// SPDX-License-Identifier: Apache-2.0
// Making, naming and ending sockets.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>

#include "preload/libc.h"
#include "preload/md5_from_libcrypto.h"
#include "preload/process.h"
#include "preload/signal_relays.h"
#include "socket/address.h"

namespace tapir::preload {
namespace {

// Takes the number for a new socket in the kernel. For socket(), a socket of the same kind, which can serve
// when the rules give it back to the kernel; for accept(), the cheapest that fstat(2) calls a socket.
int placeholder(int domain, int type, int protocol) {
  const int fd = libc().socket(domain, type, protocol);
  if (fd >= 0 || errno == EMFILE || errno == ENFILE) return fd;
  return libc().socket(AF_UNIX, SOCK_DGRAM | (type & (SOCK_CLOEXEC | SOCK_NONBLOCK)), 0);
}

// The rules' word on an address that a call names.
bool given_back(int fd, const Number& number, const sockaddr* address, socklen_t length) {
  const Rules& rules = settings()->rules;
  if (!rules.any() || address == nullptr || length < sizeof(sockaddr_in) || address->sa_family != AF_INET)
    return false;
  const auto endpoint = socket::endpoint_of(address, length);
  const bool tcp = stack().with(
      [&](auto&, socket::Sockets& sockets, Instant) { return sockets.is_stream(number.descriptor); });
  if (!endpoint || rules.ours(*endpoint, tcp)) return false;
  const auto flags = stack().fcntl(number.descriptor, F_GETFL, 0);
  if (relays_signals()) end_relay(fd, number, libc().socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0));
  take_number(fd);
  if (flags && (*flags & O_NONBLOCK) != 0) libc().fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
  (void)stack().close(number.descriptor);
  return true;
}

int accepted(int listener, sockaddr* address, socklen_t* length, int flags) {
  const Number number = number_of(listener);
  if (!usable()) return -1;
  const auto connection = stack().accept(number.descriptor, address, length, flags);
  if (!connection) return answer<int>(connection);
  const int fd = placeholder(AF_UNIX, SOCK_STREAM | (flags & SOCK_CLOEXEC), 0);
  if (fd < 0 || !set_number(fd, {Kind::kSocket, *connection})) {
    const int error = fd < 0 ? errno : ENOMEM;
    if (fd >= 0) libc().close(fd);
    (void)stack().close(*connection);
    errno = error;
    return -1;
  }
  return fd;
}

}  // namespace

TAPIR_LIBC(int, socket, int domain, int type, int protocol) {
  if (is_inside()) return libc().socket(domain, type, protocol);
  if (domain == AF_INET6) {
    errno = EAFNOSUPPORT;
    return -1;
  }
  if (domain != AF_INET) return libc().socket(domain, type, protocol);
  runtime::StackHost* host = start_stack();
  if (host == nullptr) return -1;
  const auto made = host->socket(domain, type, protocol);
  if (!made) return answer<int>(made);
  const int fd = placeholder(domain, type & ~SOCK_NONBLOCK, protocol);
  if (fd < 0 || !set_number(fd, {Kind::kSocket, *made})) {
    const int error = fd < 0 ? errno : ENOMEM;
    if (fd >= 0) libc().close(fd);
    (void)host->close(*made);
    errno = error;
    return -1;
  }
  return fd;
}

TAPIR_LIBC(int, bind, int fd, const sockaddr* address, socklen_t length) {
  const Number number = number_of(fd);
  if (!number.is_socket()) return libc().bind(fd, address, length);
  if (!usable()) return -1;
  if (given_back(fd, number, address, length)) return libc().bind(fd, address, length);
  return answer<int>(stack().bind(number.descriptor, address, length));
}

TAPIR_LIBC(int, listen, int fd, int backlog) {
  const Number number = number_of(fd);
  if (!number.is_socket()) return libc().listen(fd, backlog);
  if (!usable()) return -1;
  return answer<int>(stack().listen(number.descriptor, backlog));
}

TAPIR_LIBC(int, accept, int fd, sockaddr* address, socklen_t* length) {
  return number_of(fd).is_socket() ? accepted(fd, address, length, 0) : libc().accept(fd, address, length);
}

TAPIR_LIBC(int, accept4, int fd, sockaddr* address, socklen_t* length, int flags) {
  return number_of(fd).is_socket() ? accepted(fd, address, length, flags)
                                   : libc().accept4(fd, address, length, flags);
}

TAPIR_LIBC(int, connect, int fd, const sockaddr* address, socklen_t length) {
  const Number number = number_of(fd);
  if (!number.is_socket()) return libc().connect(fd, address, length);
  if (!usable()) return -1;
  if (given_back(fd, number, address, length)) return libc().connect(fd, address, length);
  return answer<int>(stack().connect(number.descriptor, address, length));
}

TAPIR_LIBC(int, shutdown, int fd, int how) {
  const Number number = number_of(fd);
  if (!number.is_socket()) return libc().shutdown(fd, how);
  if (!usable()) return -1;
  return answer<int>(stack().shutdown(number.descriptor, how));
}

TAPIR_LIBC(int, getsockname, int fd, sockaddr* address, socklen_t* length) {
  const Number number = number_of(fd);
  if (!number.is_socket()) return libc().getsockname(fd, address, length);
  if (!usable()) return -1;
  return answer<int>(stack().getsockname(number.descriptor, address, length));
}

TAPIR_LIBC(int, getpeername, int fd, sockaddr* address, socklen_t* length) {
  const Number number = number_of(fd);
  if (!number.is_socket()) return libc().getpeername(fd, address, length);
  if (!usable()) return -1;
  return answer<int>(stack().getpeername(number.descriptor, address, length));
}

TAPIR_LIBC(int, getsockopt, int fd, int level, int name, void* value, socklen_t* length) {
  const Number number = number_of(fd);
  if (!number.is_socket()) return libc().getsockopt(fd, level, name, value, length);
  if (!usable()) return -1;
  return answer<int>(stack().getsockopt(number.descriptor, level, name, value, length));
}

TAPIR_LIBC(int, setsockopt, int fd, int level, int name, const void* value, socklen_t length) {
  const Number number = number_of(fd);
  if (!number.is_socket()) return libc().setsockopt(fd, level, name, value, length);
  if (!usable()) return -1;
  if (level == IPPROTO_TCP && (name == TCP_MD5SIG || name == TCP_MD5SIG_EXT) && seek_libcrypto != nullptr)
    seek_libcrypto();
  // In case the rules give it back later.
  if (settings()->rules.any()) (void)libc().setsockopt(fd, level, name, value, length);
  return answer<int>(stack().setsockopt(number.descriptor, level, name, value, length));
}

}  // namespace tapir::preload
