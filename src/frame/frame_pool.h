// SPDX-License-Identifier: Apache-2.0
// Where frames come from and go back to: size classes of 256 B, 2 KiB, 16 KiB and 64 KiB, last freed first
// reused.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "frame/frame.h"
#include "frame/memory_budget.h"

namespace tapir::inline frame {

// Bytes before the payload that every frame from `allocate` leaves free, for headers pushed in front.
inline constexpr std::size_t kFrameHeadroom = 64;
// Payload bytes per class (headroom comes on top).
inline constexpr std::array<std::uint32_t, 4> kFrameClasses = {256, 2048, 16384, 65536 + 512};
// Bytes kept per class for reuse, beyond what is in use; more goes back to the system. Without it one burst
// of large frames would hold its memory for ever.
inline constexpr std::size_t kFreeBytesMax = 1024 * 1024;

class FramePool {
 public:
  // Frames in use are charged to `budget` with all their bytes (header, headroom and class); frames kept free
  // are not.
  explicit FramePool(MemoryBudget& budget) : budget_(budget) {}
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;
  // All frames must be back: a frame outliving its pool is our bug.
  ~FramePool();

  // A frame of the smallest class that holds `size` bytes, size() == `size`, bytes undefined; an empty Frame
  // when the budget (or memory) says no, or when size exceeds the largest class.
  Frame allocate(std::size_t size);
  // A frame of the smallest class with a copy of the bytes, and of another frame's stamps (arrival,
  // interface, checksum state, gso). Empty as allocate().
  Frame copy(const Frame& other);
  Frame copy(Bytes bytes);

  std::size_t in_use() const { return in_use_; }  // frames handed out
  std::size_t free_count() const;                 // frames kept for reuse, of all classes
  // Gives kept buffers back to the system.
  void trim();
  // For tests: the n-th allocation from now fails (1 = the next), once.
  void fail_after(std::uint64_t n) { fail_countdown_ = n; }

 private:
  friend class Frame;
  void release(FrameHeader* header);
  static std::size_t class_of(const FrameHeader& header);

  MemoryBudget& budget_;
  std::array<FrameHeader*, kFrameClasses.size()> free_{};  // per class, last freed first
  std::array<std::size_t, kFrameClasses.size()> free_counts_{};
  std::size_t in_use_ = 0;
  std::uint64_t fail_countdown_ = 0;
};

}  // namespace tapir::inline frame
