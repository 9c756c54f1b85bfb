// SPDX-License-Identifier: Apache-2.0
// The bytes from snd.una to write_seq, in pooled chunks that exist only while they hold bytes.
//
//        snd.una                    snd.nxt              write_seq
//           | sent, unacknowledged     | not yet sent        |
//   [ chunk 16K ][ chunk 16K ][ chunk 16K ][ chunk 16K      ]
//           ^ front offset                                   ^ back fill
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/seq_num.h"
#include "frame/memory_budget.h"
#include "frame/outgoing_frame.h"

namespace tapir::tcp {

// Bytes of payload per chunk: one 64 KiB super-segment is then five spans at most.
inline constexpr std::size_t kChunkBytes = 16384;

struct Chunk {
  Chunk* next = nullptr;
  std::uint8_t* data();                // kChunkBytes of them
};

// Chunks of all connections of a stack; last freed, first reused. Charges the budget for what is in use.
class ChunkPool {
 public:
  explicit ChunkPool(MemoryBudget& budget) : budget_(budget) {}
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;
  ~ChunkPool();
  Chunk* allocate();                   // null: no memory
  void release(Chunk* chunk);
  std::size_t in_use() const { return in_use_; }
  void fail_after(std::uint64_t n) { fail_countdown_ = n; }

 private:
  MemoryBudget& budget_;
  Chunk* free_ = nullptr;
  std::size_t free_count_ = 0;
  std::size_t in_use_ = 0;
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

  // Copies (the one copy) as much of `bytes` as memory allows; returns how many bytes.
  std::size_t append(Bytes bytes, ChunkPool& pool);
  // Drops the bytes before `seq`; frees chunks no longer needed.
  void acknowledge(SeqNum seq, ChunkPool& pool);
  // Adds [range) to the frame's payload as spans; stops when the frame has no more span slots; returns bytes added.
  std::size_t collect(SeqRange range, OutgoingFrame& out) const;
  void release_all(ChunkPool& pool);

 private:
  SeqNum begin_;
  SeqNum end_;
  std::uint32_t front_offset_ = 0;     // of begin_ in the first chunk
  std::uint32_t chunk_count_ = 0;
  Chunk* front_ = nullptr;
  Chunk* back_ = nullptr;
  mutable Chunk* cursor_ = nullptr;    // where the last collect() ended: makes sending in order O(1)
  mutable SeqNum cursor_seq_;          // stream position of cursor_'s first byte
};

}  // namespace tapir::tcp
