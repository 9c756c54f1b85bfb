// SPDX-License-Identifier: Apache-2.0
// What a server pays for a connection on which nothing happens, piece by piece. The sum is held to what the
// README says; what TCP keeps for a while only (tcp/activity.h), and what connections share, is not in it.
#include <gtest/gtest.h>

#include <cstddef>

#include "base/slab.h"
#include "socket/file.h"
#include "tcp/connection.h"

namespace tapir::socket {
namespace {

// A Slab keeps an index and a generation with each object.
inline constexpr std::size_t kInSlab = 8;

struct Piece {
  const char* what;
  std::size_t bytes;
  std::size_t most;
};

constexpr Piece kPieces[] = {
    {"tcp::Connection", sizeof(tcp::Connection) + kInSlab, 648},
    {"StreamSocket", sizeof(StreamSocket) + kInSlab, 176},
    {"EpollItem: the socket in the server's epoll set", sizeof(EpollItem) + kInSlab, 88},
    {"DescriptorTable's entry: a file, the next of the same, close-on-exec", sizeof(void*) + 2 * sizeof(int),
     16},
    {"the established table's slot, 7/16 to 7/8 of which are in use", 8 * 16 / 7, 18},
    {"cli::Services::Endpoint: what the server of `tapir up` keeps", 24 + kInSlab, 32},
};

TEST(IdleConnection, CostsLessThanAThousandBytes) {
  std::size_t sum = 0;
  for (const Piece& piece : kPieces) {
    EXPECT_LE(piece.bytes, piece.most) << piece.what;
    sum += piece.bytes;
  }
  EXPECT_LE(sum, 1000u) << "the README says what an idle connection costs: measure again";
}

}  // namespace
}  // namespace tapir::socket
