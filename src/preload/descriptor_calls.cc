// SPDX-License-Identifier: Apache-2.0
// Numbers: closed, doubled, and asked about.
#include <linux/close_range.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <span>
#include <utility>

#include "preload/data_calls.h"
#include "preload/interfaces.h"
#include "preload/libc.h"
#include "preload/process.h"
#include "preload/signal_relays.h"

namespace tapir::preload {
namespace {

constexpr int kCloseOnExec = CLOSE_RANGE_CLOEXEC;

// The file behind a number that is being closed. A child that shares our memory (vfork) closes numbers of its
// own table only.
socket::Result<int> let_go(int fd) {
  if (is_copy()) {
    take_number(fd);
    return 0;
  }
  if (is_other_process()) return 0;
  const Number number = take_number(fd);
  if (!number) return 0;
  return stack().close(number.descriptor);
}

// `fd` was made a second number of what `of` is.
int doubled(int fd, const Number& of) {
  if (fd < 0 || !of || is_other_process()) return fd;
  const auto second = stack().dup(of.descriptor);
  if (second) set_number(fd, {of.kind, *second});
  return fd;
}

// The device that `tapir run` hands on stays open for the programs that this one may start.
int handed_on() {
  static const int device = [] {
    const char* text = std::getenv("TAPIR_DEVICE_FD");
    return text != nullptr ? std::atoi(text) : -1;
  }();
  return device;
}

bool is_handed_on(int fd) { return fd >= 0 && fd == handed_on(); }

// Closes first … last, but for the host's own and the device that is handed on.
int close_but_protected(unsigned first, unsigned last, int flags) {
  struct Range {
    unsigned first, last;
  };
  std::array<Range, 2> spared{};
  std::size_t count = 0;
  if (handed_on() >= 0)
    spared[count++] = {static_cast<unsigned>(handed_on()), static_cast<unsigned>(handed_on())};
  if (has_stack())
    spared[count++] = {static_cast<unsigned>(first_internal()),
                       static_cast<unsigned>(first_internal() + kInternalMax - 1)};
  if (count == 2 && spared[1].first < spared[0].first) std::swap(spared[0], spared[1]);
  for (const Range& range : std::span(spared).first(count)) {
    if (range.last < first || range.first > last) continue;
    if (range.first > first && libc().close_range(first, range.first - 1, flags) != 0) return -1;
    flags &= kCloseOnExec;
    if (range.last >= last) return 0;
    first = range.last + 1;
  }
  return libc().close_range(first, last, flags);
}

int close_range_of_ours(unsigned first, unsigned last, int flags) {
  if ((flags & kCloseOnExec) == 0)
    for (int fd = static_cast<int>(std::min<unsigned>(first, kNumbersMax));
         fd < numbers_end() && static_cast<unsigned>(fd) <= last; ++fd)
      if (number_of(fd)) (void)let_go(fd);
  return close_but_protected(first, last, flags);
}

// O_ASYNC is the flag of the pair behind a socket (signal_relays.h), the others are the stack's.
int set_flags(int fd, const Number& number, long flags) {
  const auto set = stack().fcntl(number.descriptor, F_SETFL, flags);
  const bool wanted = (flags & O_ASYNC) != 0;
  if (!set || (!wanted && !relays_signals())) return answer<int>(set);
  if (wanted && !relay_signals(fd, number)) return -1;
  const int before = libc().fcntl(fd, F_GETFL, 0);
  if (((before & O_ASYNC) != 0) == wanted) return 0;
  return libc().fcntl(fd, F_SETFL, (before & ~O_ASYNC) | (wanted ? O_ASYNC : 0));
}

int flags_of(int fd, const Number& number) {
  const int flags = answer<int>(stack().fcntl(number.descriptor, F_GETFL, 0));
  if (flags < 0 || !relays_signals()) return flags;
  return flags | (libc().fcntl(fd, F_GETFL, 0) & O_ASYNC);
}

int bad_number() {
  errno = EBADF;
  return -1;
}

}  // namespace

TAPIR_LIBC(int, close, int fd) {
  if (!number_of(fd)) [[likely]] {
    if (is_internal(fd) || is_handed_on(fd)) return bad_number();
    forget_kernel_set(fd);
    return libc().close(fd);
  }
  const auto closed = let_go(fd);
  const int result = libc().close(fd);
  return closed ? result : answer<int>(closed);
}

TAPIR_LIBC(int, close_range, unsigned first, unsigned last, int flags) {
  if (first > last) return libc().close_range(first, last, flags);
  return close_range_of_ours(first, last, flags);
}

TAPIR_LIBC(void, closefrom, int first) {
  (void)close_range_of_ours(static_cast<unsigned>(std::max(first, 0)), UINT_MAX, 0);
}

TAPIR_LIBC(int, dup, int fd) {
  const Number number = number_of(fd);
  return doubled(libc().dup(fd), number);
}

TAPIR_LIBC(int, dup2, int from, int to) {
  const Number number = number_of(from);
  if (from == to) return libc().dup2(from, to);
  if (is_internal(to) || is_handed_on(to)) return bad_number();
  if (number_of(to) && libc().fcntl(from, F_GETFD, 0) >= 0) (void)let_go(to);
  return doubled(libc().dup2(from, to), number);
}

TAPIR_LIBC(int, dup3, int from, int to, int flags) {
  const Number number = number_of(from);
  if (is_internal(to) || is_handed_on(to)) return bad_number();
  if (from != to && (flags & ~O_CLOEXEC) == 0 && number_of(to) && libc().fcntl(from, F_GETFD, 0) >= 0)
    (void)let_go(to);
  return doubled(libc().dup3(from, to, flags), number);
}

TAPIR_LIBC(int, fcntl, int fd, int command, long argument) {
  const Number number = number_of(fd);
  if (!number) return libc().fcntl(fd, command, argument);
  switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      return doubled(libc().fcntl(fd, command, argument), number);
    case F_GETFL:
    case F_SETFL:
      if (!number.is_socket()) return libc().fcntl(fd, command, argument);
      if (!usable()) return -1;
      return command == F_GETFL ? flags_of(fd, number) : set_flags(fd, number, argument);
    default:
      if (number.is_socket() && is_owner_command(command) && (!usable() || !relay_signals(fd, number)))
        return -1;
      return libc().fcntl(fd, command, argument);
  }
}
TAPIR_LIBC(int, fcntl64, int fd, int command, long argument) {
  return tapir_libc_fcntl(fd, command, argument);
}

