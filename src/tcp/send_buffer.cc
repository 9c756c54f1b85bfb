// SPDX-License-Identifier: Apache-2.0
#include "tcp/send_buffer.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "base/assert.h"

namespace tapir::tcp {
namespace {

// Bytes of chunks of one size kept for reuse, as FramePool keeps of each class. Without the limit one burst would hold its
// memory for ever.
constexpr std::size_t kFreeBytesMax = std::size_t{1} << 20;

constexpr std::size_t memory_of(std::size_t capacity) { return sizeof(Chunk) + capacity; }
constexpr std::size_t class_of(std::size_t capacity) { return capacity == kChunkBytes ? 0 : 1; }

}  // namespace

std::uint8_t* Chunk::data() { return reinterpret_cast<std::uint8_t*>(this + 1); }

ChunkPool::~ChunkPool() {
  TAPIR_INVARIANT(in_use_ == 0, "all chunks are back before their pool goes");
  for (Chunk*& head : free_) {
    while (head != nullptr) {
      Chunk* const chunk = std::exchange(head, head->next);
      ::operator delete(chunk, memory_of(chunk->room));
    }
  }
}

Chunk* ChunkPool::allocate(std::size_t capacity) {
  if (fail_countdown_ != 0 && --fail_countdown_ == 0) return nullptr;
  if (!budget_.charge(memory_of(capacity))) return nullptr;
  Chunk*& head = free_[class_of(capacity)];
  Chunk* chunk = head;
  if (chunk != nullptr) {
    head = chunk->next;
    --free_count_[class_of(capacity)];
    chunk->next = nullptr;
  } else {
    void* memory = ::operator new(memory_of(capacity), std::nothrow);
    if (memory == nullptr) {
      budget_.release(memory_of(capacity));
      return nullptr;
    }
    chunk = ::new (memory) Chunk;
    chunk->room = static_cast<std::uint32_t>(capacity);
  }
  chunk->capacity = chunk->room;
  ++in_use_;
  bytes_in_use_ += capacity;
  return chunk;
}

Chunk* ChunkPool::allocate(Bytes bytes, Given& given) {
  if (!budget_.charge(sizeof(Chunk))) return nullptr;
  auto* chunk = new (std::nothrow) Chunk;
  if (chunk == nullptr) {
    budget_.release(sizeof(Chunk));
    return nullptr;
  }
  chunk->capacity = static_cast<std::uint32_t>(bytes.size());
  chunk->lent = bytes.data();
  chunk->given = &given;
  ++given.chunks;
  ++in_use_;
  return chunk;
}

void ChunkPool::end_given(Given& given) {
  given.over = true;
  if (given.chunks != 0 || given.listed) return;
  given.listed = true;
  given.next = std::exchange(given_back_, &given);
}

Handle<Given> ChunkPool::poll_given_back() {
  Given* const given = given_back_;
  if (given == nullptr) return {};
  given_back_ = given->next;
  const Handle<Given> handle = given_.handle_of(*given);
  given_.erase(*given);
  return handle;
}

void ChunkPool::release(Chunk* chunk) {
  TAPIR_INVARIANT(in_use_ > 0, "a chunk is given back once");
  const std::size_t capacity = chunk->room;
  --in_use_;
  if (chunk->given != nullptr) {
    Given& given = *chunk->given;
    budget_.release(sizeof(Chunk));
    delete chunk;
    if (--given.chunks == 0 && given.over) end_given(given);
    return;
  }
  bytes_in_use_ -= capacity;
  budget_.release(memory_of(capacity));
  std::size_t& kept = free_count_[class_of(capacity)];
  if ((kept + 1) * capacity > kFreeBytesMax) {
    ::operator delete(chunk, memory_of(capacity));
    return;
  }
  Chunk*& head = free_[class_of(capacity)];
  chunk->next = head;
  head = chunk;
  ++kept;
}

SendBuffer::~SendBuffer() { TAPIR_INVARIANT(front_ == nullptr, "a send buffer is released before it goes"); }

std::size_t SendBuffer::append(Bytes bytes, ChunkPool& pool) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    if (back_ == nullptr || back_filled_ == back_->capacity || back_->given != nullptr) {
      seal();
      const bool small = back_ == nullptr && bytes.size() - done <= kSmallChunkBytes;
      Chunk* chunk = pool.allocate(small ? kSmallChunkBytes : kChunkBytes);
      if (chunk == nullptr) break;
      (back_ == nullptr ? front_ : back_->next) = chunk;
      back_ = chunk;
      back_filled_ = 0;
    }
    const std::size_t n = std::min<std::size_t>(back_->capacity - back_filled_, bytes.size() - done);
    std::memcpy(back_->data() + back_filled_, bytes.data() + done, n);
    back_filled_ += static_cast<std::uint32_t>(n);
    end_ += static_cast<std::uint32_t>(n);
    done += n;
  }
  return done;
}

// What is behind the last chunk's bytes will be another chunk's.
void SendBuffer::seal() {
  if (back_ != nullptr) back_->capacity = back_filled_;
}

std::size_t SendBuffer::append_given(Bytes rest, std::size_t count, Given& given, ChunkPool& pool) {
  const bool continues = back_ != nullptr && back_->given == &given && back_->lent + back_filled_ == rest.data();
  if (!continues) {
    Chunk* const chunk = pool.allocate(rest, given);
    if (chunk == nullptr) return 0;
    seal();
    (back_ == nullptr ? front_ : back_->next) = chunk;
    back_ = chunk;
    back_filled_ = 0;
  }
  back_filled_ += static_cast<std::uint32_t>(count);
  end_ += static_cast<std::uint32_t>(count);
  return count;
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
    out.add_payload(Bytes(chunk->bytes() + offset, n));
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
