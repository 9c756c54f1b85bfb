// SPDX-License-Identifier: Apache-2.0
// Frames between a transmit() and a receive() in the same process: copied in, copied out, bounded.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "frame/frame_pool.h"
#include "frame/memory_budget.h"
#include "frame/outgoing_frame.h"

namespace tapir::link {

// How long frames wait for a receiver without memory.
inline constexpr Duration kTransitRetry = 1ms;

// First in, first out. The copies live in a pool of the queue's own, because the receiver's pool is known
// only when it asks, and because neither side may hold the other's memory.
class TransitQueue {
 public:
  // At most `frames_max` frames and `bytes_max` bytes of buffers (size classes, not lengths); `frame_max` is
  // the size of the largest frame that will come, and what room() reckons with.
  TransitQueue(std::size_t frames_max, std::size_t bytes_max, std::size_t frame_max);
  TransitQueue(const TransitQueue&) = delete;
  TransitQueue& operator=(const TransitQueue&) = delete;

  // How many more frames surely fit.
  std::size_t room() const;
  // Copies `frame`; a wanted checksum makes it kPartial. False when it does not fit.
  bool push(const OutgoingFrame& frame, Instant now);
  // Copies what waits into frames of `pool`, received_at = now, at most kTurnBytesMax; returns how many.
  // Stops, losing nothing, when the pool answers none.
  std::size_t drain(std::span<Frame> batch, FramePool& pool, Instant now);
  // When the first waiting frame was pushed: it is due since then; kNever when nothing waits. After the
  // receiver's pool answered none, kTransitRetry from that: else a loop that waits for this would turn for
  // ever without time moving.
  Instant due_since() const {
    return queue_.empty() ? kNever : std::max(queue_.front()->received_at, retry_at_);
  }
  bool empty() const { return queue_.empty(); }

 private:
  std::size_t frames_max_;
  std::size_t frame_cost_;  // buffer bytes that a frame of frame_max takes
  MemoryBudget budget_;
  FramePool pool_;
  FrameQueue queue_;
  Instant retry_at_ = Instant::min();  // not before this: the receiver had no memory
};

}  // namespace tapir::link
