// SPDX-License-Identifier: Apache-2.0
#include "base/slab.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <vector>

#include "base/rng.h"

namespace tapir {
namespace {

struct Item {
  explicit Item(int v, int* deaths_counter = nullptr) : value(v), deaths(deaths_counter) {}
  Item(const Item&) = delete;
  Item& operator=(const Item&) = delete;
  ~Item() {
    if (deaths != nullptr) ++*deaths;
  }
  int value;
  int* deaths;
};

struct alignas(64) Wide {
  std::uint8_t bytes[64];
};

// A budget that can be told to refuse the n-th request.
struct Budget {
  std::ptrdiff_t used = 0;
  int refuse_in = 0;
  ChargeHook hook() {
    return {[](void* self, std::ptrdiff_t bytes) {
              auto& budget = *static_cast<Budget*>(self);
              if (bytes > 0 && budget.refuse_in != 0 && --budget.refuse_in == 0) return false;
              budget.used += bytes;
              return true;
            },
            this};
  }
};

TEST(Slab, NamesItsObjects) {
  Slab<Item> slab(10);
  const Handle<Item> handle = slab.emplace(42);
  ASSERT_TRUE(handle);
  Item* item = slab.get(handle);
  ASSERT_NE(item, nullptr);
  EXPECT_EQ(item->value, 42);
  EXPECT_EQ(slab.at(handle.index), item);
  EXPECT_EQ(slab.handle_of(*item), handle);
  EXPECT_EQ(Handle<Item>::unpack(handle.packed()), handle);
  EXPECT_EQ(slab.get(Handle<Item>{}), nullptr);
  EXPECT_EQ(slab.at(handle.index + 1), nullptr);
  EXPECT_EQ(slab.get({1'000'000, 1}), nullptr);
}

TEST(Slab, OldHandlesNameNothing) {
  Slab<Item> slab(10);
  const Handle<Item> keep = slab.emplace(0);
  const Handle<Item> first = slab.emplace(1);
  EXPECT_TRUE(slab.erase(first));
  EXPECT_FALSE(slab.erase(first));
  EXPECT_EQ(slab.get(first), nullptr);
  EXPECT_EQ(slab.at(first.index), nullptr);
  const Handle<Item> second = slab.emplace(2);
  EXPECT_EQ(second.index, first.index);
  EXPECT_NE(second.generation, first.generation);
  EXPECT_EQ(slab.get(first), nullptr);
  EXPECT_NE(slab.get(keep), nullptr);
}

TEST(Slab, OldHandlesNameNothingAfterTheMemoryWasGivenBack) {
  Slab<Item> slab(10);
  const Handle<Item> first = slab.emplace(1);
  slab.erase(first);
  EXPECT_EQ(slab.allocated_bytes(), 0u);
  const Handle<Item> second = slab.emplace(2);
  EXPECT_EQ(second.index, first.index);
  EXPECT_EQ(slab.get(first), nullptr);
}

TEST(Slab, StopsAtItsLimit) {
  Slab<Item> slab(3);
  std::vector<Handle<Item>> handles;
  for (int i = 0; i < 3; ++i) handles.push_back(slab.emplace(i));
  EXPECT_FALSE(slab.emplace(3));
  slab.erase(handles[1]);
  EXPECT_TRUE(slab.emplace(4));
  EXPECT_FALSE(slab.emplace(5));
  slab.set_limit(4);
  EXPECT_TRUE(slab.emplace(6));
  EXPECT_EQ(slab.size(), 4u);
}

TEST(Slab, AddressesAreStable) {
  Slab<Item> slab(100'000);
  std::vector<std::pair<Handle<Item>, const Item*>> made;
  for (int i = 0; i < 5000; ++i) {
    const Handle<Item> handle = slab.emplace(i);
    made.emplace_back(handle, slab.get(handle));
  }
  for (std::size_t i = 0; i < made.size(); ++i) {
    EXPECT_EQ(slab.get(made[i].first), made[i].second);
    EXPECT_EQ(made[i].second->value, static_cast<int>(i));
    EXPECT_EQ(made[i].first.index, i);
  }
}

TEST(Slab, CostsEightBytesAnObjectAndKeepsAlignment) {
  Slab<std::array<std::uint64_t, 4>> slab(100'000);
  for (int i = 0; i < 50'000; ++i) slab.emplace();
  EXPECT_LE(slab.allocated_bytes(), 50'000u * 40u * 101 / 100 + 16'384);

  Slab<Wide> wide(100);
  for (int i = 0; i < 100; ++i) {
    const Handle<Wide> handle = wide.emplace();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(wide.get(handle)) % 64, 0u);
  }
}

TEST(Slab, DestroysWhatItHolds) {
  int deaths = 0;
  {
    Slab<Item> slab(1000);
    for (int i = 0; i < 700; ++i) slab.emplace(i, &deaths);
    slab.erase(slab.handle_of(*slab.at(5)));
    EXPECT_EQ(deaths, 1);
    slab.erase(*slab.at(6));
    EXPECT_EQ(deaths, 2);
  }
  EXPECT_EQ(deaths, 700);
}

TEST(Slab, GivesMemoryBackByChunks) {
  Budget budget;
  Slab<Item> slab(100'000, budget.hook());
  std::vector<Handle<Item>> handles;
  for (int i = 0; i < 4000; ++i) handles.push_back(slab.emplace(i));
  const std::ptrdiff_t full = budget.used;
  EXPECT_EQ(static_cast<std::size_t>(full), slab.allocated_bytes());
  for (std::size_t i = 0; i < 3990; ++i) slab.erase(handles[i]);
  slab.trim();
  EXPECT_LT(budget.used, full / 8);
  EXPECT_EQ(slab.get(handles[3995])->value, 3995);
  EXPECT_EQ(slab.get(handles[1]), nullptr);
  // The freed indices are used again, by objects of other generations.
  const Handle<Item> again = slab.emplace(-1);
  EXPECT_LT(again.index, 4000u);
  EXPECT_EQ(slab.get(handles[again.index]), nullptr);
  slab.clear();
  EXPECT_EQ(budget.used, 0);
  EXPECT_EQ(slab.size(), 0u);
  EXPECT_TRUE(slab.emplace(1));
}

TEST(Slab, AnswersNoneWhenMemoryIsRefused) {
  for (int n = 1; n < 12; ++n) {
    Budget budget;
    budget.refuse_in = n;
    Slab<Item> slab(100'000, budget.hook());
    int refused = 0;
    for (int i = 0; i < 3000; ++i)
      if (!slab.emplace(i)) ++refused;
    EXPECT_EQ(refused, 1) << n;
    EXPECT_EQ(slab.size(), 2999u);
    slab.clear();
    EXPECT_EQ(budget.used, 0);
  }
}

TEST(Slab, AFirstChunkThatIsRefusedLeavesNothingBehind) {
  Budget budget;
  budget.refuse_in = 2;
  Slab<Item> slab(10, budget.hook());
  EXPECT_FALSE(slab.emplace(1));
  EXPECT_EQ(budget.used, 0);
}

TEST(Slab, VisitsInIndexOrderAndMayEraseTheVisited) {
  Slab<Item> slab(1000);
  for (int i = 0; i < 1000; ++i) slab.emplace(i);
  int expected = 0;
  slab.for_each([&](Item& item) {
    EXPECT_EQ(item.value, expected++);
    if (item.value % 3 != 0) slab.erase(item);
  });
  EXPECT_EQ(expected, 1000);
  EXPECT_EQ(slab.size(), 334u);
  slab.for_each([&](Item& item) { slab.erase(item); });
  EXPECT_TRUE(slab.empty());
}

TEST(Slab, AgreesWithAMap) {
  Rng rng(3);
  Budget budget;
  Slab<Item> slab(600, budget.hook());
  std::map<std::uint64_t, int> model;
  std::vector<Handle<Item>> handles;
  for (int step = 0; step < 50'000; ++step) {
    const std::uint64_t what = rng.below(100);
    if (what < 50) {
      const Handle<Item> handle = slab.emplace(step);
      ASSERT_EQ(static_cast<bool>(handle), model.size() < 600);
      if (handle) {
        ASSERT_TRUE(model.emplace(handle.packed(), step).second);
        handles.push_back(handle);
      }
    } else if (what < 98 && !handles.empty()) {
      const Handle<Item> handle = handles[rng.below(handles.size())];
      const auto found = model.find(handle.packed());
      const Item* item = slab.get(handle);
      ASSERT_EQ(item != nullptr, found != model.end());
      if (item != nullptr) {
        ASSERT_EQ(item->value, found->second);
      }
      ASSERT_EQ(slab.erase(handle), model.erase(handle.packed()) == 1);
    } else if (what == 98) {
      slab.trim();
    } else if (rng.below(40) == 0) {
      slab.clear();
      model.clear();
      ASSERT_EQ(budget.used, 0);
    }
    ASSERT_EQ(slab.size(), model.size());
  }
}

TEST(Slab, AChunkThatIsKeptIsThereFromTheStart) {
  Budget budget;
  {
    Slab<Item> slab(1000, budget.hook(), true);
    const auto held = budget.used;
    EXPECT_GT(held, 0);
    for (int round = 0; round < 3; ++round) {
      const Handle<Item> handle = slab.emplace(round);
      EXPECT_EQ(budget.used, held);
      EXPECT_TRUE(slab.erase(handle));
      EXPECT_EQ(slab.get(handle), nullptr);
      EXPECT_EQ(budget.used, held);
    }
    std::vector<Handle<Item>> many;
    for (int i = 0; i < 500; ++i) many.push_back(slab.emplace(i));
    for (const Handle<Item>& handle : many) EXPECT_TRUE(slab.erase(handle));
    slab.clear();
    EXPECT_LE(budget.used, held + 1024);  // the directory may have grown
  }
  EXPECT_EQ(budget.used, 0);
}

}  // namespace
}  // namespace tapir
