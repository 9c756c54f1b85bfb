// SPDX-License-Identifier: Apache-2.0
#include "tcp/demux.h"

#include <gtest/gtest.h>

#include <set>

namespace tapir::tcp {
namespace {

const IpAddress kOurs = IpAddress::v4(10, 0, 0, 1);
const IpAddress kPeer = IpAddress::v4(10, 0, 0, 2);

TEST(RecordRef, PacksAndUnpacks) {
  for (const auto kind :
       {RecordRef::Kind::kConnection, RecordRef::Kind::kHalfOpen, RecordRef::Kind::kTimeWait})
    for (const std::uint32_t index : {0U, 1U, kRecordIndexMax - 1}) {
      const RecordRef ref{kind, index};
      EXPECT_EQ(RecordRef::unpack(ref.packed()), ref);
    }
}

TEST(EstablishedTable, FindsByBothEnds) {
  EstablishedTable table({1, 2}, 100, {});
  const FourTuple tuple{{kOurs, 80}, {kPeer, 4000}};
  const RecordRef ref{RecordRef::Kind::kHalfOpen, 7};
  EXPECT_TRUE(table.insert(tuple, ref));
  EXPECT_EQ(table.find(tuple, [&](RecordRef r) { return r == ref; }), ref);
  FourTuple other = tuple;
  other.remote.port = 4001;
  EXPECT_FALSE(table.find(other, [](RecordRef) { return true; }));
  EXPECT_FALSE(table.erase(tuple, {RecordRef::Kind::kConnection, 7}));
  EXPECT_TRUE(table.erase(tuple, ref));
  EXPECT_EQ(table.size(), 0U);
}

class ListeningTableTest : public testing::Test {
 protected:
  std::uint32_t add(const Endpoint& local, InterfaceId bound = kNoInterface, bool reuse = false) {
    const auto id = listeners.emplace(local, bound, 8U, reuse, ++began, SocketOptions{});
    EXPECT_TRUE(table.insert(local, id.index));
    return id.index;
  }
  std::uint32_t lookup(const Endpoint& local, std::uint16_t remote_port = 1, InterfaceId interface = 1) {
    Listener* found = table.lookup({local, {kPeer, remote_port}}, interface, listeners);
    return found == nullptr ? 0xffffffff : listeners.handle_of(*found).index;
  }
  Slab<Listener> listeners{100};
  ListeningTable table{{1, 2}, 100, {}};
  std::uint64_t began = 0;
};

TEST_F(ListeningTableTest, ExactBeforeAnyBeforeNone) {
  const auto any = add({IpAddress::any_v4(), 80});
  const auto exact = add({kOurs, 80});
  const auto dual = add({IpAddress(), 81});
  EXPECT_EQ(lookup({kOurs, 80}), exact);
  EXPECT_EQ(lookup({kPeer, 80}), any);
  EXPECT_EQ(lookup({kOurs, 81}), dual);
  EXPECT_EQ(lookup({kOurs, 82}), 0xffffffffU);
}

TEST_F(ListeningTableTest, ABoundInterfaceFiltersAndGoesFirst) {
  const auto free = add({kOurs, 80});
  const auto bound = add({kOurs, 80}, 2);
  EXPECT_EQ(lookup({kOurs, 80}, 1, 1), free);
  EXPECT_EQ(lookup({kOurs, 80}, 1, 2), bound);
}

TEST_F(ListeningTableTest, AReusePortGroupSharesByTuple) {
  for (int i = 0; i < 4; ++i) add({kOurs, 80}, kNoInterface, true);
  std::array<int, 4> hits{};
  for (std::uint16_t port = 1; port <= 4000; ++port) {
    const auto first = lookup({kOurs, 80}, port);
    ASSERT_LT(first, 4U);
    ASSERT_EQ(lookup({kOurs, 80}, port), first);  // always the same
    ++hits[first];
  }
  for (const int n : hits) EXPECT_NEAR(n, 1000, 150);
}

}  // namespace
}  // namespace tapir::tcp
