// SPDX-License-Identifier: Apache-2.0
// In-order bytes that the application has not read: the frames themselves, moved in; read() copies out once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/time.h"
#include "frame/frame_pool.h"

namespace tapir::tcp {

// Frames up to here are kept as they come (payloads of more than 2 KiB at least); with more, the queue's true
// size stays within 2 x payload + 512, the part of the head frame already read counted as payload. Without it
// a peer that sends small segments makes each byte cost hundreds.
inline constexpr std::size_t kLooseFramesMax = 8;

class ReceiveQueue {
 public:
  // Takes a frame whose bytes() are exactly new in-order payload. Small payloads in large frames are copied:
  // into the tail frame while it has room, else to a fitting class. When no memory is to be had for that, the
  // frame is kept as it is.
  void push(Frame payload, FramePool& pool);

  std::size_t size() const { return bytes_; }  // unread bytes
  std::size_t true_size() const { return queue_.true_size() + (tail_ ? tail_.meta().true_size : 0); }
  std::size_t frame_count() const { return queue_.count() + (tail_ ? 1 : 0); }
  bool empty() const { return bytes_ == 0; }

  // Copies up to out.size() bytes and drops them; frames read to their end go back to their pool.
  std::size_t read(MutableBytes out);
  // The same without dropping, from `offset` unread bytes on.
  std::size_t peek(MutableBytes out, std::size_t offset = 0) const;
  // The first frame, less what was read of it, to be kept by the caller; an empty one when there is none.
  Frame lend();
  // Drops without copying (MSG_TRUNC).
  std::size_t discard(std::size_t count);
  // When the first unread byte arrived; kNever when empty. Bytes copied to another's frame count as arrived
  // with it.
  Instant head_received_at() const;
  void clear();

 private:
  const FrameHeader* head() const;
  std::size_t fill_tail(Bytes bytes);
  void append(Frame frame);
  void append_copy(Frame frame, FramePool& pool);
  void compact(FramePool& pool);
  std::size_t consume(std::uint8_t* out, std::size_t count);

  FrameQueue queue_;
  Frame tail_;  // the newest frame, kept apart because it may still grow
  std::size_t bytes_ = 0;
  std::uint32_t head_offset_ = 0;  // bytes already read of the head frame
  bool loose_ = false;             // some frame but the tail may cost more than twice its payload
};

}  // namespace tapir::tcp
