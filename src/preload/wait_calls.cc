// SPDX-License-Identifier: Apache-2.0
#include "preload/wait_calls.h"

#include <algorithm>
#include <array>
#include <climits>
#include <ctime>
#include <vector>

#include "preload/libc.h"
#include "preload/process.h"
#include "runtime/mixed_wait.h"

namespace tapir::preload {
namespace {

bool any_of_ours(const pollfd* descriptors, nfds_t count) {
  if (descriptors == nullptr || count > static_cast<nfds_t>(kNumbersMax)) return false;
  return std::any_of(descriptors, descriptors + count,
                     [](const pollfd& one) { return static_cast<bool>(number_of(one.fd)); });
}

int invalid() {
  errno = EINVAL;
  return -1;
}

// What poll(2) must say of a number for select(2)'s three sets (Linux's POLLIN_SET, POLLOUT_SET, POLLEX_SET).
constexpr short kReadSet = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR;
constexpr short kWriteSet = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR;
constexpr short kExceptSet = POLLPRI;

// select(2)'s sets may be longer than fd_set.
using Words = unsigned long;
constexpr int kWordBits = static_cast<int>(sizeof(Words)) * CHAR_BIT;

bool in_set(const fd_set* set, int fd) {
  return set != nullptr && (reinterpret_cast<const Words*>(set)[fd / kWordBits] >> (fd % kWordBits) & 1) != 0;
}

bool selects_ours(int count, const fd_set* read, const fd_set* write, const fd_set* except) {
  const int end = std::min(count, numbers_end());
  for (int fd = 0; fd < end; ++fd)
    if (number_of(fd) && (in_set(read, fd) || in_set(write, fd) || in_set(except, fd))) return true;
  return false;
}

void clear_set(fd_set* set, int count) {
  if (set != nullptr)
    std::fill_n(reinterpret_cast<Words*>(set), (count + kWordBits - 1) / kWordBits, Words{0});
}

bool put_in(fd_set* set, int fd, bool ready) {
  if (set == nullptr || !ready) return false;
  reinterpret_cast<Words*>(set)[fd / kWordBits] |= Words{1} << (fd % kWordBits);
  return true;
}

int select_both(int count, fd_set* read, fd_set* write, fd_set* except, std::optional<Duration> timeout,
                const sigset_t* mask) {
  std::vector<pollfd> polled;
  for (int fd = 0; fd < count; ++fd) {
    short events = 0;
    if (in_set(read, fd)) events |= kReadSet;
    if (in_set(write, fd)) events |= kWriteSet;
    if (in_set(except, fd)) events |= kExceptSet;
    if (events != 0) polled.push_back({fd, events, 0});
  }
  const int ready = poll_both(polled, timeout, mask);
  if (ready < 0) return ready;
  for (const pollfd& one : polled)
    if ((one.revents & POLLNVAL) != 0) {
      errno = EBADF;
      return -1;
    }
  std::vector<pollfd> wanted = polled;
  for (pollfd& one : wanted) {
    one.events = static_cast<short>((in_set(read, one.fd) ? 1 : 0) | (in_set(write, one.fd) ? 2 : 0) |
                                    (in_set(except, one.fd) ? 4 : 0));
  }
  clear_set(read, count);
  clear_set(write, count);
  clear_set(except, count);
  int bits = 0;
  for (const pollfd& one : wanted) {
    bits += put_in(read, one.fd, (one.events & 1) != 0 && (one.revents & kReadSet) != 0);
    bits += put_in(write, one.fd, (one.events & 2) != 0 && (one.revents & kWriteSet) != 0);
    bits += put_in(except, one.fd, (one.events & 4) != 0 && (one.revents & kExceptSet) != 0);
  }
  return bits;
}

}  // namespace

bool duration_of(const timespec* time, std::optional<Duration>& into) {
  if (time == nullptr) return true;
  if (time->tv_sec < 0 || time->tv_nsec < 0 || time->tv_nsec >= 1'000'000'000) return false;
  into = std::chrono::seconds(std::min<std::int64_t>(time->tv_sec, 1'000'000'000)) +
         std::chrono::nanoseconds(time->tv_nsec);
  return true;
}

int poll_both(std::span<pollfd> descriptors, std::optional<Duration> timeout, const sigset_t* mask) {
  if (!usable()) return -1;
  std::array<pollfd, 64> few;
  std::vector<pollfd> many;
  std::span<pollfd> sorted = few;
  if (descriptors.size() > few.size()) {
    many.resize(descriptors.size());
    sorted = many;
  }
  // Ours from the front, the kernel's from the back. An epoll set that is both stands on both sides.
  std::vector<pollfd> sets;
  std::size_t ours = 0;
  std::size_t kernel = sorted.size();
  for (pollfd& one : descriptors) {
    const Number number = number_of(one.fd);
    one.revents = 0;
    if (number) {
      sorted[ours++] = {number.descriptor, one.events, 0};
      if (!number.is_socket()) sets.push_back({one.fd, one.events, 0});
    } else {
      sorted[--kernel] = one;
    }
  }
  std::span<pollfd> of_kernel = sorted.subspan(kernel);
  std::vector<pollfd> with_sets;
  if (!sets.empty()) {
    with_sets.assign(of_kernel.begin(), of_kernel.end());
    with_sets.insert(with_sets.end(), sets.begin(), sets.end());
    of_kernel = with_sets;
  }
  if (!of_kernel.empty()) {
    constexpr timespec kNow{0, 0};
    if (libc().ppoll(of_kernel.data(), of_kernel.size(), &kNow, nullptr) < 0 && errno != EINTR) return -1;
  }
  runtime::MixedPoll call(sorted.first(ours), of_kernel, timeout, mask);
  const auto result = stack().run(call, -1);
  if (!result) return answer<int>(result);
  std::size_t next_of_ours = 0;
  std::size_t next_set = of_kernel.size() - sets.size();
  std::size_t next_of_kernel = next_set;
  int ready = 0;
  for (pollfd& one : descriptors) {
    const Number number = number_of(one.fd);
    // A number may have changed hands meanwhile; then it is as it was.
    if (next_of_ours < ours && number && sorted[next_of_ours].fd == number.descriptor) {
      one.revents = sorted[next_of_ours++].revents;
      if (!number.is_socket() && next_set < of_kernel.size()) one.revents |= of_kernel[next_set++].revents;
    } else if (next_of_kernel > 0 && of_kernel[next_of_kernel - 1].fd == one.fd) {
      one.revents = of_kernel[--next_of_kernel].revents;
    } else if (next_of_ours < ours) {
      one.revents = sorted[next_of_ours++].revents;
    }
    if (one.revents != 0) ++ready;
  }
  return ready;
}

TAPIR_LIBC(int, poll, pollfd* descriptors, nfds_t count, int timeout) {
  if (!any_of_ours(descriptors, count)) return libc().poll(descriptors, count, timeout);
  return poll_both({descriptors, count}, from_milliseconds(timeout), nullptr);
}

int ppoll_of_program(pollfd* descriptors, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  if (!any_of_ours(descriptors, count)) return libc().ppoll(descriptors, count, timeout, mask);
  std::optional<Duration> duration;
  if (!duration_of(timeout, duration)) return invalid();
  return poll_both({descriptors, count}, duration, mask);
}

TAPIR_LIBC(int, ppoll, pollfd* descriptors, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  return ppoll_of_program(descriptors, count, timeout, mask);
}

TAPIR_LIBC(int, __poll_chk, pollfd* descriptors, nfds_t count, int timeout, std::size_t space) {
  if (space / sizeof(pollfd) < count) libc().__chk_fail();
  return tapir_libc_poll(descriptors, count, timeout);
}

TAPIR_LIBC(int, __ppoll_chk, pollfd* descriptors, nfds_t count, const timespec* timeout, const sigset_t* mask,
           std::size_t space) {
  if (space / sizeof(pollfd) < count) libc().__chk_fail();
  return ppoll_of_program(descriptors, count, timeout, mask);
}

TAPIR_LIBC(int, select, int count, fd_set* read, fd_set* write, fd_set* except, timeval* timeout) {
  if (!selects_ours(count, read, write, except)) return libc().select(count, read, write, except, timeout);
  std::optional<Duration> duration;
  if (timeout != nullptr) {
    if (timeout->tv_sec < 0 || timeout->tv_usec < 0) return invalid();
    duration = std::chrono::seconds(std::min<std::int64_t>(timeout->tv_sec, 1'000'000'000)) +
               std::chrono::microseconds(timeout->tv_usec);
  }
  const Instant begun = runtime::monotonic_now();
  const int ready = select_both(count, read, write, except, duration, nullptr);
  if (timeout != nullptr) {
    // Linux leaves there what was left.
    const int error = errno;
    const Duration left = std::max(*duration - (runtime::monotonic_now() - begun), Duration::zero());
    timeout->tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
    timeout->tv_usec =
        std::chrono::duration_cast<std::chrono::microseconds>(left % std::chrono::seconds(1)).count();
    errno = error;
  }
  return ready;
}

TAPIR_LIBC(int, pselect, int count, fd_set* read, fd_set* write, fd_set* except, const timespec* timeout,
           const sigset_t* mask) {
  if (!selects_ours(count, read, write, except))
    return libc().pselect(count, read, write, except, timeout, mask);
  std::optional<Duration> duration;
  if (!duration_of(timeout, duration)) return invalid();
  return select_both(count, read, write, except, duration, mask);
}

}  // namespace tapir::preload
