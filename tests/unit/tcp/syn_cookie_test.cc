// SPDX-License-Identifier: Apache-2.0
#include "tcp/syn_cookie.h"

#include <gtest/gtest.h>

namespace tapir::tcp {
namespace {

const FourTuple kTuple{{IpAddress::v4(10, 0, 0, 1), 80}, {IpAddress::v4(10, 0, 0, 2), 4000}};
const SynCookies kCookies({1, 2}, {3, 4});
const Instant kStart{std::chrono::seconds(6000)};

TEST(SynCookies, GiveTheMssBackRoundedDown) {
  const std::pair<std::uint16_t, std::uint16_t> cases[] = {
      {48, 536}, {536, 536}, {1299, 536}, {1300, 1300}, {1459, 1440}, {1460, 1460}, {9000, 1460}};
  for (const auto& [given, kept] : cases) {
    std::uint16_t mss = given;
    const SeqNum cookie = kCookies.make(kTuple, SeqNum(1000), mss, kStart);
    EXPECT_EQ(mss, kept);
    EXPECT_EQ(kCookies.check(kTuple, SeqNum(1000), cookie, kStart), kept);
  }
}

TEST(SynCookies, LastTwoMinutes) {
  std::uint16_t mss = 1460;
  const SeqNum cookie = kCookies.make(kTuple, SeqNum(1000), mss, kStart);
  EXPECT_TRUE(kCookies.check(kTuple, SeqNum(1000), cookie, kStart + 119s));
  EXPECT_FALSE(kCookies.check(kTuple, SeqNum(1000), cookie, kStart + 120s));
  EXPECT_FALSE(kCookies.check(kTuple, SeqNum(1000), cookie, kStart - 1s));
}

TEST(SynCookies, BelongToOneTupleOneSynAndOneKey) {
  std::uint16_t mss = 1460;
  const SeqNum cookie = kCookies.make(kTuple, SeqNum(1000), mss, kStart);
  EXPECT_FALSE(kCookies.check(kTuple, SeqNum(2000), cookie, kStart));
  FourTuple other = kTuple;
  other.remote.port = 4001;
  EXPECT_FALSE(kCookies.check(other, SeqNum(1000), cookie, kStart));
  EXPECT_FALSE(SynCookies({1, 2}, {3, 5}).check(kTuple, SeqNum(1000), cookie, kStart));
}

TEST(SynCookies, GuessesFail) {
  int accepted = 0;
  for (std::uint32_t i = 0; i < 200000; ++i)
    accepted += kCookies.check(kTuple, SeqNum(1000), SeqNum(i * 21475), kStart) ? 1 : 0;
  EXPECT_LE(accepted, 2);  // 8 of 2^32 values are good
}

TEST(SynCookies, OptionsSurviveInTheTimestamp) {
  const Knobs knobs;
  for (const std::uint32_t clock : {0U, 63U, 64U, 1000000U, 0xffffffffU})
    for (std::uint8_t scale = 0; scale <= 14; ++scale)
      for (const bool flag : {false, true}) {
        CookieOptions options;
        options.window_scale = scale;
        options.sack = flag;
        options.ecn = !flag;
        const std::uint32_t stamp = cookie_timestamp(options, clock);
        EXPECT_LT(clock - stamp, 64U);  // a little in the past, never in the future
        EXPECT_EQ(cookie_options(stamp, knobs), options);
      }
  EXPECT_EQ(cookie_options(cookie_timestamp({}, 12345), knobs), CookieOptions{});
}

TEST(SynCookies, OptionsThatAreOffAreNotOurs) {
  CookieOptions options;
  options.window_scale = std::uint8_t{7};
  options.sack = true;
  const std::uint32_t stamp = cookie_timestamp(options, 99999);
  Knobs knobs;
  knobs.tcp_sack = 0;
  EXPECT_FALSE(cookie_options(stamp, knobs));
  knobs.tcp_sack = 1;
  knobs.tcp_window_scaling = 0;
  EXPECT_FALSE(cookie_options(stamp, knobs));
  knobs.tcp_window_scaling = 1;
  knobs.tcp_timestamps = 0;
  EXPECT_FALSE(cookie_options(stamp, knobs));
}

}  // namespace
}  // namespace tapir::tcp
