// SPDX-License-Identifier: Apache-2.0
#include "tcp/isn.h"

#include <gtest/gtest.h>

#include <array>

#include "tcp/paws.h"

namespace tapir::tcp {
namespace {

FourTuple tuple(std::uint16_t port) {
  return {{IpAddress::v4(10, 0, 0, 1), port}, {IpAddress::v4(10, 0, 0, 2), 80}};
}

TEST(Isn, RisesWithTimeForOneTuple) {
  const IsnGenerator isns({1, 2}, {3, 4});
  const Instant t{std::chrono::hours(1)};
  EXPECT_EQ(isns.iss(tuple(1), t + 64ns) - isns.iss(tuple(1), t), 1U);
  EXPECT_EQ(isns.iss(tuple(1), t + 64ms) - isns.iss(tuple(1), t), 1000000U);
}

TEST(Isn, TapipBug10_TuplesAndBootsHaveNothingInCommon) {
  const IsnGenerator isns({1, 2}, {3, 4});
  const IsnGenerator other({1, 3}, {3, 5});
  const Instant t{};
  std::array<int, 16> buckets{};
  for (std::uint16_t port = 0; port < 16000; ++port) {
    ++buckets[isns.iss(tuple(port), t).value() >> 28];
    EXPECT_NE(isns.iss(tuple(port), t), other.iss(tuple(port), t));
  }
  for (const int n : buckets) {
    EXPECT_GT(n, 850);
    EXPECT_LT(n, 1150);
  }
}

TEST(Isn, TheTimestampOffsetIsOfTheAddresses) {
  const IsnGenerator isns({1, 2}, {3, 4});
  const IsnGenerator other({1, 2}, {3, 5});
  const IpAddress a = IpAddress::v4(10, 0, 0, 1);
  const IpAddress b = IpAddress::v4(10, 0, 0, 2);
  EXPECT_EQ(isns.timestamp_offset(a, b), isns.timestamp_offset(a, b));
  EXPECT_NE(isns.timestamp_offset(a, b), isns.timestamp_offset(b, a));
  EXPECT_NE(isns.timestamp_offset(a, b), other.timestamp_offset(a, b));
}

TEST(Isn, CanBeForced) {
  IsnGenerator isns({1, 2}, {3, 4});
  isns.force_iss(SeqNum(0x7fffffff));
  EXPECT_EQ(isns.iss(tuple(1), Instant{}).value(), 0x7fffffffU);
  isns.force_iss(std::nullopt);
  EXPECT_NE(isns.iss(tuple(1), Instant{}).value(), 0x7fffffffU);
}

TEST(Paws, RefusesWhatIsOlderUntilItIsForgotten) {
  EXPECT_FALSE(paws_reject(100, 1s, 100, false));
  EXPECT_TRUE(paws_reject(100, 1s, 99, false));
  EXPECT_TRUE(paws_reject(5, 1s, 0xfffffff0, false));
  EXPECT_FALSE(paws_reject(0xfffffff0, 1s, 5, false));
  EXPECT_FALSE(paws_reject(0, 1s, 0xfffffff0, false));  // nothing heard yet
  EXPECT_FALSE(paws_reject(100, kPawsIdle, 99, false));
  EXPECT_TRUE(paws_reject(100, 59s, 99, true));
  EXPECT_FALSE(paws_reject(100, 60s, 99, true));
}

TEST(Paws, WindowOfTheSmallRecords) {
  const auto in = [](std::uint32_t begin, std::uint32_t length, std::uint32_t window) {
    return in_window({SeqNum(begin), SeqNum(begin) + length}, SeqNum(1000), window);
  };
  EXPECT_TRUE(in(1000, 0, 0));
  EXPECT_TRUE(in(1000, 1, 0));
  EXPECT_FALSE(in(999, 1, 100));
  EXPECT_TRUE(in(999, 2, 100));
  EXPECT_TRUE(in(1099, 5, 100));
  EXPECT_FALSE(in(1100, 1, 100));
  EXPECT_TRUE(in(1100, 0, 100));
  EXPECT_FALSE(in(1101, 0, 100));
  EXPECT_FALSE(in(999, 0, 100));
}

}  // namespace
}  // namespace tapir::tcp
