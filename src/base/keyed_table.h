// SPDX-License-Identifier: Apache-2.0
// A hash index: from a keyed 64-bit hash to small numbers (a slab's indices). The keys stay with their
// owners.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/charge_hook.h"

namespace tapir::inline base {

// Open addressing with Robin Hood probing and backward-shift deletion: no tombstones, 8 bytes a slot, at most
// 7/8 full. The hash must be keyed with a secret, or a peer chooses who collides. Nothing tells the order of
// the slots: no answer depends on it, save which of several values with equal keys is found first.
template <std::unsigned_integral Value = std::uint32_t>
class KeyedTable {
  static_assert(sizeof(Value) == 4, "a slot is a tag and an index");

 public:
  // Not a value: marks an empty slot.
  static constexpr Value kNoValue = static_cast<Value>(-1);

  // Holds at most `limit` values; `hook` is charged for the slots.
  explicit KeyedTable(std::size_t limit, ChargeHook hook = {}) : hook_(hook), limit_(limit) {}
  KeyedTable(const KeyedTable&) = delete;
  KeyedTable& operator=(const KeyedTable&) = delete;
  ~KeyedTable() { clear(); }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::size_t limit() const { return limit_; }
  std::size_t capacity() const { return capacity_; }

  // The value inserted with `hash` for which `matches(value)` holds. `matches` is asked only when 32 bits of
  // hash agree.
  template <std::predicate<Value> Matches>
  std::optional<Value> find(std::uint64_t hash, Matches&& matches) const {
    if (size_ == 0) return std::nullopt;
    const std::uint32_t tag = tag_of(hash);
    std::size_t at = tag & mask();
    for (std::size_t distance = 0;; ++distance, at = (at + 1) & mask()) {
      const Slot& slot = slots_[at];
      // Robin Hood: whoever sits here is nearer to home than we would be, so we are not in the table.
      if (slot.value == kNoValue || distance_of(slot, at) < distance) return std::nullopt;
      if (slot.tag == tag && matches(slot.value)) return slot.value;
    }
  }

  // False when the limit is reached, or memory is refused and the table is full. Equal hashes may be
  // inserted.
  bool insert(std::uint64_t hash, Value value) {
    TAPIR_INVARIANT(value != kNoValue, "the value that marks empty slots is not stored");
    if (size_ >= limit_) return false;
    if (size_ + 1 > most_in(capacity_) && !resize(capacity_ == 0 ? kCapacityMin : capacity_ * 2))
      return false;
    place({tag_of(hash), value});
    ++size_;
    return true;
  }

  // Takes out the value inserted with `hash`; false when it is not there.
  bool erase(std::uint64_t hash, Value value) {
    if (size_ == 0) return false;
    const std::uint32_t tag = tag_of(hash);
    std::size_t at = tag & mask();
    for (std::size_t distance = 0;; ++distance, at = (at + 1) & mask()) {
      if (slots_[at].value == kNoValue || distance_of(slots_[at], at) < distance) return false;
      if (slots_[at].tag == tag && slots_[at].value == value) break;
    }
    // What follows moves a step towards home, up to an empty slot or one that is at home.
    for (;;) {
      const std::size_t next = (at + 1) & mask();
      if (slots_[next].value == kNoValue || distance_of(slots_[next], next) == 0) break;
      slots_[at] = slots_[next];
      at = next;
    }
    slots_[at].value = kNoValue;
    --size_;
    if (size_ == 0) {
      clear();
    } else if (capacity_ > kCapacityMin && size_ < capacity_ / 8) {
      resize(capacity_ / 4);  // refused memory only means that the larger table stays
    }
    return true;
  }

  // Forgets everything and gives the memory back.
  void clear() {
    if (slots_ == nullptr) return;
    delete[] slots_;
    hook_.give_back(capacity_ * sizeof(Slot));
    slots_ = nullptr;
    capacity_ = size_ = 0;
  }

  // For tests: how many slots the longest search looks at.
  std::size_t longest_probe() const {
    std::size_t longest = 0;
    for (std::size_t at = 0; at < capacity_; ++at)
      if (slots_[at].value != kNoValue && distance_of(slots_[at], at) + 1 > longest)
        longest = distance_of(slots_[at], at) + 1;
    return longest;
  }

 private:
  struct Slot {
    std::uint32_t tag = 0;  // 32 bits of the hash; its low bits are the home slot
    Value value = kNoValue;
  };
  static constexpr std::size_t kCapacityMin = 16;

  // Both halves of the hash take part, whatever the caller uses elsewhere.
  static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash ^ (hash >> 32)); }
  static std::size_t most_in(std::size_t capacity) { return capacity - capacity / 8; }
  std::size_t mask() const { return capacity_ - 1; }
  std::size_t distance_of(const Slot& slot, std::size_t at) const { return (at - slot.tag) & mask(); }

  void place(Slot coming) {
    std::size_t at = coming.tag & mask();
    for (std::size_t distance = 0;; ++distance, at = (at + 1) & mask()) {
      Slot& slot = slots_[at];
      if (slot.value == kNoValue) {
        slot = coming;
        return;
      }
      if (const std::size_t theirs = distance_of(slot, at); theirs < distance) {
        std::swap(slot, coming);
        distance = theirs;
      }
    }
  }

  bool resize(std::size_t capacity) {
    if (capacity < kCapacityMin) capacity = kCapacityMin;
    if (!hook_.take(capacity * sizeof(Slot))) return false;
    Slot* grown = new (std::nothrow) Slot[capacity];
    if (grown == nullptr) {
      hook_.give_back(capacity * sizeof(Slot));
      return false;
    }
    Slot* old = std::exchange(slots_, grown);
    const std::size_t old_capacity = std::exchange(capacity_, capacity);
    for (std::size_t at = 0; at < old_capacity; ++at)
      if (old[at].value != kNoValue) place(old[at]);
    delete[] old;
    hook_.give_back(old_capacity * sizeof(Slot));
    return true;
  }

  ChargeHook hook_;
  Slot* slots_ = nullptr;
  std::size_t capacity_ = 0;  // a power of two, or 0
  std::size_t size_ = 0;
  std::size_t limit_;
};

}  // namespace tapir::inline base
