// SPDX-License-Identifier: Apache-2.0
// The bytes from snd.una to write_seq, in pooled chunks that exist only while they hold bytes; or borrowed,
// where they are.
//
//        snd.una                    snd.nxt              write_seq
//           | sent, unacknowledged     | not yet sent        |
//   [ chunk 16K ][ chunk 16K ][ chunk 16K ][ chunk 16K      ]
//           ^ front offset                                   ^ back fill
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/loan.h"
#include "base/seq_num.h"
#include "frame/memory_budget.h"
#include "frame/outgoing_frame.h"

namespace tapir::tcp {

// Bytes of payload per chunk: one 64 KiB super-segment is then five spans at most.
inline constexpr std::size_t kChunkBytes = 16384;
// The first chunk of a buffer that begins with a small write: ten thousand short answers must not hold 16 KiB
// each.
inline constexpr std::size_t kSmallChunkBytes = 1024;

struct Chunk {
  Chunk* next = nullptr;
  std::uint32_t capacity = 0;  // bytes it holds once another follows
  std::uint32_t room = 0;      // kChunkBytes or kSmallChunkBytes, behind it; 0: it points at borrowed bytes
  const std::uint8_t* bytes = nullptr;  // `capacity` of them
  Loan* loan = nullptr;                 // of borrowed bytes
};

// Chunks of all connections of a stack; last freed, first reused. Charges the budget for what is in use.
class ChunkPool {
 public:
  explicit ChunkPool(MemoryBudget& budget) : budget_(budget) {}
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;
  ~ChunkPool();
  // `capacity`: one of the two sizes. Null: no memory.
  Chunk* allocate(std::size_t capacity = kChunkBytes);
  // One that points at borrowed bytes, none yet, and counts as a user of the loan. Null: no memory.
  Chunk* borrow(const std::uint8_t* bytes, Loan& loan);
  void release(Chunk* chunk);
  std::size_t in_use() const { return in_use_; }              // chunks
  std::size_t bytes_in_use() const { return bytes_in_use_; }  // of payload they could hold
  void fail_after(std::uint64_t n) { fail_countdown_ = n; }

 private:
  Chunk* take(std::size_t room);

  MemoryBudget& budget_;
  std::array<Chunk*, 3> free_{};  // large, small, borrowing
  std::array<std::size_t, 3> free_count_{};
  std::size_t in_use_ = 0;
  std::size_t bytes_in_use_ = 0;
  std::uint64_t fail_countdown_ = 0;
};

class SendBuffer {
 public:
  SendBuffer() = default;
  SendBuffer(const SendBuffer&) = delete;
  SendBuffer& operator=(const SendBuffer&) = delete;
  // The owner calls release_all() first: a buffer does not know its pool.
  ~SendBuffer();

  // Stream position of the first byte held (snd.una's, not counting a SYN), set once before the first append.
  void start(SeqNum first) { begin_ = end_ = first; }
  SeqNum begin() const { return begin_; }
  SeqNum end() const { return end_; }
  std::size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }

  // Copies (the one copy) as much of `bytes` as memory allows; returns how many bytes. With a loan it points
  // at them instead, when they are kLoanMin or more, or go on where the last ones that it points at ended.
  std::size_t append(Bytes bytes, ChunkPool& pool, Loan* loan = nullptr);
  // Drops the bytes before `seq`; frees chunks no longer needed.
  void acknowledge(SeqNum seq, ChunkPool& pool);
  // Adds [range) to the frame's payload as spans; stops when the frame has no more span slots; returns bytes
  // added.
  std::size_t collect(SeqRange range, OutgoingFrame& out) const;
  void release_all(ChunkPool& pool);

 private:
  bool append_borrowed(Bytes bytes, ChunkPool& pool, Loan& loan);
  void link(Chunk& chunk);

  SeqNum begin_;
  SeqNum end_;
  std::uint32_t front_offset_ = 0;  // of begin_ in the first chunk
  std::uint32_t back_filled_ = 0;   // bytes used of the last chunk
  Chunk* front_ = nullptr;
  Chunk* back_ = nullptr;
  mutable Chunk* cursor_ = nullptr;  // where the last collect() ended: makes sending in order O(1)
  mutable SeqNum cursor_seq_;        // stream position of cursor_'s first byte
};

}  // namespace tapir::tcp
