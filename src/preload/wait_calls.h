// SPDX-License-Identifier: Apache-2.0
// poll(2), select(2) and their kin over numbers of both kinds.
#pragma once

#include <poll.h>
#include <signal.h>

#include <optional>
#include <span>

#include "base/time.h"

namespace tapir::preload {

// A time-out of the program's; null leaves `into` as it is. False: nonsense (EINVAL).
bool duration_of(const timespec* time, std::optional<Duration>& into);

// The time-out of poll(2) and epoll_wait(2); negative: none.
inline std::optional<Duration> from_milliseconds(int milliseconds) {
  if (milliseconds < 0) return std::nullopt;
  return std::chrono::milliseconds(milliseconds);
}

// ppoll(2), in the program's numbers.
int poll_both(std::span<pollfd> descriptors, std::optional<Duration> timeout, const sigset_t* mask);

// The program's ppoll(2).
int ppoll_of_program(pollfd* descriptors, nfds_t count, const timespec* timeout, const sigset_t* mask);

}  // namespace tapir::preload
