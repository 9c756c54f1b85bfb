// SPDX-License-Identifier: Apache-2.0
#include "tcp/send_buffer.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "base/assert.h"

namespace tapir::tcp {
namespace {

// Bytes of chunks of one size kept for reuse, as FramePool keeps of each class. Without the limit one burst
// would hold its memory for ever.
constexpr std::size_t kFreeBytesMax = std::size_t{1} << 20;

constexpr std::size_t memory_of(std::size_t room) { return sizeof(Chunk) + room; }
constexpr std::size_t class_of(std::size_t room) {
  return room == kChunkBytes ? 0 : room == kSmallChunkBytes ? 1 : 2;
}

}  // namespace

ChunkPool::~ChunkPool() {
  TAPIR_INVARIANT(in_use_ == 0, "all chunks are back before their pool goes");
  for (Chunk*& head : free_) {
    while (head != nullptr) {
      Chunk* const chunk = std::exchange(head, head->next);
      ::operator delete(chunk, memory_of(chunk->room));
    }
  }
}

Chunk* ChunkPool::take(std::size_t room) {
  if (fail_countdown_ != 0 && --fail_countdown_ == 0) return nullptr;
  if (!budget_.charge(memory_of(room))) return nullptr;
  Chunk*& head = free_[class_of(room)];
  Chunk* chunk = head;
  if (chunk != nullptr) {
    head = chunk->next;
    --free_count_[class_of(room)];
    chunk->next = nullptr;
  } else {
    void* memory = ::operator new(memory_of(room), std::nothrow);
    if (memory == nullptr) {
      budget_.release(memory_of(room));
      return nullptr;
    }
    chunk = ::new (memory) Chunk;
    chunk->room = static_cast<std::uint32_t>(room);
  }
  ++in_use_;
  bytes_in_use_ += room;
  return chunk;
}

Chunk* ChunkPool::allocate(std::size_t capacity) {
  Chunk* chunk = take(capacity);
  if (chunk == nullptr) return nullptr;
  chunk->capacity = static_cast<std::uint32_t>(capacity);
  chunk->bytes = reinterpret_cast<std::uint8_t*>(chunk + 1);
  return chunk;
}

Chunk* ChunkPool::borrow(const std::uint8_t* bytes, Loan& loan) {
  Chunk* chunk = take(0);
  if (chunk == nullptr) return nullptr;
  chunk->capacity = 0;
  chunk->bytes = bytes;
  chunk->loan = &loan;
  ++loan.users;
  return chunk;
}

void ChunkPool::release(Chunk* chunk) {
  TAPIR_INVARIANT(in_use_ > 0, "a chunk is given back once");
  if (Loan* loan = std::exchange(chunk->loan, nullptr)) loan->end_use();
  const std::size_t room = chunk->room;
  --in_use_;
  bytes_in_use_ -= room;
  budget_.release(memory_of(room));
  std::size_t& kept = free_count_[class_of(room)];
  if ((kept + 1) * memory_of(room) > kFreeBytesMax) {
    ::operator delete(chunk, memory_of(room));
    return;
  }
  Chunk*& head = free_[class_of(room)];
  chunk->next = head;
  head = chunk;
  ++kept;
}

SendBuffer::~SendBuffer() { TAPIR_INVARIANT(front_ == nullptr, "a send buffer is released before it goes"); }

void SendBuffer::link(Chunk& chunk) {
  // The last one gets no more.
  if (back_ != nullptr) back_->capacity = back_filled_;
  (back_ == nullptr ? front_ : back_->next) = &chunk;
  back_ = &chunk;
  back_filled_ = 0;
}

std::size_t SendBuffer::append(Bytes bytes, ChunkPool& pool, Loan* loan) {
  if (loan != nullptr && append_borrowed(bytes, pool, *loan)) return bytes.size();
  std::size_t done = 0;
  while (done < bytes.size()) {
    if (back_ == nullptr || back_filled_ == back_->capacity) {
      const bool small = back_ == nullptr && bytes.size() - done <= kSmallChunkBytes;
      Chunk* chunk = pool.allocate(small ? kSmallChunkBytes : kChunkBytes);
      if (chunk == nullptr) break;
      link(*chunk);
    }
    const std::size_t n = std::min<std::size_t>(back_->capacity - back_filled_, bytes.size() - done);
    std::memcpy(const_cast<std::uint8_t*>(back_->bytes) + back_filled_, bytes.data() + done, n);
    back_filled_ += static_cast<std::uint32_t>(n);
    end_ += static_cast<std::uint32_t>(n);
    done += n;
  }
  return done;
}

bool SendBuffer::append_borrowed(Bytes bytes, ChunkPool& pool, Loan& loan) {
  const bool goes_on =
      back_ != nullptr && back_->loan == &loan && back_->bytes + back_->capacity == bytes.data();
  if (!goes_on) {
    if (bytes.size() < kLoanMin) return false;
    Chunk* chunk = pool.borrow(bytes.data(), loan);
    if (chunk == nullptr) return false;
    link(*chunk);
  }
  back_->capacity += static_cast<std::uint32_t>(bytes.size());
  back_filled_ = back_->capacity;
  end_ += static_cast<std::uint32_t>(bytes.size());
  return true;
}

void SendBuffer::acknowledge(SeqNum seq, ChunkPool& pool) {
  seq = min(seq, end_);  // a FIN's acknowledgement is one beyond the bytes
  if (seq <= begin_) return;
  std::size_t offset = front_offset_ + (seq - begin_);
  begin_ = seq;
  while (front_ != nullptr && (offset >= front_->capacity || empty())) {
    Chunk* chunk = front_;
    front_ = chunk->next;
    if (cursor_ == chunk) cursor_ = nullptr;
    offset -= std::min<std::size_t>(offset, chunk->capacity);
    pool.release(chunk);
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
    while (at - chunk_seq >= chunk->capacity) {
      chunk_seq += chunk->capacity;
      chunk = chunk->next;
    }
    if (out.payload_full()) break;
    const std::uint32_t offset = at - chunk_seq;
    const std::uint32_t n = std::min(chunk->capacity - offset, end - at);
    out.add_payload(Bytes(chunk->bytes + offset, n));
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
  back_filled_ = front_offset_ = 0;
  begin_ = end_;
}

}  // namespace tapir::tcp
