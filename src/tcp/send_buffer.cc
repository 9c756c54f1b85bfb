// SPDX-License-Identifier: Apache-2.0
#include "tcp/send_buffer.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "base/assert.h"

namespace tapir::tcp {
namespace {

constexpr std::size_t kChunkMemory = sizeof(Chunk) + kChunkBytes;
// Chunks kept for reuse, 1 MiB of them, as FramePool keeps of each class. Without the limit one burst would hold its memory
// for ever.
constexpr std::size_t kFreeChunksMax = 64;

}  // namespace

std::uint8_t* Chunk::data() { return reinterpret_cast<std::uint8_t*>(this + 1); }

ChunkPool::~ChunkPool() {
  TAPIR_INVARIANT(in_use_ == 0, "all chunks are back before their pool goes");
  while (free_ != nullptr) ::operator delete(std::exchange(free_, free_->next), kChunkMemory);
}

Chunk* ChunkPool::allocate() {
  if (fail_countdown_ != 0 && --fail_countdown_ == 0) return nullptr;
  if (!budget_.charge(kChunkMemory)) return nullptr;
  Chunk* chunk = free_;
  if (chunk != nullptr) {
    free_ = chunk->next;
    --free_count_;
    chunk->next = nullptr;
  } else {
    void* memory = ::operator new(kChunkMemory, std::nothrow);
    if (memory == nullptr) {
      budget_.release(kChunkMemory);
      return nullptr;
    }
    chunk = ::new (memory) Chunk;
  }
  ++in_use_;
  return chunk;
}

void ChunkPool::release(Chunk* chunk) {
  TAPIR_INVARIANT(in_use_ > 0, "a chunk is given back once");
  --in_use_;
  budget_.release(kChunkMemory);
  if (free_count_ == kFreeChunksMax) {
    ::operator delete(chunk, kChunkMemory);
    return;
  }
  chunk->next = free_;
  free_ = chunk;
  ++free_count_;
}

SendBuffer::~SendBuffer() { TAPIR_INVARIANT(front_ == nullptr, "a send buffer is released before it goes"); }

std::size_t SendBuffer::append(Bytes bytes, ChunkPool& pool) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::size_t filled = front_offset_ + size();
    std::size_t room = chunk_count_ * kChunkBytes - filled;
    if (room == 0) {
      Chunk* chunk = pool.allocate();
      if (chunk == nullptr) break;
      (back_ == nullptr ? front_ : back_->next) = chunk;
      back_ = chunk;
      ++chunk_count_;
      room = kChunkBytes;
    }
    const std::size_t n = std::min(room, bytes.size() - done);
    std::memcpy(back_->data() + (kChunkBytes - room), bytes.data() + done, n);
    end_ += static_cast<std::uint32_t>(n);
    done += n;
  }
  return done;
}

void SendBuffer::acknowledge(SeqNum seq, ChunkPool& pool) {
  seq = min(seq, end_);  // a FIN's acknowledgement is one beyond the bytes
  if (seq <= begin_) return;
  std::size_t offset = front_offset_ + (seq - begin_);
  begin_ = seq;
  while (front_ != nullptr && (offset >= kChunkBytes || empty())) {
    Chunk* chunk = front_;
    front_ = chunk->next;
    if (cursor_ == chunk) cursor_ = nullptr;
    pool.release(chunk);
    --chunk_count_;
    offset -= std::min(offset, kChunkBytes);
  }
  if (front_ == nullptr) {
    back_ = nullptr;
    offset = 0;
  }
  front_offset_ = static_cast<std::uint32_t>(offset);
}

std::size_t SendBuffer::collect(SeqRange range, OutgoingFrame& out) const {
  SeqNum at = max(range.begin, begin_);
  const SeqNum end = min(range.end, end_);
  if (!(at < end)) return 0;
  Chunk* chunk = front_;
  SeqNum chunk_seq = begin_ - front_offset_;
  // What is sent again lies before the cursor, and leaves it where new data goes on.
  const bool ahead = cursor_ == nullptr || cursor_seq_ <= at;
  if (cursor_ != nullptr && ahead) {
    chunk = cursor_;
    chunk_seq = cursor_seq_;
  }
  std::size_t added = 0;
  for (;;) {
    while (at - chunk_seq >= kChunkBytes) {
      chunk = chunk->next;
      chunk_seq += static_cast<std::uint32_t>(kChunkBytes);
    }
    if (out.payload_full()) break;
    const std::uint32_t offset = at - chunk_seq;
    const std::uint32_t n = std::min(static_cast<std::uint32_t>(kChunkBytes) - offset, end - at);
    out.add_payload(Bytes(chunk->data() + offset, n));
    at += n;
    added += n;
    if (at == end) break;
  }
  if (ahead) {
    cursor_ = chunk;
    cursor_seq_ = chunk_seq;
  }
  return added;
}

void SendBuffer::release_all(ChunkPool& pool) {
  while (front_ != nullptr) pool.release(std::exchange(front_, front_->next));
  back_ = cursor_ = nullptr;
  chunk_count_ = front_offset_ = 0;
  begin_ = end_;
}

}  // namespace tapir::tcp
