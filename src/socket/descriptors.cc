// SPDX-License-Identifier: Apache-2.0
#include "socket/descriptors.h"

#include <algorithm>

namespace tapir::socket {

const DescriptorTable::Entry* DescriptorTable::entry(int descriptor) const {
  if (descriptor < first_) return nullptr;
  const auto index = static_cast<std::size_t>(descriptor - first_);
  return index < entries_.size() && entries_[index].file != nullptr ? &entries_[index] : nullptr;
}

File* DescriptorTable::find(int descriptor) const {
  const Entry* found = entry(descriptor);
  return found != nullptr ? found->file : nullptr;
}

std::size_t DescriptorTable::lowest_free(int least) const {
  std::size_t index = std::max(lowest_free_, static_cast<std::size_t>(std::max(least - first_, 0)));
  while (index < entries_.size() && entries_[index].file != nullptr) ++index;
  return index;
}

bool DescriptorTable::grow(std::size_t size) {
  if (size > entries_.capacity()) {
    const std::size_t capacity =
        std::max(size, std::min(most_, std::max(entries_.capacity() * 2, kEntriesMin)));
    if (!budget_.charge((capacity - entries_.capacity()) * sizeof(Entry))) return false;
    entries_.reserve(capacity);
  }
  entries_.resize(size);
  return true;
}

bool DescriptorTable::has_room(int least) {
  const std::size_t index = lowest_free(least);
  if (index >= most_) return false;
  return index < entries_.size() || grow(index + 1);
}

int DescriptorTable::open(File& file, int least) {
  if (!has_room(least)) return -1;
  const std::size_t index = lowest_free(least);
  if (index == lowest_free_) ++lowest_free_;
  return enter(file, index);
}

int DescriptorTable::open_aside(File& file) {
  std::size_t index = most_;
  while (index < entries_.size() && entries_[index].file != nullptr) ++index;
  if (index >= most_ + kAsideMax || (index >= entries_.size() && !grow(index + 1))) return -1;
  return enter(file, index);
}

int DescriptorTable::enter(File& file, std::size_t index) {
  const int descriptor = first_ + static_cast<int>(index);
  entries_[index] = {&file, file.first_descriptor, false};
  file.first_descriptor = descriptor;
  ++file.references;
  ++open_count_;
  return descriptor;
}

File* DescriptorTable::close(int descriptor) {
  const Entry* found = entry(descriptor);
  if (found == nullptr) return nullptr;
  File* file = found->file;
  int* link = &file->first_descriptor;
  while (*link != descriptor) link = &entries_[static_cast<std::size_t>(*link - first_)].next;
  const auto index = static_cast<std::size_t>(descriptor - first_);
  *link = entries_[index].next;
  entries_[index] = {};
  lowest_free_ = std::min(lowest_free_, index);
  --file->references;
  --open_count_;
  return file;
}

bool DescriptorTable::close_on_exec(int descriptor) const {
  const Entry* found = entry(descriptor);
  return found != nullptr && found->close_on_exec;
}

void DescriptorTable::set_close_on_exec(int descriptor, bool on) {
  if (entry(descriptor) != nullptr)
    entries_[static_cast<std::size_t>(descriptor - first_)].close_on_exec = on;
}

int DescriptorTable::next_of_same(int descriptor) const {
  const Entry* found = entry(descriptor);
  return found != nullptr ? found->next : -1;
}

}  // namespace tapir::socket
