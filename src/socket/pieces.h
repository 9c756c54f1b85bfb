// SPDX-License-Identifier: Apache-2.0
// What a program gives to send, as spans that an outgoing frame can point at.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "frame/frame_pool.h"
#include "frame/outgoing_frame.h"
#include "socket/message.h"

namespace tapir::socket {

// The pieces as they are, or joined when there are more than an outgoing frame can point at.
class OutgoingSpans {
 public:
  // EFAULT: a null piece; ENOBUFS: no memory to join them. `size` is total_size(pieces).
  Result<std::size_t> make(std::span<const iovec> pieces, std::size_t size, FramePool& frames) {
    for (const iovec& piece : pieces) {
      if (piece.iov_len == 0) continue;
      if (piece.iov_base == nullptr) return fail(EFAULT);
      if (count_ < spans_.size())
        spans_[count_] = {static_cast<const std::uint8_t*>(piece.iov_base), piece.iov_len};
      ++count_;
    }
    if (count_ <= spans_.size()) return count_;
    count_ = 0;
    joined_ = frames.allocate(size);
    if (!joined_) return fail(ENOBUFS);
    if (const auto gathered = gather(pieces, joined_.mutable_bytes()); !gathered) return gathered;
    spans_[0] = joined_.bytes();
    return count_ = 1;
  }
  std::span<const Bytes> list() const { return {spans_.data(), count_}; }

 private:
  std::array<Bytes, kOutgoingSpansMax> spans_;
  std::size_t count_ = 0;
  Frame joined_;
};

// Copies the first bytes of `spans` to `out`, as many as there are; how many.
inline std::size_t gather_front(std::span<const Bytes> spans, MutableBytes out) {
  std::size_t have = 0;
  for (const Bytes span : spans) {
    const std::size_t take = std::min(span.size(), out.size() - have);
    std::copy_n(span.begin(), take, out.begin() + static_cast<std::ptrdiff_t>(have));
    have += take;
  }
  return have;
}

// The spans without their first `skip` bytes, in `out`, which has room for all; how many.
inline std::size_t skip_front(std::span<const Bytes> spans, std::size_t skip, std::span<Bytes> out) {
  std::size_t count = 0;
  for (const Bytes span : spans) {
    const std::size_t gone = std::min(skip, span.size());
    skip -= gone;
    if (gone != span.size()) out[count++] = span.subspan(gone);
  }
  return count;
}

}  // namespace tapir::socket
