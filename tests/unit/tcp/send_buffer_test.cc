// SPDX-License-Identifier: Apache-2.0
#include "tcp/send_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/rng.h"

namespace tapir::tcp {
namespace {

class SendBufferTest : public testing::TestWithParam<std::uint32_t> {
 protected:
  ~SendBufferTest() override {
    buffer.release_all(pool);
    EXPECT_EQ(pool.in_use(), 0U);
    EXPECT_EQ(budget.used(), 0U);
  }
  // The byte at stream offset i.
  static std::uint8_t byte_at(std::size_t i) { return static_cast<std::uint8_t>(i * 31 + i / 251); }
  static std::vector<std::uint8_t> stream(std::size_t from, std::size_t n) {
    std::vector<std::uint8_t> bytes(n);
    for (std::size_t i = 0; i < n; ++i) bytes[i] = byte_at(from + i);
    return bytes;
  }
  std::vector<std::uint8_t> collect(SeqRange range) {
    out.clear();
    const std::size_t n = buffer.collect(range, out);
    EXPECT_EQ(n, out.payload_size());
    std::vector<std::uint8_t> bytes(out.size());
    out.copy_to(bytes);
    return bytes;
  }

  MemoryBudget budget{64 << 20};
  ChunkPool pool{budget};
  SendBuffer buffer;
  OutgoingFrame out;
};

TEST_P(SendBufferTest, EmptyHoldsNoMemory) {
  const SeqNum start(GetParam());
  buffer.start(start);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(pool.in_use(), 0U);
  EXPECT_EQ(buffer.append(stream(0, 10), pool), 10U);
  EXPECT_EQ(pool.in_use(), 1U);
  buffer.acknowledge(start + 11, pool);  // one beyond: a FIN's
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(pool.in_use(), 0U);
  EXPECT_EQ(buffer.begin(), start + 10);
}

TEST_P(SendBufferTest, CollectAcrossChunksAfterAcks) {
  const SeqNum start(GetParam());
  buffer.start(start);
  EXPECT_EQ(buffer.append(stream(0, 100000), pool), 100000U);
  EXPECT_EQ(pool.in_use(), 7U);
  EXPECT_EQ(collect({start, start + 65000}), stream(0, 65000));
  EXPECT_LE(out.payload().size(), 5U);
  EXPECT_EQ(collect({start + 65000, start + 100000}), stream(65000, 35000));
  // From the front again, then on where new data was.
  EXPECT_EQ(collect({start + 1448, start + 2896}), stream(1448, 1448));
  EXPECT_EQ(buffer.append(stream(100000, 5000), pool), 5000U);
  EXPECT_EQ(collect({start + 100000, start + 105000}), stream(100000, 5000));
  buffer.acknowledge(start + 40000, pool);
  EXPECT_EQ(pool.in_use(), 5U);
  EXPECT_EQ(collect({start + 40000, start + 41000}), stream(40000, 1000));
  buffer.acknowledge(start + 30000, pool);  // old: nothing
  EXPECT_EQ(buffer.begin(), start + 40000);
  EXPECT_EQ(collect({start + 90000, start + 105000}), stream(90000, 15000));
}

TEST_P(SendBufferTest, RandomCallsAgainstTheStream) {
  Rng rng(7);
  const SeqNum start(GetParam());
  buffer.start(start);
  std::size_t acked = 0, written = 0;
  for (int step = 0; step < 20000; ++step) {
    switch (rng.below(4)) {
      case 0:
        if (written - acked < 300000) written += buffer.append(stream(written, rng.below(40000)), pool);
        break;
      case 1: {
        acked += rng.below(written - acked + 1);
        buffer.acknowledge(start + static_cast<std::uint32_t>(acked), pool);
        break;
      }
      default: {
        if (written == acked) break;
        const std::size_t from = acked + rng.below(written - acked);
        const std::size_t n = std::min<std::size_t>(1 + rng.below(65536), written - from);
        ASSERT_EQ(
            collect({start + static_cast<std::uint32_t>(from), start + static_cast<std::uint32_t>(from + n)}),
            stream(from, n));
      }
    }
    ASSERT_EQ(buffer.size(), written - acked);
    ASSERT_LE(pool.in_use(), (written - acked) / kChunkBytes + 2);
    if (written == acked) {
      ASSERT_EQ(pool.in_use(), 0U);
    }
  }
}

TEST_P(SendBufferTest, PointsAtBorrowedBytes) {
  const SeqNum start(GetParam());
  const std::vector<std::uint8_t> lent = stream(100, 200000);
  const Bytes bytes(lent);
  Loan loan;
  buffer.start(start);
  EXPECT_EQ(buffer.append(stream(0, 100), pool), 100U);
  EXPECT_EQ(buffer.append(bytes.first(60000), pool, &loan), 60000U);
  EXPECT_EQ(buffer.append(bytes.subspan(60000, 500), pool, &loan), 500U);  // goes on
  EXPECT_EQ(loan.users, 1U);
  EXPECT_EQ(pool.bytes_in_use(), kSmallChunkBytes);
  EXPECT_EQ(collect({start, start + 60600}), stream(0, 60600));
  ASSERT_EQ(out.payload().size(), 2U);
  EXPECT_EQ(out.payload()[1].data(), bytes.data());
  // Elsewhere: too few are copied, enough are another piece.
  EXPECT_EQ(buffer.append(bytes.subspan(100000, kLoanMin - 1), pool, &loan), kLoanMin - 1);
  EXPECT_EQ(loan.users, 1U);
  EXPECT_EQ(buffer.append(bytes.subspan(150000, kLoanMin), pool, &loan), kLoanMin);
  EXPECT_EQ(loan.users, 2U);
  EXPECT_EQ(collect({start + 60600, start + 60600 + kLoanMin - 1}), stream(100100, kLoanMin - 1));
  EXPECT_EQ(collect({start + 60600 + kLoanMin - 1, buffer.end()}), stream(150100, kLoanMin));
  EXPECT_EQ(collect({start + 50000, start + 60600}), stream(50000, 10600));
  buffer.acknowledge(start + 60599, pool);
  EXPECT_EQ(loan.users, 2U);
  buffer.acknowledge(start + 60600, pool);
  EXPECT_EQ(loan.users, 1U);
  buffer.acknowledge(buffer.end(), pool);
  EXPECT_EQ(loan.users, 0U);
  EXPECT_EQ(pool.in_use(), 0U);
}

TEST_P(SendBufferTest, TakesWhatMemoryAllows) {
  buffer.start(SeqNum(GetParam()));
  pool.fail_after(3);
  EXPECT_EQ(buffer.append(stream(0, 100000), pool), 2 * kChunkBytes);
  EXPECT_EQ(buffer.append(stream(2 * kChunkBytes, 10), pool), 10U);
  EXPECT_EQ(collect({buffer.begin(), buffer.end()}), stream(0, 2 * kChunkBytes + 10));
}

INSTANTIATE_TEST_SUITE_P(Starts, SendBufferTest,
                         testing::Values(0U, 1000U, 0x7fffffffU - 20000, 0xffffffffU - 20000, 0xfffffffeU));

}  // namespace
}  // namespace tapir::tcp
