// SPDX-License-Identifier: Apache-2.0
#include "tcp/receive_queue.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "tcp/packing.h"

namespace tapir::tcp {
namespace {

// The size of the next frame for `remaining` bytes, such that a full one costs at most twice what it holds;
// the last may be a partly filled one of 256.
std::size_t piece_of(std::size_t remaining) {
  for (std::size_t i = kFrameClasses.size() - 1; i-- > 1;) {
    const std::size_t cost = sizeof(FrameHeader) + kFrameHeadroom + kFrameClasses[i];
    if (2 * std::min<std::size_t>(remaining, kFrameClasses[i]) >= cost)
      return std::min<std::size_t>(remaining, kFrameClasses[i]);
  }
  return std::min<std::size_t>(remaining, kFrameClasses[0]);
}

const std::uint8_t* data_of(const FrameHeader* header) {
  return reinterpret_cast<const std::uint8_t*>(header + 1) + header->begin;
}

}  // namespace

const FrameHeader* ReceiveQueue::head() const {
  if (!queue_.empty()) return queue_.front();
  return tail_ ? &tail_.meta() : nullptr;
}

void ReceiveQueue::push(Frame payload, FramePool& pool) {
  TAPIR_INVARIANT(payload, "only frames are queued");
  if (payload.size() == 0) return;
  bytes_ += payload.size();
  const std::size_t frames_before = frame_count();
  if (tail_ && !well_filled(tail_)) {
    // No frame but the last may be half empty: the tail takes a small payload whole, of a large one what it
    // lacks.
    const std::size_t lacks = (tail_.meta().true_size + 1) / 2 - tail_.size();
    const std::size_t offered =
        payload.size() <= kSmallPayloadMax ? payload.size() : std::min(lacks, payload.size());
    if (payload.size() <= kSmallPayloadMax || frame_count() >= kLooseFramesMax)
      payload.trim_front(fill(tail_, payload.bytes().first(offered)));
  }
  if (payload.size() == 0) return;
  if (well_filled(payload)) {
    append(std::move(payload));
  } else if (frame_count() >= kLooseFramesMax) {
    append_copy(std::move(payload), pool);
  } else if (payload.size() <= kSmallPayloadMax) {
    payload.trim_front(tail_ ? fill(tail_, payload.bytes()) : 0);
    if (payload.size() != 0) append(shrink(std::move(payload), pool));
  } else {
    append(std::move(payload));
  }
  // Once, as the limit is crossed: beyond it nothing loose gets in but what no memory could be had for.
  if (loose_ && frames_before <= kLooseFramesMax && frame_count() > kLooseFramesMax) compact(pool);
}

void ReceiveQueue::append(Frame frame) {
  if (tail_) {
    if (!well_filled(tail_)) loose_ = true;
    queue_.push_back(std::move(tail_));
  }
  tail_ = std::move(frame);
}

void ReceiveQueue::append_copy(Frame frame, FramePool& pool) {
  if (tail_) frame.trim_front(fill(tail_, frame.bytes()));
  while (frame.size() != 0) {
    const std::size_t n = piece_of(frame.size());
    Frame piece = pool.copy(frame.bytes().first(n));
    if (!piece) {
      append(std::move(frame));
      return;
    }
    piece.meta().received_at = frame.meta().received_at;
    frame.trim_front(n);
    append(std::move(piece));
  }
}

// Called with at most kLooseFramesMax + 1 large frames, or as many small ones as one payload was cut into.
void ReceiveQueue::compact(FramePool& pool) {
  FrameQueue old = std::move(queue_);
  Frame last = std::move(tail_);
  loose_ = false;
  const auto put = [&](Frame frame) {
    frame.trim_front(std::exchange(head_offset_, 0));
    if (well_filled(frame)) {
      append(std::move(frame));
    } else {
      append_copy(std::move(frame), pool);
    }
  };
  while (!old.empty()) put(old.pop_front());
  if (last) put(std::move(last));
}

std::size_t ReceiveQueue::consume(std::uint8_t* out, std::size_t count) {
  std::size_t done = 0;
  count = std::min(count, bytes_);
  while (done < count) {
    const FrameHeader* header = head();
    const std::size_t left = header->end - header->begin - head_offset_;
    const std::size_t n = std::min(left, count - done);
    if (out != nullptr) std::memcpy(out + done, data_of(header) + head_offset_, n);
    done += n;
    if (n < left) {
      head_offset_ += static_cast<std::uint32_t>(n);
      break;
    }
    head_offset_ = 0;
    if (queue_.empty()) {
      tail_.reset();
    } else {
      queue_.pop_front();
    }
  }
  bytes_ -= done;
  return done;
}

std::size_t ReceiveQueue::read(MutableBytes out) { return out.empty() ? 0 : consume(out.data(), out.size()); }

std::size_t ReceiveQueue::discard(std::size_t count) { return consume(nullptr, count); }

std::size_t ReceiveQueue::peek(MutableBytes out, std::size_t offset) const {
  std::size_t done = 0;
  std::size_t skip = head_offset_ + offset;
  const FrameHeader* header = head();
  bool at_tail = queue_.empty();
  while (header != nullptr && done < out.size()) {
    const std::size_t length = header->end - header->begin;
    if (skip < length) {
      const std::size_t n = std::min(length - skip, out.size() - done);
      std::memcpy(out.data() + done, data_of(header) + skip, n);
      done += n;
      skip = 0;
    } else {
      skip -= length;
    }
    if (at_tail) break;
    header = header->next;
    if (header == nullptr) {
      at_tail = true;
      header = tail_ ? &tail_.meta() : nullptr;
    }
  }
  return done;
}

Frame ReceiveQueue::lend() {
  if (empty()) return {};
  Frame frame = queue_.empty() ? std::move(tail_) : queue_.pop_front();
  frame.trim_front(std::exchange(head_offset_, 0));
  bytes_ -= frame.size();
  return frame;
}

Instant ReceiveQueue::head_received_at() const { return empty() ? kNever : head()->received_at; }

void ReceiveQueue::clear() {
  queue_.clear();
  tail_.reset();
  bytes_ = 0;
  head_offset_ = 0;
  loose_ = false;
}

}  // namespace tapir::tcp
