// SPDX-License-Identifier: Apache-2.0
// Objects of one type at stable addresses, named by handles that tell when the object they named is gone.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#include "base/assert.h"
#include "base/charge_hook.h"

namespace tapir::inline base {

// Names an object of a Slab<T>, or one that was. Generation 0 names nothing.
template <typename T>
struct Handle {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;

  constexpr explicit operator bool() const { return generation != 0; }
  friend constexpr bool operator==(const Handle&, const Handle&) = default;
  // Both halves in one word, as trace subjects and epoll data carry it.
  constexpr std::uint64_t packed() const { return static_cast<std::uint64_t>(generation) << 32 | index; }
  static constexpr Handle unpack(std::uint64_t word) {
    return {static_cast<std::uint32_t>(word), static_cast<std::uint32_t>(word >> 32)};
  }
};

// Costs 8 bytes per object besides the object (more only if T is aligned to more than 8), allocated in chunks
// of about 8 KiB, the lowest free chunk first. Which index is given next depends on the calls made alone,
// never on addresses. A handle stays unambiguous until its slot was used 2^31 times more.
template <typename T>
class Slab {
 public:
  // At most `limit` objects at a time: without a limit, whoever can make the stack create a T takes all
  // memory. `hook` is charged per chunk, and for the directory of chunks. `keeps_chunk`: the first chunk is
  // made now and kept to the end; for objects that come and go at every packet, so that a slab that is often
  // empty does not go to malloc each time.
  explicit Slab(std::uint32_t limit, ChargeHook hook = {}, bool keeps_chunk = false)
      : hook_(hook), limit_(limit) {
    if (keeps_chunk) kept_ = add_chunk() ? 1 : 0;
  }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  // Destroys what is left, in index order.
  ~Slab() {
    kept_ = 0;
    clear();
  }

  // A new object, or a null handle when the limit is reached or memory is refused. The object is get(handle).
  template <typename... Args>
  Handle<T> emplace(Args&&... args) {
    if (size_ == limit_) return {};
    if (available_ == kNone && !add_chunk()) {
      if (size_ == 0) trim();  // the directory may have been granted, and the chunk refused
      return {};
    }
    Chunk& chunk = *directory_[available_];
    const std::uint32_t chunk_index = available_;
    const std::uint32_t offset = chunk.free_head != kNone ? chunk.free_head : chunk.fresh;
    Slot& slot = chunk.slot(offset);
    if (chunk.free_head != kNone) {
      chunk.free_head = slot.index;
    } else {
      ++chunk.fresh;
      slot.generation = generation_floor_;
    }
    ++slot.generation;
    slot.index = chunk_index * kSlotsPerChunk + offset;
    ++size_;
    if (++chunk.live == kSlotsPerChunk) available_ = chunk.next_available;
    ::new (static_cast<void*>(slot.storage)) T(std::forward<Args>(args)...);
    return {slot.index, slot.generation};
  }

  // The object that `handle` names, or null when it is gone (or never was).
  T* get(Handle<T> handle) { return const_cast<T*>(std::as_const(*this).get(handle)); }
  const T* get(Handle<T> handle) const {
    const Slot* slot = find(handle.index);
    return slot != nullptr && slot->generation == handle.generation && slot->live() ? slot->object()
                                                                                    : nullptr;
  }
  // The live object at `index`, or null.
  T* at(std::uint32_t index) { return const_cast<T*>(std::as_const(*this).at(index)); }
  const T* at(std::uint32_t index) const {
    const Slot* slot = find(index);
    return slot != nullptr && slot->live() ? slot->object() : nullptr;
  }
  // The handle of a live object of this slab.
  Handle<T> handle_of(const T& object) const {
    const Slot& slot = slot_of(object);
    TAPIR_INVARIANT(slot.live(), "only live objects have handles");
    return {slot.index, slot.generation};
  }

