// SPDX-License-Identifier: Apache-2.0
#include "base/keyed_table.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/siphash.h"

namespace tapir {
namespace {

std::uint64_t hash_of(std::uint32_t key) { return siphash_1_3({1, 2}, std::array<std::uint64_t, 1>{key}); }
auto is(std::uint32_t value) {
  return [value](std::uint32_t candidate) { return candidate == value; };
}

TEST(KeyedTable, FindsWhatWasInserted) {
  KeyedTable<> table(1000);
  EXPECT_EQ(table.find(hash_of(1), is(1)), std::nullopt);
  for (std::uint32_t i = 0; i < 1000; ++i) ASSERT_TRUE(table.insert(hash_of(i), i));
  for (std::uint32_t i = 0; i < 1000; ++i) EXPECT_EQ(table.find(hash_of(i), is(i)), i);
  EXPECT_EQ(table.find(hash_of(1001), is(1001)), std::nullopt);
  EXPECT_FALSE(table.insert(hash_of(1001), 1001)) << "over the limit";
}

TEST(KeyedTable, TheCallerDecidesWhatIsEqual) {
  KeyedTable<> table(100);
  // Two keys with the same hash.
  ASSERT_TRUE(table.insert(77, 1));
  ASSERT_TRUE(table.insert(77, 2));
  EXPECT_EQ(table.find(77, is(2)), 2u);
  EXPECT_EQ(table.find(77, is(1)), 1u);
  EXPECT_EQ(table.find(77, [](std::uint32_t) { return false; }), std::nullopt);
  EXPECT_TRUE(table.erase(77, 1));
  EXPECT_FALSE(table.erase(77, 1));
  EXPECT_EQ(table.find(77, [](std::uint32_t) { return true; }), 2u);
}

TEST(KeyedTable, GrowsAndShrinks) {
  KeyedTable<> table(100'000);
  for (std::uint32_t i = 0; i < 10'000; ++i) ASSERT_TRUE(table.insert(hash_of(i), i));
  const std::size_t grown = table.capacity();
  EXPECT_LE(grown, 16'384u);
  EXPECT_LE(table.longest_probe(), 60u);
  for (std::uint32_t i = 100; i < 10'000; ++i) ASSERT_TRUE(table.erase(hash_of(i), i));
  EXPECT_LT(table.capacity(), 2048u);
  for (std::uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(table.find(hash_of(i), is(i)));
  for (std::uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(table.erase(hash_of(i), i));
  EXPECT_EQ(table.capacity(), 0u);
}

TEST(KeyedTable, AnswersNoWhenMemoryIsRefused) {
  struct Budget {
    std::ptrdiff_t used = 0;
    std::ptrdiff_t limit = 16 * 8;
  } budget;
  const ChargeHook hook{[](void* self, std::ptrdiff_t bytes) {
                          auto& b = *static_cast<Budget*>(self);
                          if (b.used + bytes > b.limit) return false;
                          b.used += bytes;
                          return true;
                        },
                        &budget};
  {
    KeyedTable<> table(1000, hook);
    for (std::uint32_t i = 0; i < 14; ++i) ASSERT_TRUE(table.insert(hash_of(i), i));
    EXPECT_FALSE(table.insert(hash_of(14), 14));
    EXPECT_EQ(table.size(), 14u);
    for (std::uint32_t i = 0; i < 14; ++i) EXPECT_EQ(table.find(hash_of(i), is(i)), i);
    budget.limit = 1 << 20;
    EXPECT_TRUE(table.insert(hash_of(14), 14));
  }
  EXPECT_EQ(budget.used, 0);
}

TEST(KeyedTable, AgreesWithAMultimap) {
  // Few distinct hashes: long runs, wrap-around and backward shifts all happen.
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Rng rng(seed);
    KeyedTable<> table(300);
    std::multimap<std::uint64_t, std::uint32_t> model;
    for (std::uint32_t step = 0; step < 5000; ++step) {
      const std::uint64_t hash = rng.below(seed % 2 == 0 ? 40 : 1'000'000'000'000);
      if (rng.below(100) < (step / 1000 % 2 == 0 ? 65u : 35u)) {
        if (seed % 2 == 0 && model.count(hash) > 4) continue;
        const bool room = model.size() < 300;
        ASSERT_EQ(table.insert(hash, step), room);
        if (room) model.emplace(hash, step);
      } else if (!model.empty()) {
        auto victim = model.begin();
        std::advance(victim, static_cast<std::ptrdiff_t>(rng.below(model.size())));
        ASSERT_EQ(table.find(victim->first, is(victim->second)), victim->second);
        ASSERT_TRUE(table.erase(victim->first, victim->second));
        ASSERT_FALSE(table.erase(victim->first, victim->second));
        model.erase(victim);
      }
      ASSERT_EQ(table.size(), model.size());
    }
    for (const auto& [hash, value] : model) ASSERT_EQ(table.find(hash, is(value)), value);
  }
}

}  // namespace
}  // namespace tapir