TAPIR_LIBC(int, ioctl, int fd, unsigned long request, void* argument) {
  const Number number = number_of(fd);
  if (!number.is_socket() || request == FIOCLEX || request == FIONCLEX)
    return libc().ioctl(fd, request, argument);
  if (!usable()) return -1;
  if (request == FIOASYNC) {
    if (argument == nullptr) return answer<int>(socket::Result<int>(socket::fail(EFAULT)));
    const int flags = flags_of(fd, number);
    return flags < 0
               ? -1
               : set_flags(fd, number,
                           *static_cast<const int*>(argument) != 0 ? flags | O_ASYNC : flags & ~O_ASYNC);
  }
  if (is_owner_request(request)) return relay_signals(fd, number) ? libc().ioctl(fd, request, argument) : -1;
  if (request == FIOGETOWN || request == SIOCGPGRP) return libc().ioctl(fd, request, argument);
  // Netlink, which is the kernel's, may have told of interfaces that the stack does not know.
  if (const auto answered = interface_ioctl(request, argument))
    return *answered ? **answered : libc().ioctl(fd, request, argument);
  return answer<int>(stack().ioctl(number.descriptor, request, argument));
}

void warn_of_passed(const msghdr* message) {
  if (message == nullptr || message->msg_control == nullptr || message->msg_controllen == 0) return;
  for (const cmsghdr* part = CMSG_FIRSTHDR(message); part != nullptr;
       part = CMSG_NXTHDR(const_cast<msghdr*>(message), const_cast<cmsghdr*>(part))) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS || part->cmsg_len < CMSG_LEN(0))
      continue;
    for (std::size_t at = 0; at + sizeof(int) <= part->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + at, sizeof fd);
      if (number_of(fd).is_socket())
        say_once(Topic::kPassed,
                 "a socket of this process's stack is sent to another process (SCM_RIGHTS): it is of no use "
                 "there");
    }
  }
}

}  // namespace tapir::preload
