// SPDX-License-Identifier: Apache-2.0
// Values that many owners have alike, each kept once: ten thousand sockets with the same options need them
// once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "base/assert.h"
#include "base/slab.h"

namespace tapir::inline base {

// Owners hold `const T*`. A value asked for is compared with those that were given out last, and no others:
// two equal ones may exist, which costs memory and nothing else, and the work is bounded.
template <typename T>
class SharedPool {
 public:
  // At most `limit` different values; `hook` is charged for them.
  explicit SharedPool(std::uint32_t limit, ChargeHook hook = {}) : entries_(limit, hook) {}

  // The value for one more owner; null: no memory.
  const T* share(const T& value) {
    for (std::size_t i = 0; i < kRecent && recent_[i] != nullptr; ++i) {
      if (!(recent_[i]->value == value)) continue;
      Entry* const found = recent_[i];
      ++found->owners;
      place_first(found, i);
      return &found->value;
    }
    Entry* const made = make(value);
    if (made == nullptr) return nullptr;
    place_first(made, kRecent - 1);
    return &made->value;
  }
  // One owner less.
  void drop(const T* value) {
    Entry& entry = entry_of(value);
    if (--entry.owners != 0) return;
    forget(entry);
    entries_.erase(entry);
  }

  // Makes `value` (of one owner, who gives the pointer) the owner's alone, to be changed. Null: no memory,
  // and `value` is as it was.
  T* own(const T*& value) {
    Entry* entry = &entry_of(value);
    if (entry->owners > 1) {
      Entry* const copy = make(entry->value);
      if (copy == nullptr) return nullptr;
      --entry->owners;
      entry = copy;
      value = &copy->value;
    }
    forget(*entry);
    entry->changing = true;
    return &entry->value;
  }
  // The change is over: the owner shares again with those that have the same. Does nothing to a value that
  // own() was not asked for.
  void settle(const T*& value) {
    Entry& entry = entry_of(value);
    if (!std::exchange(entry.changing, false)) return;
    for (std::size_t i = 0; i < kRecent && recent_[i] != nullptr; ++i) {
      if (!(recent_[i]->value == entry.value)) continue;
      value = &recent_[i]->value;
      ++recent_[i]->owners;
      entries_.erase(entry);
      return;
    }
    place_first(&entry, kRecent - 1);
  }

  std::size_t size() const { return entries_.size(); }

 private:
  // Values compared with: enough for the kinds of sockets that a program makes in turn.
  static constexpr std::size_t kRecent = 8;

  struct Entry {
    explicit Entry(const T& v) : value(v) {}
    T value;
    std::uint32_t owners = 1;
    bool changing = false;  // since own(): nobody else comes to share it
  };
  static_assert(std::is_standard_layout_v<Entry>, "a value's address is its entry's");

  static Entry& entry_of(const T* value) { return *reinterpret_cast<Entry*>(const_cast<T*>(value)); }
  Entry* make(const T& value) { return entries_.get(entries_.emplace(value)); }
  // In front of the recent ones; those before place `from` move back one, and what was there leaves.
  void place_first(Entry* entry, std::size_t from) {
    for (std::size_t i = from; i > 0; --i) recent_[i] = recent_[i - 1];
    recent_[0] = entry;
  }
  void forget(const Entry& entry) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < kRecent; ++i)
      if (recent_[i] != &entry) recent_[kept++] = recent_[i];
    while (kept < kRecent) recent_[kept++] = nullptr;
  }

  Slab<Entry> entries_;
  std::array<Entry*, kRecent> recent_{};  // the last used first; null beyond
};

}  // namespace tapir::inline base
