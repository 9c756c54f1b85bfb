// SPDX-License-Identifier: Apache-2.0
#include "trace/ring.h"

#include <algorithm>

#include "base/assert.h"

namespace tapir::trace {

RingProbe::RingProbe(std::size_t capacity) : records_(std::max<std::size_t>(capacity, 1)) {}

void RingProbe::on_record(const Record& record) {
  records_[(oldest_ + size_) % records_.size()] = record;
  if (size_ < records_.size()) {
    ++size_;
    return;
  }
  oldest_ = (oldest_ + 1) % records_.size();
  ++lost_;
}

std::optional<Record> RingProbe::pop() {
  if (size_ == 0) return std::nullopt;
  const Record record = records_[oldest_];
  oldest_ = (oldest_ + 1) % records_.size();
  --size_;
  return record;
}

std::size_t RingProbe::drain(std::span<Record> out) {
  const std::size_t count = std::min(out.size(), size_);
  for (Record& record : out.first(count)) record = *pop();
  return count;
}

const Record& RingProbe::operator[](std::size_t index) const {
  TAPIR_INVARIANT(index < size_, "only unread records can be looked at");
  return records_[(oldest_ + index) % records_.size()];
}

void RingProbe::clear() { oldest_ = size_ = 0; }

bool TeeProbe::add(Probe& probe) {
  const auto end = probes_.begin() + static_cast<std::ptrdiff_t>(count_);
  if (std::find(probes_.begin(), end, &probe) != end) return true;
  if (count_ == kProbesMax) return false;
  probes_[count_++] = &probe;
  return true;
}

void TeeProbe::remove(Probe& probe) {
  const auto end = probes_.begin() + static_cast<std::ptrdiff_t>(count_);
  const auto kept = std::remove(probes_.begin(), end, &probe);
  count_ = static_cast<std::size_t>(kept - probes_.begin());
}

void TeeProbe::on_record(const Record& record) {
  for (std::size_t i = 0; i < count_; ++i) probes_[i]->on_record(record);
}

}  // namespace tapir::trace
