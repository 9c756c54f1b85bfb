// SPDX-License-Identifier: Apache-2.0
#include "socket/message.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace tapir::socket {

Result<std::span<const iovec>> pieces_of(const msghdr& message) {
  if (message.msg_iovlen > kPiecesMax) return fail(EMSGSIZE);
  if (message.msg_iovlen != 0 && message.msg_iov == nullptr) return fail(EFAULT);
  const std::span<const iovec> pieces(message.msg_iov, message.msg_iovlen);
  for (const iovec& piece : pieces)
    if (piece.iov_len > static_cast<std::size_t>(std::numeric_limits<ssize_t>::max())) return fail(EINVAL);
  return pieces;
}

std::size_t total_size(std::span<const iovec> pieces) {
  std::size_t total = 0;
  for (const iovec& piece : pieces) {
    total += std::min(piece.iov_len, kBytesPerCallMax);
    if (total >= kBytesPerCallMax) return kBytesPerCallMax;
  }
  return total;
}

Result<std::size_t> scatter(Bytes bytes, std::span<const iovec> pieces, std::size_t offset) {
  std::size_t copied = 0;
  for (const iovec& piece : pieces) {
    if (copied == bytes.size()) break;
    if (offset >= piece.iov_len) {
      offset -= piece.iov_len;
      continue;
    }
    if (piece.iov_base == nullptr) {
      if (copied == 0) return fail(EFAULT);
      break;
    }
    const std::size_t count = std::min(piece.iov_len - offset, bytes.size() - copied);
    std::memcpy(static_cast<std::uint8_t*>(piece.iov_base) + offset, bytes.data() + copied, count);
    copied += count;
    offset = 0;
  }
  return copied;
}

Result<std::size_t> gather(std::span<const iovec> pieces, MutableBytes out) {
  std::size_t copied = 0;
  for (const iovec& piece : pieces) {
    const std::size_t count = std::min(piece.iov_len, out.size() - copied);
    if (count == 0) continue;
    if (piece.iov_base == nullptr) return fail(EFAULT);
    std::memcpy(out.data() + copied, piece.iov_base, count);
    copied += count;
  }
  return copied;
}

}  // namespace tapir::socket
