// SPDX-License-Identifier: Apache-2.0
#include "preload/signal_relays.h"

#include <asm/sockios.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>

#include "preload/libc.h"
#include "preload/process.h"

namespace tapir::preload {
namespace {

// The pair behind a socket; both are numbers of the library's own.
struct Relay {
  int near = -1;  // the file that the socket's numbers stand for
  int far = -1;   // its peer
};
std::array<Relay, socket::Sockets::kSignalledMax> relays;  // under the stack's lock
std::atomic<int> relay_count = 0;
std::mutex making;

// A number of our own for the file of `fd`, which is closed.
int taken_in(int fd) {
  const int own = libc().fcntl(fd, F_DUPFD_CLOEXEC, first_internal());
  const int error = errno;
  libc().close(fd);
  errno = error;
  return own;
}

void copy_owner(int from, int to) {
  f_owner_ex owner{};
  if (libc().fcntl(from, F_GETOWN_EX, reinterpret_cast<long>(&owner)) == 0 && owner.pid != 0)
    libc().fcntl(to, F_SETOWN_EX, reinterpret_cast<long>(&owner));
  if (const int signal = libc().fcntl(from, F_GETSIG, 0); signal > 0) libc().fcntl(to, F_SETSIG, signal);
}

int signal_number(const Number& of) {
  return stack().with(
      [&](auto&, socket::Sockets& sockets, Instant) { return sockets.signal_number(of.descriptor, false); });
}

void send_byte(int to, int flags) { (void)libc().send(to, "", 1, flags | MSG_DONTWAIT | MSG_NOSIGNAL); }

void read_away(int from) {
  std::array<char, 4096> bytes;
  while (libc().recv(from, bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
  }
}

// A sender that found no room is told of some (the kernel: SOCK_NOSPACE).
void make_room(const Relay& relay) {
  const std::array<char, 4096> bytes{};
  while (libc().send(relay.near, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
  }
  read_away(relay.far);
}

}  // namespace

bool relays_signals() { return relay_count.load(std::memory_order_relaxed) != 0; }

bool relay_signals(int fd, const Number& number) {
  const std::lock_guard lock(making);
  if (signal_number(number) >= 0) return true;
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) return false;
  const Relay made{taken_in(pair[0]), taken_in(pair[1])};
  int index = -1;
  if (made.near >= 0 && made.far >= 0) {
    index = stack().with([&](auto&, socket::Sockets& sockets, Instant) {
      const int given = sockets.signal_number(number.descriptor, true);
      if (given >= 0) relays[static_cast<std::size_t>(given)] = made;
      return given;
    });
    if (index < 0) errno = ENFILE;
  }
  if (index < 0) {
    const int error = errno;
    if (made.near >= 0) libc().close(made.near);
    if (made.far >= 0) libc().close(made.far);
    errno = error;
    return false;
  }
  relay_count.fetch_add(1);
  const int least = 1;  // the kernel makes it what it needs at least
  (void)libc().setsockopt(made.near, SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
  copy_owner(fd, made.near);
  for (int each = 0; each < numbers_end(); ++each) {
    const Number other = number_of(each);
    if (!other.is_socket() || signal_number(other) != index) continue;
    const int flags = libc().fcntl(each, F_GETFD, 0);
    libc().dup3(made.near, each, flags > 0 && (flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
  }
  return true;
}

void end_relay(int fd, const Number& number, int kernels) {
  if (kernels < 0) return;
  if (signal_number(number) >= 0) {
    const int flags = libc().fcntl(fd, F_GETFL, 0);
    const int numbers_flags = libc().fcntl(fd, F_GETFD, 0);
    copy_owner(fd, kernels);
    libc().dup3(kernels, fd, (numbers_flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
    libc().fcntl(fd, F_SETFL, flags & O_ASYNC);
  }
  libc().close(kernels);
}

void relay_signal(int number, std::uint8_t what) {
  Relay& relay = relays[static_cast<std::size_t>(number)];
  if (relay.near < 0) return;
  const int error = errno;
  if ((what & socket::kSignalWritable) != 0) make_room(relay);
  // An urgent byte is one to read, too. No event of a pair is an error: that is told as something to read.
  if ((what & socket::kSignalUrgent) != 0) {
    send_byte(relay.far, MSG_OOB);
  } else if ((what & (socket::kSignalReadable | socket::kSignalError)) != 0) {
    send_byte(relay.far, 0);
  }
  if ((what & socket::kSignalHangUp) != 0) (void)libc().shutdown(relay.far, SHUT_RDWR);
  char urgent = 0;
  if ((what & socket::kSignalUrgent) != 0) (void)libc().recv(relay.near, &urgent, 1, MSG_OOB | MSG_DONTWAIT);
  read_away(relay.near);
  if ((what & socket::kSignalEnded) != 0) {
    // The program's number may still be about to be closed.
    libc().fcntl(relay.near, F_SETOWN, 0);
    libc().close(relay.near);
    libc().close(relay.far);
    relay = {};
    relay_count.fetch_sub(1);
  }
  errno = error;
}

bool is_owner_command(int command) {
  return command == F_SETOWN || command == F_SETOWN_EX || command == F_SETSIG;
}

bool is_owner_request(unsigned long request) { return request == FIOSETOWN || request == SIOCSPGRP; }

}  // namespace tapir::preload
