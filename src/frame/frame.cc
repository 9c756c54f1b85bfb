// SPDX-License-Identifier: Apache-2.0
#include "frame/frame.h"

#include "base/assert.h"
#include "frame/frame_pool.h"

namespace tapir::inline frame {

void Frame::give_back() {
  FrameHeader* header = std::exchange(header_, nullptr);
  header->pool->release(header);
}

void Frame::trim_front(std::size_t n) {
  TAPIR_INVARIANT(n <= size(), "a frame is trimmed by no more than it holds");
  header_->begin += static_cast<std::uint32_t>(n);
}

void Frame::trim_back(std::size_t n) {
  TAPIR_INVARIANT(n <= size(), "a frame is trimmed by no more than it holds");
  header_->end -= static_cast<std::uint32_t>(n);
}

MutableBytes Frame::push_front(std::size_t n) {
  TAPIR_INVARIANT(n <= headroom(), "what is put in front fits the headroom");
  header_->begin -= static_cast<std::uint32_t>(n);
  return mutable_bytes().first(n);
}

MutableBytes Frame::push_back(std::size_t n) {
  TAPIR_INVARIANT(n <= tailroom(), "what is put behind fits the tailroom");
  header_->end += static_cast<std::uint32_t>(n);
  return mutable_bytes().last(n);
}

FrameQueue::FrameQueue(FrameQueue&& other) noexcept
    : head_(std::exchange(other.head_, nullptr)),
      tail_(std::exchange(other.tail_, nullptr)),
      count_(std::exchange(other.count_, 0)),
      bytes_(std::exchange(other.bytes_, 0)),
      true_size_(std::exchange(other.true_size_, 0)) {}

FrameQueue& FrameQueue::operator=(FrameQueue&& other) noexcept {
  if (this != &other) {
    clear();
    head_ = std::exchange(other.head_, nullptr);
    tail_ = std::exchange(other.tail_, nullptr);
    count_ = std::exchange(other.count_, 0);
    bytes_ = std::exchange(other.bytes_, 0);
    true_size_ = std::exchange(other.true_size_, 0);
  }
  return *this;
}

void FrameQueue::push_back(Frame frame) {
  TAPIR_INVARIANT(frame.header_ != nullptr, "only frames are queued");
  FrameHeader* header = std::exchange(frame.header_, nullptr);
  header->next = nullptr;
  (tail_ == nullptr ? head_ : tail_->next) = header;
  tail_ = header;
  ++count_;
  bytes_ += header->end - header->begin;
  true_size_ += header->true_size;
}

Frame FrameQueue::pop_front() {
  if (head_ == nullptr) return Frame();
  FrameHeader* header = head_;
  head_ = std::exchange(header->next, nullptr);
  if (head_ == nullptr) tail_ = nullptr;
  --count_;
  bytes_ -= header->end - header->begin;
  true_size_ -= header->true_size;
  return Frame(header);
}

void FrameQueue::clear() {
  while (head_ != nullptr) pop_front();
}

}  // namespace tapir::inline frame
