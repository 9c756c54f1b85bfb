// SPDX-License-Identifier: Apache-2.0
// The scattered bytes of a msghdr.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <span>

#include "base/bytes.h"
#include "socket/errno.h"

namespace tapir::socket {

// UIO_MAXIOV.
inline constexpr std::size_t kPiecesMax = 1024;
// Linux's MAX_RW_COUNT: what one call moves at most.
inline constexpr std::size_t kBytesPerCallMax = 0x7ffff000;

// The pieces of `message`, checked. EMSGSIZE: more than kPiecesMax; EFAULT: null; EINVAL: a length that is no
// ssize_t.
Result<std::span<const iovec>> pieces_of(const msghdr& message);
// Bytes in all, at most kBytesPerCallMax.
std::size_t total_size(std::span<const iovec> pieces);
// Copies `bytes` to the pieces from `offset` on; how many fitted. EFAULT when the first byte must go to a
// null pointer.
Result<std::size_t> scatter(Bytes bytes, std::span<const iovec> pieces, std::size_t offset);
// Copies what `pieces` hold to `out`; how many. EFAULT: a null piece.
Result<std::size_t> gather(std::span<const iovec> pieces, MutableBytes out);

}  // namespace tapir::socket