  // Destroys the object; false when it was gone already. The destructor must not call this slab.
  bool erase(Handle<T> handle) {
    T* object = get(handle);
    if (object == nullptr) return false;
    erase(*object);
    return true;
  }
  void erase(T& object) {
    Slot& slot = slot_of(object);
    TAPIR_INVARIANT(slot.live(), "an object dies once");
    const std::uint32_t index = slot.index;
    object.~T();
    ++slot.generation;
    Chunk& chunk = *directory_[index / kSlotsPerChunk];
    if (chunk.live-- == kSlotsPerChunk) {
      chunk.next_available = available_;
      available_ = index / kSlotsPerChunk;
    }
    slot.index = chunk.free_head;
    chunk.free_head = index % kSlotsPerChunk;
    if (--size_ == 0 && chunks_ > kept_) trim();
  }
  // Destroys everything and gives all memory back, but the chunk that is kept.
  void clear() {
    for (std::uint32_t c = 0; c < directory_size_ && size_ != 0; ++c) {
      if (directory_[c] == nullptr) continue;
      for (std::uint32_t i = 0; i < directory_[c]->fresh; ++i) {
        Slot& slot = directory_[c]->slot(i);
        if (!slot.live()) continue;
        slot.object()->~T();
        ++slot.generation;
        --directory_[c]->live;
        --size_;
      }
    }
    trim();
  }

  // Gives the memory of empty chunks back. Happens by itself when the last object goes. What is kept stays.
  void trim() {
    available_ = kNone;
    for (std::uint32_t c = directory_size_; c-- > 0;) {
      Chunk* chunk = directory_[c];
      if (chunk == nullptr || chunk->live == kSlotsPerChunk) continue;
      if (chunk->live != 0) {
        chunk->next_available = available_;
        available_ = c;
        continue;
      }
      // Later objects of these indices must not be mistaken for the ones that were here.
      for (std::uint32_t i = 0; i < chunk->fresh; ++i)
        if (chunk->slot(i).generation > generation_floor_) generation_floor_ = chunk->slot(i).generation;
      if (c < kept_) {
        *chunk = {};
        chunk->next_available = available_;
        available_ = c;
        continue;
      }
      ::operator delete(chunk, kChunkBytes, std::align_val_t{kChunkAlign});
      hook_.give_back(kChunkBytes);
      directory_[c] = nullptr;
      --chunks_;
    }
    if (size_ == 0 && kept_ == 0 && directory_ != nullptr) {
      delete[] directory_;
      hook_.give_back(directory_size_ * sizeof(Chunk*));
      directory_ = nullptr;
      directory_size_ = 0;
    }
  }

  std::uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::uint32_t limit() const { return limit_; }
  // What is in the slab already stays, even over a lower limit.
  void set_limit(std::uint32_t limit) { limit_ = limit < size_ ? size_ : limit; }
  // Bytes held from the system (and charged).
  std::size_t allocated_bytes() const {
    std::size_t bytes = directory_size_ * sizeof(Chunk*);
    for (std::uint32_t c = 0; c < directory_size_; ++c)
      if (directory_[c] != nullptr) bytes += kChunkBytes;
    return bytes;
  }

  // Calls `visit(T&)` for each object in index order. It may erase the object it is given, and no other;
  // objects made meanwhile may or may not be visited.
  template <typename Visit>
  void for_each(Visit&& visit) {
    for (std::uint32_t c = 0; c < directory_size_; ++c)
      for (std::uint32_t i = 0; c < directory_size_ && directory_[c] != nullptr && i < directory_[c]->fresh;
           ++i)
        if (Slot& slot = directory_[c]->slot(i); slot.live()) visit(*slot.object());
  }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    const_cast<Slab*>(this)->for_each([&](T& object) { visit(std::as_const(object)); });
  }

 private:
  static constexpr std::uint32_t kNone = 0xffffffff;

  struct Slot {
    alignas(T) std::byte storage[sizeof(T)];
    std::uint32_t generation;  // odd while an object lives here
    std::uint32_t
        index;  // of this slot in the slab; while free, the offset of the next free one in the chunk

