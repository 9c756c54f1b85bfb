// SPDX-License-Identifier: Apache-2.0
#include "api/mixed_sets.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/mixed_wait.h"

namespace tapir::api {
namespace {

// A set whose own descriptors always have something asks the kernel this seldom: else each call would cost
// one of the kernel's.
constexpr unsigned kAskKernelEvery = 64;

}  // namespace

MixedSets::Set::~Set() {
  if (kernel >= 0) ::close(kernel);
}

void MixedSets::created(int set) {
  const std::lock_guard lock(mutex_);
  sets_[set] = std::make_shared<Set>();
}

void MixedSets::copied(int of, int copy) {
  const std::lock_guard lock(mutex_);
  sets_.erase(copy);
  if (const auto found = sets_.find(of); found != sets_.end()) sets_[copy] = found->second;
}

void MixedSets::closed(int fd) {
  const std::lock_guard lock(mutex_);
  sets_.erase(fd);
}

std::shared_ptr<MixedSets::Set> MixedSets::find(int fd) {
  const std::lock_guard lock(mutex_);
  const auto found = sets_.find(fd);
  return found != sets_.end() ? found->second : nullptr;
}

std::shared_ptr<MixedSets::Set> MixedSets::with_kernel(int fd) {
  const std::shared_ptr<Set> set = find(fd);
  if (set == nullptr) {
    errno = host_.fcntl(fd, F_GETFD, 0) ? EINVAL : EBADF;
    return nullptr;
  }
  const std::lock_guard lock(mutex_);
  if (set->kernel < 0) set->kernel = ::epoll_create1(EPOLL_CLOEXEC);
  return set->kernel >= 0 ? set : nullptr;
}

socket::Result<int> MixedSets::control_kernel(int set, int operation, int kernel_fd, epoll_event* event) {
  const std::shared_ptr<Set> both = with_kernel(set);
  if (both == nullptr || ::epoll_ctl(both->kernel, operation, kernel_fd, event) != 0)
    return socket::fail(errno);
  return 0;
}

socket::Result<int> MixedSets::control(int set, int operation, int fd, epoll_event* event) {
  const socket::Result<int> done = host_.epoll_ctl(set, operation, fd, event);
  if (!done || find(fd) == nullptr) return done;
  const std::shared_ptr<Set> outer = with_kernel(set);
  const std::shared_ptr<Set> inner = with_kernel(fd);
  if (outer == nullptr || inner == nullptr ||
      ::epoll_ctl(outer->kernel, operation, inner->kernel, event) != 0)
    return socket::fail(errno);
  return 0;
}

socket::Result<int> MixedSets::wait(int set, std::span<epoll_event> events, std::optional<Duration> timeout) {
  const std::shared_ptr<Set> both = find(set);
  if (both == nullptr || both->kernel < 0 || events.data() == nullptr)
    return host_.epoll_wait(set, events, timeout);
  const Instant until = timeout ? later(runtime::monotonic_now(), *timeout) : kNever;
  for (;;) {
    runtime::MixedEpollWait call(set, events, both->kernel, timeout, nullptr);
    const socket::Result<long> answered = host_.run(call, set);
    if (!answered) return std::unexpected(answered.error());
    auto count = static_cast<std::size_t>(*answered);
    const bool asks = call.kernel_ready() || count == 0 || ++both->busy % kAskKernelEvery == 0;
    if (asks && count < events.size()) {
      const auto rest = events.subspan(count);
      const int more = ::epoll_wait(both->kernel, rest.data(), static_cast<int>(rest.size()), 0);
      // A set in this one whose halves are both ready is one event.
      for (int i = 0; i < more; ++i) {
        const epoll_event event = rest[static_cast<std::size_t>(i)];
        const auto told = events.first(count);
        const bool twice = std::any_of(told.begin(), told.end(), [&](const epoll_event& one) {
          return one.data.u64 == event.data.u64 && one.events == event.events;
        });
        if (!twice) events[count++] = event;
      }
    }
    if (count != 0 || !call.kernel_ready()) return static_cast<int>(count);
    // Another thread was faster.
    if (timeout) timeout = std::max(until - runtime::monotonic_now(), Duration::zero());
    if (timeout && *timeout == Duration::zero()) return 0;
  }
}

}  // namespace tapir::api
