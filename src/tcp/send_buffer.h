// SPDX-License-Identifier: Apache-2.0
// The bytes from snd.una to write_seq, in pooled chunks that exist only while they hold bytes.
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
#include "base/seq_num.h"
#include "base/slab.h"
#include "frame/memory_budget.h"
#include "frame/outgoing_frame.h"

namespace tapir::tcp {

// Bytes of payload per chunk: one 64 KiB super-segment is then five spans at most.
inline constexpr std::size_t kChunkBytes = 16384;
// The first chunk of a buffer that begins with a small write: ten thousand short answers must not hold 16 KiB each.
inline constexpr std::size_t kSmallChunkBytes = 1024;

// Buffers of programs that are given at a time. Without a limit a program whose peers read nothing holds ever more records of them.
inline constexpr std::uint32_t kGivenBuffersMax = 4096;

// A program's own buffer that was given to be sent: nothing of it is copied, and it is the program's again when no chunk points into
// it and the call that gave it is over.
struct Given {
  std::uint32_t chunks = 0;            // that point into it
  bool over = false;                   // the call has given all it will
  bool listed = false;                 // waits in poll_given_back()
  Given* next = nullptr;               // there
};
// Less than this is copied: so that 64 KiB of the stream never need more spans than an OutgoingFrame has, whatever lies between.
inline constexpr std::size_t kGivenMin = 8192;

struct Chunk {
  Chunk* next = nullptr;
  std::uint32_t capacity = 0;          // bytes that count; of a chunk of its own less than it could hold once another's follow
  std::uint32_t room = 0;              // kChunkBytes or kSmallChunkBytes; 0: the bytes are a program's
  const std::uint8_t* lent = nullptr;  // those
  Given* given = nullptr;
  std::uint8_t* data();                // `capacity` of them
  const std::uint8_t* bytes() { return lent != nullptr ? lent : data(); }
};

// Chunks of all connections of a stack; last freed, first reused. Charges the budget for what is in use.
class ChunkPool {
 public:
  explicit ChunkPool(MemoryBudget& budget) : budget_(budget), given_(kGivenBuffersMax, budget.hook()) {}
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;
  ~ChunkPool();
  // `capacity`: one of the two sizes. Null: no memory.
  Chunk* allocate(std::size_t capacity = kChunkBytes);
  // A chunk over `bytes` of a program's. Null: no memory.
  Chunk* allocate(Bytes bytes, Given& given);
  void release(Chunk* chunk);
  // A buffer will be given; a null handle: too many are.
  Handle<Given> begin_given() { return given_.emplace(); }
  Given* given(Handle<Given> handle) { return given_.get(handle); }
  // The call that gave it is over. Then, or when its last chunk goes, poll_given_back() tells of it.
  void end_given(Given& given);
  // A given buffer that is the program's again, each once; null: none.
  Handle<Given> poll_given_back();
  std::size_t in_use() const { return in_use_; }              // chunks
  std::size_t bytes_in_use() const { return bytes_in_use_; }  // of payload they could hold
  void fail_after(std::uint64_t n) { fail_countdown_ = n; }

 private:
  MemoryBudget& budget_;
  std::array<Chunk*, 2> free_{};       // large, small
  std::array<std::size_t, 2> free_count_{};
  std::size_t in_use_ = 0;
  std::size_t bytes_in_use_ = 0;
  std::uint64_t fail_countdown_ = 0;
  Slab<Given> given_;
  Given* given_back_ = nullptr;
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
  // Takes the first `count` of `rest`, what is left of a given buffer, without copying; at least kGivenMin were given.
  std::size_t append_given(Bytes rest, std::size_t count, Given& given, ChunkPool& pool);
  // Drops the bytes before `seq`; frees chunks no longer needed.
  void acknowledge(SeqNum seq, ChunkPool& pool);
  // Adds [range) to the frame's payload as spans; stops when the frame has no more span slots; returns bytes added.
  std::size_t collect(SeqRange range, OutgoingFrame& out) const;
  void release_all(ChunkPool& pool);

 private:
  void seal();

  SeqNum begin_;
  SeqNum end_;
  std::uint32_t front_offset_ = 0;     // of begin_ in the first chunk
  std::uint32_t back_filled_ = 0;      // bytes used of the last chunk
  Chunk* front_ = nullptr;
  Chunk* back_ = nullptr;
  mutable Chunk* cursor_ = nullptr;    // where the last collect() ended: makes sending in order O(1)
  mutable SeqNum cursor_seq_;          // stream position of cursor_'s first byte
};

}  // namespace tapir::tcp
