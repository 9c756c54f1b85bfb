// SPDX-License-Identifier: Apache-2.0
#include "cli/words.h"

#include <gtest/gtest.h>

namespace tapir::cli {
namespace {

using Commands = std::vector<std::vector<std::string>>;

TEST(Words, BlanksSemicolonsQuotesAndComments) {
  EXPECT_EQ(*split_commands(""), Commands{});
  EXPECT_EQ(*split_commands("  ping  -c 1\t10.0.0.2 "), (Commands{{"ping", "-c", "1", "10.0.0.2"}}));
  EXPECT_EQ(*split_commands("ss -t; ;stat # and more; not this"), (Commands{{"ss", "-t"}, {"stat"}}));
  EXPECT_EQ(*split_commands("ss '( sport = :80 )' \"a \\\"b\\\"\" c\\ d e#f ''"),
            (Commands{{"ss", "( sport = :80 )", "a \"b\"", "c d", "e#f", ""}}));
}

// tapip kept argv[16] and never looked at how many there were.
TEST(Words, TapipBug26_TooManyAreRefused) {
  std::string line;
  for (std::size_t i = 0; i < kWordsMax; ++i) line += "w ";
  ASSERT_TRUE(split_commands(line));
  EXPECT_EQ(split_commands(line)->front().size(), kWordsMax);
  EXPECT_FALSE(split_commands(line + "w w"));
}

TEST(Words, AnOpenQuoteIsSaid) {
  EXPECT_EQ(split_commands("ss 'sport").error(), "the quote ' is not closed");
}

}  // namespace
}  // namespace tapir::cli
