// SPDX-License-Identifier: Apache-2.0
// What sockets and event loops of the public API share.
#pragma once

#include <optional>

#include "runtime/stack_host.h"
#include "tapir/event_loop.hpp"

namespace tapir::api {

// Where calls begun for a loop put their answers.
struct LoopAnswers {
  static runtime::StackHost::Completions& of(EventLoop& loop);
};

// A call that waits for a moment; at once when that is over.
class Delay {
 public:
  explicit Delay(Instant until) : until_(until) {}
  std::optional<socket::Result<long>> step(socket::Sockets&, Instant now) const {
    if (now < until_) return std::nullopt;
    return 0;
  }
  Instant deadline() const { return until_; }

 private:
  Instant until_;
};

// A call that has failed before it began.
class Answered {
 public:
  explicit Answered(int linux_errno) : errno_(linux_errno) {}
  std::optional<socket::Result<long>> step(socket::Sockets&, Instant) const { return socket::fail(errno_); }
  Instant deadline() const { return kNever; }

 private:
  int errno_;
};

}  // namespace tapir::api
