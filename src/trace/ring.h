// SPDX-License-Identifier: Apache-2.0
// The last records of a stack, kept for whoever asks: a probe that costs a copy of 64 bytes and never
// allocates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "trace/record.h"

namespace tapir::trace {

// Keeps the newest `capacity` records; the oldest are overwritten, and counted as lost.
class RingProbe final : public Probe {
 public:
  // Records to keep, at least 1; all memory is taken here.
  explicit RingProbe(std::size_t capacity);
  void on_record(const Record& record) override;

  // The oldest record that was not read yet.
  std::optional<Record> pop();
  // Moves the oldest unread records to the front of `out`; how many.
  std::size_t drain(std::span<Record> out);
  // Unread record `index`, the oldest is 0; index < size().
  const Record& operator[](std::size_t index) const;

  std::size_t size() const { return size_; }  // unread records
  bool empty() const { return size_ == 0; }
  std::size_t capacity() const { return records_.size(); }
  std::uint64_t lost() const { return lost_; }  // overwritten before they were read
  // Forgets what was not read, without counting it as lost.
  void clear();

 private:
  std::vector<Record> records_;
  std::size_t oldest_ = 0;  // where the oldest unread record is
  std::size_t size_ = 0;
  std::uint64_t lost_ = 0;
};

// Forwards each record to several probes, in the order they were added.
class TeeProbe final : public Probe {
 public:
  // Listeners at a time: a ring, a file, a ladder, an inspector and some to spare.
  static constexpr std::size_t kProbesMax = 8;

  // False when there are kProbesMax already. A probe is added once.
  bool add(Probe& probe);
  void remove(Probe& probe);
  std::size_t size() const { return count_; }
  void on_record(const Record& record) override;

 private:
  std::array<Probe*, kProbesMax> probes_{};
  std::size_t count_ = 0;
};

}  // namespace tapir::trace
