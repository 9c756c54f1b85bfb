// SPDX-License-Identifier: Apache-2.0
#include "frame/frame_pool.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "base/assert.h"

namespace tapir::inline frame {
namespace {

// Buffers begin on a cache line.
constexpr std::size_t kAlign = 64;

constexpr std::size_t true_size_of(std::size_t frame_class) {
  return sizeof(FrameHeader) + kFrameHeadroom + kFrameClasses[frame_class];
}

}  // namespace

FramePool::~FramePool() {
  TAPIR_INVARIANT(in_use_ == 0, "no frame outlives its pool");
  trim();
}

std::size_t FramePool::class_of(const FrameHeader& header) {
  std::size_t frame_class = 0;
  while (kFrameClasses[frame_class] + kFrameHeadroom != header.capacity) ++frame_class;
  return frame_class;
}

Frame FramePool::allocate(std::size_t size) {
  if (fail_countdown_ != 0 && --fail_countdown_ == 0) return Frame();
  std::size_t frame_class = 0;
  while (frame_class < kFrameClasses.size() && kFrameClasses[frame_class] < size) ++frame_class;
  if (frame_class == kFrameClasses.size()) return Frame();
  const std::size_t true_size = true_size_of(frame_class);
  if (!budget_.charge(true_size)) return Frame();

  void* memory = free_[frame_class];
  if (memory != nullptr) {
    free_[frame_class] = free_[frame_class]->next;
    --free_counts_[frame_class];
  } else {
    memory = std::aligned_alloc(kAlign, (true_size + kAlign - 1) / kAlign * kAlign);
    if (memory == nullptr) {
      budget_.release(true_size);
      return Frame();
    }
  }
  auto* header = ::new (memory) FrameHeader;
  header->pool = this;
  header->capacity = static_cast<std::uint32_t>(kFrameHeadroom + kFrameClasses[frame_class]);
  header->begin = kFrameHeadroom;
  header->end = static_cast<std::uint32_t>(kFrameHeadroom + size);
  header->true_size = static_cast<std::uint32_t>(true_size);
  ++in_use_;
  return Frame(header);
}

Frame FramePool::copy(const Frame& other) {
  Frame made = copy(other.bytes());
  if (made) {
    FrameHeader& meta = made.meta();
    meta.received_at = other.meta().received_at;
    meta.interface = other.meta().interface;
    meta.checksum = other.meta().checksum;
    meta.gso = other.meta().gso;
  }
  return made;
}

Frame FramePool::copy(Bytes bytes) {
  Frame made = allocate(bytes.size());
  if (made && !bytes.empty()) std::memcpy(made.mutable_bytes().data(), bytes.data(), bytes.size());
  return made;
}

std::size_t FramePool::free_count() const {
  std::size_t count = 0;
  for (std::size_t n : free_counts_) count += n;
  return count;
}

void FramePool::trim() {
  for (std::size_t frame_class = 0; frame_class < kFrameClasses.size(); ++frame_class) {
    while (free_[frame_class] != nullptr) {
      FrameHeader* header = free_[frame_class];
      free_[frame_class] = header->next;
      std::free(header);
    }
    free_counts_[frame_class] = 0;
  }
}

void FramePool::release(FrameHeader* header) {
  TAPIR_INVARIANT(in_use_ != 0, "a frame goes back to its pool once");
  --in_use_;
  budget_.release(header->true_size);
  const std::size_t frame_class = class_of(*header);
  if ((free_counts_[frame_class] + 1) * header->true_size > kFreeBytesMax) {
    std::free(header);
    return;
  }
  header->next = free_[frame_class];
  free_[frame_class] = header;
  ++free_counts_[frame_class];
}

}  // namespace tapir::inline frame
