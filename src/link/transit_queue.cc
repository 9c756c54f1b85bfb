// SPDX-License-Identifier: Apache-2.0
#include "link/transit_queue.h"

#include <algorithm>
#include <cstring>

#include "link/device.h"

namespace tapir::link {

namespace {

// What FramePool charges for a frame of `size` bytes.
std::size_t frame_cost(std::size_t size) {
  const auto fits =
      std::ranges::find_if(kFrameClasses, [size](std::uint32_t frame_class) { return frame_class >= size; });
  const std::size_t bytes = fits == kFrameClasses.end() ? kFrameClasses.back() : *fits;
  return sizeof(FrameHeader) + kFrameHeadroom + bytes;
}

}  // namespace

TransitQueue::TransitQueue(std::size_t frames_max, std::size_t bytes_max, std::size_t frame_max)
    : frames_max_(frames_max), frame_cost_(frame_cost(frame_max)), budget_(bytes_max), pool_(budget_) {}

std::size_t TransitQueue::room() const {
  return std::min(frames_max_ - queue_.count(), (budget_.limit() - budget_.used()) / frame_cost_);
}

bool TransitQueue::push(const OutgoingFrame& frame, Instant now) {
  if (queue_.count() >= frames_max_) return false;
  Frame copy = pool_.allocate(frame.size());
  if (!copy) return false;
  frame.copy_to(copy.mutable_bytes());
  FrameHeader& meta = copy.meta();
  meta.received_at = now;
  meta.checksum = frame.checksum.wanted ? ChecksumState::kPartial : ChecksumState::kNone;
  meta.gso = frame.gso;
  queue_.push_back(std::move(copy));
  return true;
}

std::size_t TransitQueue::drain(std::span<Frame> batch, FramePool& pool, Instant now) {
  std::size_t count = 0;
  std::size_t bytes = 0;
  retry_at_ = Instant::min();
  while (count < batch.size() && !queue_.empty() && bytes < kTurnBytesMax) {
    const std::size_t size = queue_.front()->end - queue_.front()->begin;
    Frame copy = pool.allocate(size);
    if (!copy) {
      retry_at_ = later(now, kTransitRetry);
      break;
    }
    const Frame source = queue_.pop_front();
    if (size != 0) std::memcpy(copy.mutable_bytes().data(), source.bytes().data(), size);
    FrameHeader& meta = copy.meta();
    meta.received_at = now;
    meta.checksum = source.meta().checksum;
    meta.gso = source.meta().gso;
    batch[count++] = std::move(copy);
    bytes += size;
  }
  return count;
}

}  // namespace tapir::link
