// SPDX-License-Identifier: Apache-2.0
// In-order bytes that the application has not read: the frames themselves, moved in; read() copies out once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/time.h"
#include "frame/frame_pool.h"

namespace tapir::tcp {

class ReceiveQueue {
 public:
  // Takes a frame whose bytes() are exactly new in-order payload. Small payloads in large frames are copied to a fitting class
  // when the queue would otherwise hold more true size than 2 x payload + 512 (DESIGN: Frame).
  void push(Frame payload, FramePool& pool);

  std::size_t size() const { return bytes_; }        // unread bytes
  std::size_t true_size() const { return queue_.true_size(); }
  bool empty() const { return bytes_ == 0; }

  // Copies up to out.size() bytes and drops them; frames read to their end go back to their pool.
  std::size_t read(MutableBytes out);
  // The same without dropping, from `offset` unread bytes on.
  std::size_t peek(MutableBytes out, std::size_t offset = 0) const;
  // Drops without copying (MSG_TRUNC).
  std::size_t discard(std::size_t count);
  // When the first unread byte arrived; kNever when empty.
  Instant head_received_at() const;
  void clear();

 private:
  FrameQueue queue_;
  std::size_t bytes_ = 0;
  std::uint32_t head_offset_ = 0;      // bytes already read of the head frame
};

}  // namespace tapir::tcp
