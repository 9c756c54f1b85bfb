// SPDX-License-Identifier: Apache-2.0
// Small numbers for files: the lowest free one is given, as POSIX wants.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "frame/memory_budget.h"
#include "socket/file.h"

namespace tapir::socket {

// Files without a number of the program's that some call still waits on.
inline constexpr std::size_t kAsideMax = 1024;

class DescriptorTable {
 public:
  // Descriptors first … first + most - 1. The room for them doubles as the program opens files, charged to
  // `budget`; what was never a file's is not touched, and costs no page.
  DescriptorTable(int first, std::size_t most, MemoryBudget& budget)
      : first_(first), most_(most), budget_(budget) {}
  ~DescriptorTable() { budget_.release(entries_.capacity() * sizeof(Entry)); }
  DescriptorTable(const DescriptorTable&) = delete;
  DescriptorTable& operator=(const DescriptorTable&) = delete;

  // Null: not open.
  File* find(int descriptor) const;
  // False for a number that no descriptor of this table can have.
  bool may_hold(int descriptor) const {
    return descriptor >= first_ && static_cast<std::size_t>(descriptor - first_) < most_;
  }
  // True when open() would find a number that is at least `least`.
  bool has_room(int least = 0);
  // The lowest free number from `least` on, for `file`; -1 when there is none (EMFILE).
  int open(File& file, int least = 0);
  // A number beyond those that open() gives; -1 when all are in use.
  int open_aside(File& file);
  bool is_aside(int descriptor) const {
    return descriptor >= first_ && static_cast<std::size_t>(descriptor - first_) >= most_;
  }
  // Frees the number; the file that it stood for, or null.
  File* close(int descriptor);
  bool close_on_exec(int descriptor) const;
  void set_close_on_exec(int descriptor, bool on);
  // The next descriptor of the same file after `descriptor`, -1 at the end; the first is
  // file.first_descriptor.
  int next_of_same(int descriptor) const;
  std::size_t size() const { return open_count_; }
  // For each open descriptor in order: visit(descriptor, File&).
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (std::size_t i = 0; i < entries_.size(); ++i)
      if (entries_[i].file != nullptr) visit(first_ + static_cast<int>(i), *entries_[i].file);
  }

 private:
  struct Entry {
    File* file = nullptr;
    int next = -1;  // descriptor of the same file
    bool close_on_exec = false;
  };
  static constexpr std::size_t kEntriesMin = 16;
  const Entry* entry(int descriptor) const;
  std::size_t lowest_free(int least) const;
  // To `size` entries, more than there are.
  bool grow(std::size_t size);
  int enter(File& file, std::size_t index);

  int first_;
  std::size_t most_;
  MemoryBudget& budget_;
  std::vector<Entry> entries_;
  std::size_t lowest_free_ = 0;  // no entry below is free
  std::size_t open_count_ = 0;
};

}  // namespace tapir::socket
