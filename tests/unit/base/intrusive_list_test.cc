// SPDX-License-Identifier: Apache-2.0
#include "base/intrusive_list.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace tapir {
namespace {

struct Ready;
struct Waiting;
struct Item : ListLink<Ready>, ListLink<Waiting> {
  explicit Item(int v) : value(v) {}
  int value;
};

template <typename List>
std::vector<int> values(const List& list) {
  std::vector<int> all;
  for (const Item& item : list) all.push_back(item.value);
  return all;
}

TEST(IntrusiveList, KeepsOrder) {
  Item a(1), b(2), c(3), d(4);  // elements outlive their list
  IntrusiveList<Item, Ready> list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.front(), nullptr);
  EXPECT_EQ(list.back(), nullptr);
  EXPECT_EQ(list.pop_front(), nullptr);
  list.push_back(b);
  list.push_front(a);
  list.push_back(d);
  list.insert_before(d, c);
  EXPECT_EQ(values(list), (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(list.size(), 4u);
  EXPECT_EQ(list.front(), &a);
  EXPECT_EQ(list.back(), &d);
  EXPECT_EQ(list.next(b), &c);
  EXPECT_EQ(list.next(d), nullptr);
  EXPECT_EQ(list.prev(a), nullptr);
  list.erase(b);
  EXPECT_FALSE(static_cast<ListLink<Ready>&>(b).linked());
  EXPECT_EQ(list.pop_front(), &a);
  EXPECT_EQ(values(list), (std::vector<int>{3, 4}));
}

TEST(IntrusiveList, AnElementIsInAListPerTag) {
  Item a(1), b(2);
  IntrusiveList<Item, Ready> ready;
  IntrusiveList<Item, Waiting> waiting;
  ready.push_back(a);
  ready.push_back(b);
  waiting.push_back(b);
  waiting.push_back(a);
  EXPECT_EQ(values(ready), (std::vector<int>{1, 2}));
  EXPECT_EQ(values(waiting), (std::vector<int>{2, 1}));
  ready.erase(a);
  EXPECT_EQ(values(waiting), (std::vector<int>{2, 1}));
}

TEST(IntrusiveList, MovesWithItsElements) {
  Item a(1), b(2), c(3);
  IntrusiveList<Item, Ready> from;
  from.push_back(a);
  from.push_back(b);
  IntrusiveList<Item, Ready> to(std::move(from));
  EXPECT_EQ(values(to), (std::vector<int>{1, 2}));
  IntrusiveList<Item, Ready> third;
  third.push_back(c);
  third = std::move(to);
  EXPECT_EQ(values(third), (std::vector<int>{1, 2}));
  EXPECT_FALSE(static_cast<ListLink<Ready>&>(c).linked());
  third.erase(a);
  third.erase(b);
  EXPECT_TRUE(third.empty());
}

TEST(IntrusiveList, ErasingBehindTheIteratorIsAllowed) {
  std::vector<Item> items;
  items.reserve(10);
  IntrusiveList<Item, Ready> list;
  for (int i = 0; i < 10; ++i) list.push_back(items.emplace_back(i));
  for (auto it = list.begin(); it != list.end();) {
    Item& item = *it++;
    if (item.value % 2 == 0) list.erase(item);
  }
  EXPECT_EQ(values(list), (std::vector<int>{1, 3, 5, 7, 9}));
}

TEST(IntrusiveListDeath, AnElementIsInOneListOfATag) {
  Item a(1);
  IntrusiveList<Item, Ready> list;
  list.push_back(a);
  EXPECT_DEATH(list.push_back(a), "at most one list");
}

}  // namespace
}  // namespace tapir
