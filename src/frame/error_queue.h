// SPDX-License-Identifier: Apache-2.0
// What a socket with IP_RECVERR is to be told of datagrams of its own that did not arrive, with what was
// quoted of each: Linux's sk_error_queue.
#pragma once

#include <cstddef>
#include <optional>

#include "frame/frame.h"
#include "frame/frame_pool.h"
#include "inet/delivery_error.h"

namespace tapir::inline frame {

// Errors of one socket that wait to be read; more are only told by SO_ERROR. Linux bounds them by SO_RCVBUF.
// Without a bound, a host that answers every datagram with an error fills the memory of who never looks.
inline constexpr std::size_t kQueuedErrorsMax = 64;

// One of the errors that wait.
struct QueuedError {
  DeliveryError error;
  Bytes payload;  // of `frame`: what was quoted
  Frame frame;
};

class ErrorQueue {
 public:
  // Keeps `error` and a copy of `quoted`; lost when there are kQueuedErrorsMax, or no memory.
  void push(const DeliveryError& error, Bytes quoted, FramePool& pool);
  // The oldest, or nothing.
  std::optional<QueuedError> take();
  // The oldest as it waits.
  std::optional<DeliveryError> peek() const;
  std::size_t count() const { return frames_.count(); }
  void clear() { frames_.clear(); }

 private:
  FrameQueue frames_;  // each: a DeliveryError, then what was quoted
};

}  // namespace tapir::inline frame
