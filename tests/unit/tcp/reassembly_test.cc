// SPDX-License-Identifier: Apache-2.0
#include "tcp/reassembly.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"

namespace tapir::tcp {
namespace {

class ReassemblyTest : public testing::TestWithParam<std::uint32_t> {
 protected:
  ~ReassemblyTest() override {
    queue.clear();
    EXPECT_EQ(pool.in_use(), 0U);
  }
  SeqNum at(std::uint32_t offset) const { return SeqNum(GetParam()) + offset; }
  Reassembly::Inserted insert(std::uint32_t offset, const std::string& bytes, bool fin = false) {
    Frame f = pool.allocate(65536);
    f.trim_back(f.size() - bytes.size());
    std::copy(bytes.begin(), bytes.end(), f.mutable_bytes().begin());
    return queue.insert(at(offset), std::move(f), fin, pool);
  }
  // Everything contiguous from `offset` on; a '$' for a FIN.
  std::string drain(std::uint32_t offset) {
    std::string out;
    for (;;) {
      auto taken = queue.pop_at(at(offset + static_cast<std::uint32_t>(out.size())));
      if (!taken.present) return out;
      if (taken.payload) out.append(taken.payload.bytes().begin(), taken.payload.bytes().end());
      if (taken.fin) out += '$';
    }
  }
  SeqRange range(std::uint32_t begin, std::uint32_t end) const { return {at(begin), at(end)}; }
  std::vector<SeqRange> blocks(std::size_t max, std::uint32_t rcv_nxt) {
    std::array<wire::SackBlock, 4> out;
    const std::size_t n = queue.sack_blocks(out, max, at(rcv_nxt));
    std::vector<SeqRange> ranges;
    for (std::size_t i = 0; i < n; ++i) ranges.push_back({out[i].begin, out[i].end});
    return ranges;
  }