    bool live() const { return (generation & 1) != 0; }
    T* object() { return std::launder(reinterpret_cast<T*>(storage)); }
    const T* object() const { return std::launder(reinterpret_cast<const T*>(storage)); }
  };
  static_assert(std::is_standard_layout_v<Slot>, "an object's address is its slot's");

  // Memory per chunk: small enough for a thousand small stacks in a process, large enough to amortise malloc.
  static constexpr std::size_t kChunkTarget = 8192;
  static constexpr std::uint32_t kSlotsPerChunk =
      sizeof(Slot) * 8 > kChunkTarget
          ? 8
          : static_cast<std::uint32_t>(std::bit_floor(kChunkTarget / sizeof(Slot)));

  struct Chunk {
    std::uint32_t live = 0;                // objects in it
    std::uint32_t fresh = 0;               // slots from here on were never used
    std::uint32_t free_head = kNone;       // offset of the slot freed last
    std::uint32_t next_available = kNone;  // the next chunk with a free slot

    Slot& slot(std::uint32_t offset) {
      return *reinterpret_cast<Slot*>(reinterpret_cast<std::byte*>(this) + kHeaderBytes +
                                      offset * sizeof(Slot));
    }
  };
  static constexpr std::size_t kChunkAlign = alignof(Slot) > alignof(Chunk) ? alignof(Slot) : alignof(Chunk);
  static constexpr std::size_t kHeaderBytes =
      (sizeof(Chunk) + alignof(Slot) - 1) / alignof(Slot) * alignof(Slot);
  static constexpr std::size_t kChunkBytes = kHeaderBytes + kSlotsPerChunk * sizeof(Slot);

  static Slot& slot_of(const T& object) {
    return *reinterpret_cast<Slot*>(
        reinterpret_cast<std::byte*>(const_cast<std::remove_const_t<T>*>(&object)));
  }
  const Slot* find(std::uint32_t index) const {
    const std::uint32_t c = index / kSlotsPerChunk;
    if (c >= directory_size_ || directory_[c] == nullptr || index % kSlotsPerChunk >= directory_[c]->fresh)
      return nullptr;
    return &directory_[c]->slot(index % kSlotsPerChunk);
  }

  // Called when no chunk has a free slot.
  bool add_chunk() {
    std::uint32_t c = 0;
    while (c < directory_size_ && directory_[c] != nullptr) ++c;
    if (c == directory_size_ && !grow_directory()) return false;
    if (!hook_.take(kChunkBytes)) return false;
    void* memory = ::operator new(kChunkBytes, std::align_val_t{kChunkAlign}, std::nothrow);
    if (memory == nullptr) {
      hook_.give_back(kChunkBytes);
      return false;
    }
    directory_[c] = ::new (memory) Chunk;
    available_ = c;
    ++chunks_;
    return true;
  }
  bool grow_directory() {
    const std::uint32_t size = directory_size_ == 0 ? 4 : directory_size_ * 2;
    if (!hook_.take(size * sizeof(Chunk*))) return false;
    Chunk** grown = new (std::nothrow) Chunk*[size]();
    if (grown == nullptr) {
      hook_.give_back(size * sizeof(Chunk*));
      return false;
    }
    if (directory_size_ != 0) std::memcpy(grown, directory_, directory_size_ * sizeof(Chunk*));
    delete[] directory_;
    hook_.give_back(directory_size_ * sizeof(Chunk*));
    directory_ = grown;
    directory_size_ = size;
    return true;
  }

  ChargeHook hook_;
  Chunk** directory_ = nullptr;
  std::uint32_t directory_size_ = 0;
  std::uint32_t available_ = kNone;  // the first chunk with a free slot
  std::uint32_t size_ = 0;
  std::uint32_t limit_;
  std::uint32_t generation_floor_ = 0;  // where the generations of new chunks start; even
  std::uint32_t chunks_ = 0;
  std::uint32_t kept_ = 0;  // chunks, the first, that trim() leaves
};

}  // namespace tapir::inline base
