// SPDX-License-Identifier: Apache-2.0
#include "tcp/packing.h"

#include <algorithm>
#include <cstring>

namespace tapir::tcp {

bool well_filled(const Frame& frame) { return frame.meta().true_size <= 2 * frame.size(); }

Frame shrink(Frame frame, FramePool& pool) {
  const auto fits = std::ranges::lower_bound(kFrameClasses, frame.size());
  if (fits == kFrameClasses.end() || sizeof(FrameHeader) + kFrameHeadroom + *fits >= frame.meta().true_size)
    return frame;
  Frame copy = pool.copy(frame);
  return copy ? std::move(copy) : std::move(frame);
}

std::size_t fill(Frame& frame, Bytes bytes) {
  const std::size_t n = std::min(frame.tailroom(), bytes.size());
  if (n != 0) std::memcpy(frame.push_back(n).data(), bytes.data(), n);
  return n;
}

}  // namespace tapir::tcp
