// SPDX-License-Identifier: Apache-2.0
#include "frame/frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "frame/frame_pool.h"

namespace tapir {
namespace {

class FrameTest : public testing::Test {
 protected:
  ~FrameTest() override {
    EXPECT_EQ(pool_.in_use(), 0u);
    EXPECT_EQ(budget_.used(), 0u);
  }

  Frame counting(std::size_t size) {
    Frame frame = pool_.allocate(size);
    std::iota(frame.mutable_bytes().begin(), frame.mutable_bytes().end(), std::uint8_t{0});
    return frame;
  }

  MemoryBudget budget_{4 * 1024 * 1024};
  FramePool pool_{budget_};
};

TEST_F(FrameTest, TheSmallestClassThatHoldsIt) {
  for (const std::size_t size :
       {0u, 1u, 255u, 256u, 257u, 2048u, 2049u, 16384u, 16385u, 65536u, 65536u + 512u}) {
    Frame frame = pool_.allocate(size);
    ASSERT_TRUE(frame) << size;
    EXPECT_EQ(frame.size(), size);
    EXPECT_EQ(frame.headroom(), kFrameHeadroom);
    const auto expected =
        *std::find_if(kFrameClasses.begin(), kFrameClasses.end(), [&](std::uint32_t c) { return c >= size; });
    EXPECT_EQ(frame.size() + frame.tailroom(), expected);
    EXPECT_EQ(frame.meta().true_size, sizeof(FrameHeader) + kFrameHeadroom + expected);
    EXPECT_EQ(budget_.used(), frame.meta().true_size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&frame.meta()) % 64, 0u);
    std::fill(frame.mutable_bytes().begin(), frame.mutable_bytes().end(), std::uint8_t{0xaa});
  }
  EXPECT_FALSE(pool_.allocate(65536 + 513));
  EXPECT_FALSE(pool_.allocate(~std::size_t{0}));
}

TEST_F(FrameTest, TapipBug23_EdgesMoveWithinTheBuffer) {
  Frame frame = counting(100);
  frame.trim_front(10);
  frame.trim_back(20);
  EXPECT_EQ(frame.size(), 70u);
  EXPECT_EQ(frame.bytes()[0], 10);
  EXPECT_EQ(frame.bytes()[69], 79);
  EXPECT_EQ(frame.headroom(), kFrameHeadroom + 10);
  MutableBytes front = frame.push_front(4);
  ASSERT_EQ(front.size(), 4u);
  EXPECT_EQ(front[0], 6) << "what was trimmed is still there";
  MutableBytes back = frame.push_back(5);
  ASSERT_EQ(back.size(), 5u);
  EXPECT_EQ(back[0], 80);
  EXPECT_EQ(frame.size(), 79u);
  frame.trim_front(frame.size());
  EXPECT_EQ(frame.size(), 0u);
  frame.push_front(frame.headroom());
  frame.push_back(frame.tailroom());
  EXPECT_EQ(frame.size(), kFrameHeadroom + 256);
}

TEST_F(FrameTest, EdgesBeyondTheBufferAreOurBug) {
  Frame frame = pool_.allocate(10);
  EXPECT_DEATH(frame.trim_front(11), "trimmed by no more");
  EXPECT_DEATH(frame.trim_back(11), "trimmed by no more");
  EXPECT_DEATH(frame.push_front(kFrameHeadroom + 1), "fits the headroom");
  EXPECT_DEATH(frame.push_back(247), "fits the tailroom");
}

TEST_F(FrameTest, HasOneOwner) {
  Frame a = counting(10);
  const std::uint8_t* data = a.bytes().data();
  Frame b = std::move(a);
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(b.bytes().data(), data);
  Frame c = pool_.allocate(1);
  EXPECT_EQ(pool_.in_use(), 2u);
  c = std::move(b);
  EXPECT_EQ(pool_.in_use(), 1u);
  c.reset();
  EXPECT_EQ(pool_.in_use(), 0u);
  c.reset();
}

TEST_F(FrameTest, BuffersAreUsedAgainLastFreedFirst) {
  Frame a = pool_.allocate(100);
  Frame b = pool_.allocate(100);
  const FrameHeader* second = &b.meta();
  a.reset();
  b.trim_front(50);
  b.meta().checksum = ChecksumState::kVerified;
  b.meta().interface = 9;
  b.reset();
  EXPECT_EQ(pool_.free_count(), 2u);
  EXPECT_EQ(budget_.used(), 0u);
  Frame again = pool_.allocate(200);
  EXPECT_EQ(&again.meta(), second);
  EXPECT_EQ(again.size(), 200u);
  EXPECT_EQ(again.meta().checksum, ChecksumState::kNone);
  EXPECT_EQ(again.meta().interface, kNoInterface);
  EXPECT_EQ(pool_.free_count(), 1u);
  pool_.trim();
  EXPECT_EQ(pool_.free_count(), 0u);
}

TEST_F(FrameTest, KeepsABoundedAmountFree) {
  std::vector<Frame> frames;
  for (int i = 0; i < 40; ++i) frames.push_back(pool_.allocate(65536));
  const std::size_t true_size = frames[0].meta().true_size;
  frames.clear();
  EXPECT_GT(pool_.free_count(), 0u);
  EXPECT_LE(pool_.free_count() * true_size, kFreeBytesMax);
}

TEST_F(FrameTest, CopiesBytesAndStamps) {
  Frame frame = counting(300);
  frame.trim_front(100);
  frame.meta().received_at = Instant(5s);
  frame.meta().interface = 3;
  frame.meta().checksum = ChecksumState::kPartial;
  frame.meta().gso = {GsoType::kTcpV6, 1440, true};
  const Frame copy = pool_.copy(frame);
  ASSERT_TRUE(copy);
  EXPECT_TRUE(std::ranges::equal(copy.bytes(), frame.bytes()));
  EXPECT_LT(copy.meta().true_size, frame.meta().true_size);
  EXPECT_EQ(copy.meta().received_at, Instant(5s));
  EXPECT_EQ(copy.meta().interface, 3);
  EXPECT_EQ(copy.meta().checksum, ChecksumState::kPartial);
  EXPECT_EQ(copy.meta().gso.type, GsoType::kTcpV6);
  EXPECT_EQ(copy.meta().gso.size, 1440);
  EXPECT_TRUE(copy.meta().gso.ecn);
  EXPECT_EQ(pool_.copy(Bytes{}).size(), 0u);
}

TEST_F(FrameTest, AnAllocationCanBeMadeToFail) {
  pool_.fail_after(3);
  EXPECT_TRUE(pool_.allocate(1));
  EXPECT_TRUE(pool_.allocate(1));
  EXPECT_FALSE(pool_.allocate(1));
  EXPECT_TRUE(pool_.allocate(1));
  Frame frame = pool_.allocate(10);
  pool_.fail_after(1);
  EXPECT_FALSE(pool_.copy(frame));
  EXPECT_TRUE(pool_.copy(frame));
}

TEST(FramePool, AnswersNoneWhenTheBudgetIsUsedUp) {
  MemoryBudget budget(10'000);
  FramePool pool(budget);
  std::vector<Frame> frames;
  for (Frame frame = pool.allocate(2048); frame; frame = pool.allocate(2048))
    frames.push_back(std::move(frame));
  EXPECT_EQ(frames.size(), 4u);
  EXPECT_EQ(pool.in_use(), 4u);
  EXPECT_LE(budget.used(), 10'000u);
  EXPECT_FALSE(pool.copy(frames[0]));
  EXPECT_TRUE(pool.allocate(256)) << "a small one still fits";
  EXPECT_FALSE(pool.allocate(65536));
  frames.clear();
  EXPECT_EQ(budget.used(), 0u);
  EXPECT_EQ(budget.peak(),
            4 * (sizeof(FrameHeader) + kFrameHeadroom + 2048) + sizeof(FrameHeader) + kFrameHeadroom + 256);
  EXPECT_TRUE(pool.allocate(2048));
}

TEST(FramePoolDeath, NoFrameOutlivesIt) {
  EXPECT_DEATH(
      {
        Frame frame;
        MemoryBudget budget(10'000);
        FramePool pool(budget);
        frame = pool.allocate(1);
      },
      "no frame outlives its pool");
}

TEST(MemoryBudget, TakesUpToItsLimit) {
  MemoryBudget budget(100);
  EXPECT_TRUE(budget.charge(60));
  EXPECT_FALSE(budget.charge(41));
  EXPECT_TRUE(budget.charge(40));
  EXPECT_FALSE(budget.charge(~std::size_t{0}));
  budget.release(100);
  EXPECT_EQ(budget.used(), 0u);
  EXPECT_EQ(budget.peak(), 100u);
  const ChargeHook hook = budget.hook();
  EXPECT_TRUE(hook.take(100));
  EXPECT_FALSE(hook.take(1));
  hook.give_back(100);
  EXPECT_EQ(budget.used(), 0u);
  EXPECT_DEATH(budget.release(1), "no more is given back");
}

TEST_F(FrameTest, AQueueKeepsOrderAndSums) {
  FrameQueue queue;
  EXPECT_TRUE(queue.empty());
  EXPECT_FALSE(queue.pop_front());
  EXPECT_EQ(queue.front(), nullptr);
  for (std::size_t size : {10u, 300u, 0u}) queue.push_back(counting(size));
  EXPECT_EQ(queue.count(), 3u);
  EXPECT_EQ(queue.bytes(), 310u);
  EXPECT_EQ(queue.true_size(), budget_.used());
  EXPECT_EQ(queue.front()->end - queue.front()->begin, 10u);
  EXPECT_EQ(queue.pop_front().size(), 10u);
  FrameQueue moved = std::move(queue);
  EXPECT_TRUE(queue.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(queue.bytes(), 0u);
  queue.push_back(counting(1));
  moved.push_back(counting(5));
  EXPECT_EQ(moved.pop_front().size(), 300u);
  EXPECT_EQ(moved.pop_front().size(), 0u);
  EXPECT_EQ(moved.pop_front().size(), 5u);
  EXPECT_TRUE(moved.empty());
  EXPECT_EQ(moved.bytes(), 0u);
  EXPECT_EQ(moved.true_size(), 0u);
  moved.push_back(counting(7));
  moved = std::move(queue);
  EXPECT_EQ(pool_.in_use(), 1u);
  EXPECT_EQ(moved.count(), 1u);
  moved.clear();
  EXPECT_EQ(moved.count(), 0u);
}

}  // namespace
}  // namespace tapir
