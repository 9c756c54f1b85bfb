// SPDX-License-Identifier: Apache-2.0
// Waiting for descriptors of a stack and of the kernel in one call; for StackHost::run(), which asks the
// kernel.
#pragma once

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "socket/held_files.h"
#include "socket/sockets.h"

namespace tapir::runtime {

// poll(2) over `ours`, in the stack's numbers, and `kernel`, whose revents the caller has asked for once.
// Both keep the result.
class MixedPoll {
 public:
  MixedPoll(std::span<pollfd> ours, std::span<pollfd> kernel, std::optional<Duration> timeout,
            const sigset_t* mask)
      : ours_(ours), kernel_(kernel), timeout_(timeout), mask_(mask) {}
  std::optional<socket::Result<long>> step(socket::Sockets& sockets, Instant now) {
    start(now);
    long ready =
        std::count_if(kernel_.begin(), kernel_.end(), [](const pollfd& one) { return one.revents != 0; });
    ready += held_.poll(sockets, ours_, ready != 0 || now >= deadline_, now);
    if (ready != 0 || now >= deadline_) return ready;
    return std::nullopt;
  }
  socket::HeldFiles* held(socket::Descriptor fd) {
    return fd < 0 || socket::HeldFiles::among(ours_, fd) ? &held_ : nullptr;
  }
  Instant deadline() const { return deadline_; }
  std::span<pollfd> kernel() const { return kernel_; }
  const sigset_t* mask() const { return mask_; }

 private:
  void start(Instant now) {
    if (started_) return;
    started_ = true;
    if (timeout_) deadline_ = later(now, *timeout_);
  }

  std::span<pollfd> ours_;
  std::span<pollfd> kernel_;
  std::optional<Duration> timeout_;
  const sigset_t* mask_;
  socket::HeldFiles held_;
  bool started_ = false;
  Instant deadline_ = kNever;
};

// epoll_wait(2) on a set of the stack, and `kernel_set`, an epoll set of the kernel's (-1: none). Answers how
// many of `events` the stack has filled; then, or when kernel_ready(), the caller asks the kernel's.
class MixedEpollWait {
 public:
  MixedEpollWait(socket::Descriptor set, std::span<epoll_event> events, int kernel_set,
                 std::optional<Duration> timeout, const sigset_t* mask)
      : set_(set), events_(events), kernel_{pollfd{kernel_set, POLLIN, 0}}, timeout_(timeout), mask_(mask) {}
  void move_to(socket::Descriptor set) { set_ = set; }
  std::optional<socket::Result<long>> step(socket::Sockets& sockets, Instant now) {
    if (!started_) {
      started_ = true;
      if (timeout_) deadline_ = later(now, *timeout_);
    }
    const socket::Result<int> ready = sockets.epoll_wait(set_, events_, now);
    if (!ready) return std::unexpected(ready.error());
    if (*ready != 0 || kernel_ready() || now >= deadline_) return *ready;
    return std::nullopt;
  }
  Instant deadline() const { return deadline_; }
  bool kernel_ready() const { return kernel_[0].revents != 0; }
  std::span<pollfd> kernel() { return std::span(kernel_).first(kernel_[0].fd >= 0 ? 1 : 0); }
  const sigset_t* mask() const { return mask_; }

 private:
  socket::Descriptor set_;
  std::span<epoll_event> events_;
  std::array<pollfd, 1> kernel_;
  std::optional<Duration> timeout_;
  const sigset_t* mask_;
  bool started_ = false;
  Instant deadline_ = kNever;
};

}  // namespace tapir::runtime
