// SPDX-License-Identifier: Apache-2.0
// A shell's line as words.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace tapir::cli {

// Words of one command; a line can hold more, one input file many.
inline constexpr std::size_t kWordsMax = 1024;

// The commands of a line, separated by ';', each of one word or more; '#' begins a comment. Words are
// separated by blanks; '…' and "…" keep blanks, \ keeps the next character. Error, a sentence: a quote is not
// closed, or there are more than kWordsMax words.
std::expected<std::vector<std::vector<std::string>>, std::string> split_commands(std::string_view line);

}  // namespace tapir::cli
