// SPDX-License-Identifier: Apache-2.0
#include "base/shared_pool.h"

#include <gtest/gtest.h>

#include <vector>

namespace tapir {
namespace {

struct Settings {
  int a = 0;
  int b = 0;
  friend bool operator==(const Settings&, const Settings&) = default;
};

TEST(SharedPool, EqualValuesAreOne) {
  SharedPool<Settings> pool(100);
  const Settings* first = pool.share({1, 2});
  const Settings* second = pool.share({1, 2});
  const Settings* other = pool.share({1, 3});
  EXPECT_EQ(first, second);
  EXPECT_NE(first, other);
  EXPECT_EQ(pool.size(), 2u);
  pool.drop(first);
  EXPECT_EQ(*second, (Settings{1, 2}));
  pool.drop(second);
  pool.drop(other);
  EXPECT_EQ(pool.size(), 0u);
}

TEST(SharedPool, AChangeIsTheOwnersAlone) {
  SharedPool<Settings> pool(100);
  const Settings* mine = pool.share({1, 1});
  const Settings* theirs = pool.share({1, 1});
  Settings* edited = pool.own(mine);
  ASSERT_NE(edited, nullptr);
  edited->b = 7;
  EXPECT_EQ(theirs->b, 1);
  EXPECT_EQ(mine->b, 7);
  // While it is edited nobody comes to share it.
  const Settings* third = pool.share({1, 7});
  EXPECT_NE(third, mine);
  pool.settle(mine);
  EXPECT_EQ(third, mine);
  EXPECT_EQ(pool.size(), 2u);
  pool.drop(mine);
  pool.drop(third);
  pool.drop(theirs);
  EXPECT_EQ(pool.size(), 0u);
}

TEST(SharedPool, ChangedBackItIsSharedAgain) {
  SharedPool<Settings> pool(100);
  const Settings* mine = pool.share({1, 1});
  const Settings* theirs = pool.share({1, 1});
  pool.own(mine)->a = 1;
  pool.settle(mine);
  EXPECT_EQ(mine, theirs);
  EXPECT_EQ(pool.size(), 1u);
  pool.drop(mine);
  pool.drop(theirs);
}

TEST(SharedPool, ManyKindsCostMemoryAndNothingElse) {
  SharedPool<Settings> pool(1000);
  std::vector<const Settings*> held;
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 100; ++i) held.push_back(pool.share({i, 0}));
  for (std::size_t i = 0; i < held.size(); ++i) EXPECT_EQ(held[i]->a, static_cast<int>(i % 100));
  for (const Settings* each : held) pool.drop(each);
  EXPECT_EQ(pool.size(), 0u);
}

TEST(SharedPool, WithoutMemoryItAnswersNone) {
  SharedPool<Settings> pool(1);
  const Settings* mine = pool.share({1, 1});
  const Settings* theirs = pool.share({1, 1});
  EXPECT_EQ(pool.share({2, 2}), nullptr);
  EXPECT_EQ(pool.own(mine), nullptr);
  EXPECT_EQ(mine, theirs);
  pool.drop(mine);
  EXPECT_NE(pool.own(theirs), nullptr);
  pool.settle(theirs);
  pool.drop(theirs);
}

}  // namespace
}  // namespace tapir
