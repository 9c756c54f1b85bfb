// SPDX-License-Identifier: Apache-2.0
// epoll(7): the program's number is an epoll set of the kernel's, which holds the kernel's descriptors. When
// the first socket of ours is added it gets a set of the stack's beside it.
#include <algorithm>
#include <atomic>
#include <climits>
#include <ctime>
#include <optional>

#include "preload/interfaces.h"
#include "preload/libc.h"
#include "preload/process.h"
#include "preload/wait_calls.h"
#include "runtime/mixed_wait.h"

namespace tapir::preload {
namespace {

// A set that always has something of ours ready asks the kernel for its own each so many calls.
constexpr unsigned kAskKernelEvery = 64;

// Sets that have had a descriptor of the kernel's: the kernel needs to be asked. Bits by number; higher ones
// always are.
constexpr int kSetsMax = 1 << 16;
std::array<std::atomic<std::uint64_t>, kSetsMax / 64> with_kernel_members;

void note_kernel_member(int set) {
  if (set >= 0 && set < kSetsMax)
    with_kernel_members[static_cast<std::size_t>(set) / 64].fetch_or(std::uint64_t{1} << (set % 64));
}

bool has_kernel_members(int set) {
  return set >= kSetsMax ||
         (with_kernel_members[static_cast<std::size_t>(set) / 64].load(std::memory_order_relaxed) >>
              (set % 64) &
          1) != 0;
}

// The stack's set beside `set`; made when `make`. -1 and errno: there is none.
int set_beside(int set, bool make) {
  static std::mutex making;
  if (const Number number = number_of(set))
    return number.kind == Kind::kEpoll ? number.descriptor : (errno = EINVAL, -1);
  errno = ENOENT;
  if (!make) return -1;
  const std::lock_guard lock(making);
  if (const Number number = number_of(set)) return number.descriptor;
  const auto made = stack().epoll_create1(0);
  if (!made) return answer<int>(made);
  if (set_number(set, {Kind::kEpoll, *made})) return *made;
  (void)stack().close(*made);
  errno = ENOMEM;
  return -1;
}

int wait_in(const Number& number, int set, epoll_event* events, int most, std::optional<Duration> timeout,
            const sigset_t* mask) {
  static thread_local unsigned busy = 0;
  if (!usable()) return -1;
  if (most <= 0 || events == nullptr) {
    errno = most <= 0 ? EINVAL : EFAULT;
    return -1;
  }
  const std::span<epoll_event> room(events, static_cast<std::size_t>(most));
  const Instant until = timeout ? later(runtime::monotonic_now(), *timeout) : kNever;
  const bool both = has_kernel_members(set);
  for (;;) {
    runtime::MixedEpollWait call(number.descriptor, room, both ? set : -1, timeout, mask);
    const auto result = stack().run(call, number.descriptor);
    if (!result) return answer<int>(result);
    auto count = static_cast<int>(*result);
    // Without a wait the kernel has not been asked.
    const bool ask = both && (call.kernel_ready() || count == 0 || ++busy % kAskKernelEvery == 0);
    if (ask && count < most) {
      const int more = libc().epoll_wait(set, events + count, most - count, 0);
      if (more > 0) count += more;
    }
    if (count != 0 || !call.kernel_ready()) return count;
    // Another thread was faster.
    if (timeout) timeout = std::max(until - runtime::monotonic_now(), Duration::zero());
    if (timeout && *timeout == Duration::zero()) return 0;
  }
}

}  // namespace

void forget_kernel_set(int fd) {
  if (fd >= 0 && fd < kSetsMax && has_kernel_members(fd))
    with_kernel_members[static_cast<std::size_t>(fd) / 64].fetch_and(~(std::uint64_t{1} << (fd % 64)));
}

TAPIR_LIBC(int, epoll_ctl, int set, int operation, int fd, epoll_event* event) {
  const Number member = number_of(fd);
  if (!member) {
    const int result = libc().epoll_ctl(set, operation, fd, event);
    if (result == 0 && operation == EPOLL_CTL_ADD) note_kernel_member(set);
    return result;
  }
  if (!usable()) return -1;
  // Is it a set at all? The kernel says: EBADF, EINVAL, and ENOENT for a set without this number.
  if (!number_of(set) && libc().epoll_ctl(set, EPOLL_CTL_DEL, fd, nullptr) != 0 && errno != ENOENT) return -1;
  if (member.kind == Kind::kEpoll) {
    // A set of both in a set: both halves.
    const int result = libc().epoll_ctl(set, operation, fd, event);
    if (result != 0) return result;
    if (operation == EPOLL_CTL_ADD) note_kernel_member(set);
  }
  const int beside = set_beside(set, operation == EPOLL_CTL_ADD);
  if (beside < 0) return -1;
  return answer<int>(stack().epoll_ctl(beside, operation, member.descriptor, event));
}

TAPIR_LIBC(int, epoll_wait, int set, epoll_event* events, int most, int timeout) {
  const Number number = number_of(set);
  if (number.kind != Kind::kEpoll) return libc().epoll_wait(set, events, most, timeout);
  return wait_in(number, set, events, most, from_milliseconds(timeout), nullptr);
}

TAPIR_LIBC(int, epoll_pwait, int set, epoll_event* events, int most, int timeout, const sigset_t* mask) {
  const Number number = number_of(set);
  if (number.kind != Kind::kEpoll) return libc().epoll_pwait(set, events, most, timeout, mask);
  return wait_in(number, set, events, most, from_milliseconds(timeout), mask);
}

TAPIR_LIBC(int, epoll_pwait2, int set, epoll_event* events, int most, const timespec* timeout,
           const sigset_t* mask) {
  const Number number = number_of(set);
  if (number.kind != Kind::kEpoll) return libc().epoll_pwait2(set, events, most, timeout, mask);
  std::optional<Duration> duration;
  if (!duration_of(timeout, duration)) {
    errno = EINVAL;
    return -1;
  }
  return wait_in(number, set, events, most, duration, mask);
}

}  // namespace tapir::preload