  MemoryBudget budget{64 << 20};
  FramePool pool{budget};
  Reassembly queue;
};

TEST_P(ReassemblyTest, FillsAHole) {
  EXPECT_TRUE(queue.empty());
  auto r = insert(10, "abc");
  EXPECT_TRUE(r.accepted);
  EXPECT_EQ(r.block, range(10, 13));
  EXPECT_TRUE(r.duplicate.empty());
  EXPECT_FALSE(queue.pop_at(at(9)).present);
  r = insert(13, "de");
  EXPECT_EQ(r.block, range(10, 15));
  EXPECT_EQ(blocks(4, 0).size(), 1U);
  EXPECT_EQ(queue.bytes(), 5U);
  EXPECT_EQ(queue.highest_end(), at(15));
  EXPECT_EQ(drain(10), "abcde");
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.true_size(), 0U);
}

TEST_P(ReassemblyTest, FirstReceivedWins) {
  insert(10, "BBB");
  insert(20, "DDD");
  auto r = insert(5, "aaaaaaaaaaaaaaaaaaaa");  // over both, beyond both
  EXPECT_TRUE(r.accepted);
  EXPECT_EQ(r.block, range(5, 25));
  EXPECT_EQ(r.duplicate, range(10, 13));
  r = insert(8, "xxxxxx");
  EXPECT_FALSE(r.accepted);
  EXPECT_EQ(r.duplicate, range(8, 14));
  EXPECT_EQ(r.block, range(5, 25));
  EXPECT_EQ(drain(5), "aaaaaBBBaaaaaaaDDDaa");
}

TEST_P(ReassemblyTest, PartialOverlaps) {
  insert(10, "bbbb");
  auto r = insert(12, "cccc");
  EXPECT_EQ(r.duplicate, range(12, 14));
  EXPECT_EQ(r.block, range(10, 16));
  r = insert(8, "aaaa");
  EXPECT_EQ(r.duplicate, range(10, 12));
  EXPECT_EQ(r.block, range(8, 16));
  EXPECT_EQ(drain(8), "aabbbbcc");
}

TEST_P(ReassemblyTest, FinKeepsItsPlace) {
  auto r = insert(13, "", true);
  EXPECT_EQ(r.block, range(13, 14));
  r = insert(10, "abc");
  EXPECT_EQ(r.block, range(10, 14));
  EXPECT_EQ(drain(10), "abc$");
  insert(10, "abc", true);
  r = insert(10, "abc", true);
  EXPECT_FALSE(r.accepted);
  EXPECT_EQ(r.duplicate, range(10, 14));
  EXPECT_EQ(drain(10), "abc$");
  EXPECT_TRUE(queue.empty());
}

TEST_P(ReassemblyTest, OldPartsAreTrimmed) {
  insert(10, "abcdef");
  insert(20, "z");
  auto taken = queue.pop_at(at(13));
  ASSERT_TRUE(taken.present);
  EXPECT_EQ(std::string(taken.payload.bytes().begin(), taken.payload.bytes().end()), "def");
  EXPECT_FALSE(queue.pop_at(at(16)).present);
  EXPECT_FALSE(queue.pop_at(at(21)).present);  // wholly old: dropped
  EXPECT_TRUE(queue.empty());
}

TEST_P(ReassemblyTest, MostRecentlyChangedBlockFirst) {
  insert(10, "a");
  insert(20, "b");
  insert(30, "c");
  insert(40, "d");
  insert(50, "e");
  EXPECT_EQ(blocks(4, 0),
            (std::vector<SeqRange>{range(50, 51), range(40, 41), range(30, 31), range(20, 21)}));
  insert(21, "b");
  EXPECT_EQ(blocks(3, 0), (std::vector<SeqRange>{range(20, 22), range(50, 51), range(40, 41)}));
  insert(31, "ccccccccc");  // joins 30 and 40
  EXPECT_EQ(blocks(4, 0),
            (std::vector<SeqRange>{range(30, 41), range(20, 22), range(50, 51), range(10, 11)}));
  EXPECT_EQ(blocks(4, 22), (std::vector<SeqRange>{range(30, 41), range(50, 51)}));
}

TEST_P(ReassemblyTest, CountIsBounded) {
  for (std::uint32_t i = 0; i < kReassemblySegmentsMax; ++i) ASSERT_TRUE(insert(2 * i + 2, "x").accepted);
  auto r = insert(2 * kReassemblySegmentsMax + 2, "x");
  EXPECT_FALSE(r.accepted);
  EXPECT_TRUE(r.no_memory);
  EXPECT_EQ(queue.count(), kReassemblySegmentsMax);
  EXPECT_LE(queue.true_size(), kReassemblySegmentsMax * 640);
  // Filling holes where the room of the neighbour allows costs no segment.
  EXPECT_TRUE(insert(3, "y").accepted);
}

TEST_P(ReassemblyTest, NeighbouringSmallSegmentsShareFrames) {
  for (std::uint32_t i = 0; i < 2000; ++i) insert(10 + i, "x");
  EXPECT_LE(queue.true_size(), 2 * queue.bytes() + 2048);
  EXPECT_EQ(drain(10).size(), 2000U);
}

TEST_P(ReassemblyTest, PruneDropsTheFurthest) {
  insert(10, "aa");
  insert(20, "bb");
  insert(30, "cc", true);
  const std::size_t all = queue.true_size();
  EXPECT_EQ(queue.prune(all), 0U);
  EXPECT_EQ(queue.prune(all - 1), 1U);
  EXPECT_EQ(queue.highest_end(), at(22));
  EXPECT_EQ(blocks(4, 0), (std::vector<SeqRange>{range(20, 22), range(10, 12)}));
  EXPECT_EQ(queue.prune(0), 2U);
  EXPECT_TRUE(queue.empty());
}

// Against a map of bytes.
TEST_P(ReassemblyTest, RandomSegments) {
  Rng rng(GetParam() + 3);
  std::map<std::uint32_t, char> model;  // offset -> byte; '$' a FIN
  std::uint32_t next = 0;
  for (int step = 0; step < 20000; ++step) {
    if (rng.below(5) != 0) {
      const std::uint32_t offset = next + static_cast<std::uint32_t>(rng.below(300));
      std::string bytes(rng.below(rng.below(4) == 0 ? 120 : 8), static_cast<char>('a' + rng.below(26)));
      const std::size_t before = model.size();
      std::optional<SeqRange> duplicate;
      for (std::uint32_t i = 0; i < bytes.size(); ++i) {
        if (!model.contains(offset + i)) {
          model[offset + i] = bytes[i];
        } else if (!duplicate) {
          duplicate = SeqRange{at(offset + i), at(offset + i + 1)};
        } else if (duplicate->end == at(offset + i)) {
          duplicate->end = at(offset + i + 1);
        }
      }
      const auto r = insert(offset, bytes);
      ASSERT_EQ(r.accepted, model.size() != before);
      ASSERT_FALSE(r.no_memory);
      ASSERT_EQ(r.duplicate, duplicate.value_or(SeqRange{}));
      if (!bytes.empty()) {
        std::uint32_t low = offset, high = offset;
        while (model.contains(low - 1) && low > 0) --low;
        while (model.contains(high)) ++high;
        if (r.accepted) {
          ASSERT_TRUE(r.block.begin <= at(offset + static_cast<std::uint32_t>(bytes.size())));
        }
        if (!r.accepted || r.duplicate.empty()) {
          ASSERT_EQ(r.block, range(low, high));
        }
      }
      ASSERT_EQ(queue.bytes(), model.size());
    } else {
      next += static_cast<std::uint32_t>(rng.below(40));
      model.erase(model.begin(), model.lower_bound(next));
      const std::string got = drain(next);
      for (char c : got) {
        ASSERT_EQ(model.at(next), c);
        model.erase(next++);
      }
      ASSERT_FALSE(model.contains(next));
      if (model.empty()) {
        ASSERT_TRUE(queue.empty());
      }
    }
  }
}

TEST_P(ReassemblyTest, WantOfMemoryLosesNothingHeld) {
  Rng rng(5);
  for (int step = 0; step < 5000; ++step) {
    const auto offset = static_cast<std::uint32_t>(rng.below(2000));
    Frame f = pool.allocate(65536);
    f.trim_back(f.size() - 1 - rng.below(200));
    for (std::size_t i = 0; i < f.size(); ++i) f.mutable_bytes()[i] = static_cast<std::uint8_t>(offset + i);
    pool.fail_after(1 + rng.below(3));
    queue.insert(at(offset), std::move(f), false, pool);
    pool.fail_after(0);
  }
  std::uint32_t next = 0;
  while (!queue.empty()) {
    auto taken = queue.pop_at(at(next));
    if (!taken.present) {
      ++next;
      continue;
    }
    for (std::uint8_t b : taken.payload.bytes()) ASSERT_EQ(b, static_cast<std::uint8_t>(next++));
  }
}

INSTANTIATE_TEST_SUITE_P(Starts, ReassemblyTest, testing::Values(0U, 0x7fffff80U, 0xffffff80U));

}  // namespace
}  // namespace tapir::tcp
