// SPDX-License-Identifier: Apache-2.0
#include "tcp/receive_queue.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"

namespace tapir::tcp {
namespace {

class ReceiveQueueTest : public testing::Test {
 protected:
  ~ReceiveQueueTest() override {
    queue.clear();
    EXPECT_EQ(pool.in_use(), 0U);
  }
  static std::uint8_t byte_at(std::size_t i) { return static_cast<std::uint8_t>(i * 31 + i / 251); }
  // The next `n` bytes of the stream in a buffer that could hold `room`.
  Frame frame(std::size_t n, std::size_t room) {
    Frame f = pool.allocate(std::max(n, room));
    f.trim_back(f.size() - n);
    for (std::uint8_t& b : f.mutable_bytes()) b = byte_at(pushed++);
    f.meta().received_at = Instant{} + std::chrono::nanoseconds(pushed);
    return f;
  }
  void push(std::size_t n, std::size_t room = 65536) { queue.push(frame(n, room), pool); }
  void expect_next(std::size_t n) {
    std::vector<std::uint8_t> bytes(n);
    ASSERT_EQ(queue.read(bytes), n);
    for (std::uint8_t b : bytes) ASSERT_EQ(b, byte_at(taken++));
  }

  MemoryBudget budget{256 << 20};
  FramePool pool{budget};
  ReceiveQueue queue;
  std::size_t pushed = 0, taken = 0;
};

TEST_F(ReceiveQueueTest, ReadsWhatWasPushed) {
  EXPECT_EQ(queue.head_received_at(), kNever);
  push(10);
  push(5000);
  push(60000);
  EXPECT_EQ(queue.size(), 65010U);
  EXPECT_NE(queue.head_received_at(), kNever);
  expect_next(7);
  expect_next(5010);
  EXPECT_EQ(queue.discard(100), 100U);
  taken += 100;
  expect_next(65010 - 5117);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.true_size(), 0U);
  std::uint8_t byte;
  EXPECT_EQ(queue.read({&byte, 1}), 0U);
}

TEST_F(ReceiveQueueTest, PeekLeavesAndSkips) {
  for (int i = 0; i < 20; ++i) push(1448, 2048);
  expect_next(100);
  std::vector<std::uint8_t> bytes(5000);
  EXPECT_EQ(queue.peek(bytes, 3000), 5000U);
  for (std::size_t i = 0; i < bytes.size(); ++i) ASSERT_EQ(bytes[i], byte_at(3100 + i));
  EXPECT_EQ(queue.peek(bytes, queue.size() - 3), 3U);
  EXPECT_EQ(queue.peek(bytes, queue.size()), 0U);
  EXPECT_EQ(queue.size(), 20U * 1448 - 100);
}

TEST_F(ReceiveQueueTest, AFullSizedFrameIsMovedNotCopied) {
  Frame f = frame(64000, 65536);
  const std::uint8_t* bytes = f.bytes().data();
  queue.push(std::move(f), pool);
  Frame g = frame(1448, 2048);
  queue.push(std::move(g), pool);
  EXPECT_EQ(pool.in_use(), 2U);
  EXPECT_EQ(queue.frame_count(), 2U);
  EXPECT_NE(bytes, nullptr);
  expect_next(65448);
}

TEST_F(ReceiveQueueTest, OneByteSegmentsShareFrames) {
  for (int i = 0; i < 10000; ++i) push(1);
  EXPECT_LE(queue.true_size(), 2 * queue.size() + 512);
  expect_next(10000);
}

// Any queue over 8 frames keeps true size ≤ 2 x payload + 512.
TEST_F(ReceiveQueueTest, TrueSizeIsBoundedWhateverArrives) {
  Rng rng(42);
  std::size_t head_read = 0;
  for (int step = 0; step < 60000; ++step) {
    if (rng.below(3) != 0) {
      static constexpr std::size_t kMost[] = {2, 300, 2100, 5000, 33000, 65536};
      const std::size_t n = 1 + rng.below(kMost[rng.below(6)]);
      if (queue.size() < (1U << 20)) push(n, rng.below(2) != 0 ? 65536 : n);
    } else {
      const std::size_t n = rng.below(std::min<std::size_t>(queue.size(), 20000) + 1);
      expect_next(n);
      head_read = 66048;  // the part of the head frame already read counts as payload
    }
    if (queue.frame_count() > kLooseFramesMax) {
      ASSERT_LE(queue.true_size(), 2 * (queue.size() + head_read) + 512) << step;
    }
    ASSERT_EQ(queue.size(), pushed - taken);
  }
  expect_next(queue.size());
  EXPECT_EQ(queue.true_size(), 0U);
  EXPECT_EQ(budget.used(), 0U);
}

TEST_F(ReceiveQueueTest, StrictBoundWithoutReads) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Rng rng(seed);
    for (int step = 0; step < 200; ++step) {
      static constexpr std::size_t kMost[] = {2, 300, 2100, 5000, 33000};
      const std::size_t n = 1 + rng.below(kMost[rng.below(5)]);
      push(n, rng.below(2) != 0 ? 65536 : n);
      if (queue.frame_count() > kLooseFramesMax) {
        ASSERT_LE(queue.true_size(), 2 * queue.size() + 512) << seed << " " << step;
      }
    }
    expect_next(queue.size());
  }
}

TEST_F(ReceiveQueueTest, KeepsBytesWhenNoCopyCanBeHad) {
  for (int i = 0; i < 2000; ++i) {
    Frame f = frame(1 + static_cast<std::size_t>(i) * 7 % 3000, 65536);
    pool.fail_after(1 + static_cast<std::uint64_t>(i) % 3);
    queue.push(std::move(f), pool);
    pool.fail_after(0);
    if (queue.size() > 100000) expect_next(queue.size() - 50);
  }
  expect_next(queue.size());
}

}  // namespace
}  // namespace tapir::tcp
