// SPDX-License-Identifier: Apache-2.0
#include "cli/words.h"

#include <fmt/format.h>

#include <utility>

namespace tapir::cli {

std::expected<std::vector<std::vector<std::string>>, std::string> split_commands(std::string_view line) {
  std::vector<std::vector<std::string>> commands;
  std::vector<std::string> command;
  std::string word;
  bool in_word = false;
  char quote = 0;
  const auto end_word = [&] {
    if (std::exchange(in_word, false)) command.push_back(std::exchange(word, {}));
  };
  const auto end_command = [&] {
    end_word();
    if (!command.empty()) commands.push_back(std::exchange(command, {}));
  };
  for (std::size_t at = 0; at < line.size(); ++at) {
    const char c = line[at];
    if (command.size() >= kWordsMax)
      return std::unexpected(fmt::format("too many arguments: a command has at most {} words", kWordsMax));
    if (quote != 0) {
      if (c == quote)
        quote = 0;
      else if (c == '\\' && quote == '"' && at + 1 < line.size() &&
               (line[at + 1] == '"' || line[at + 1] == '\\'))
        word += line[++at];
      else
        word += c;
      continue;
    }
    switch (c) {
      case '\'':
      case '"':
        quote = c;
        in_word = true;
        break;
      case '\\':
        if (at + 1 < line.size()) word += line[++at];
        in_word = true;
        break;
      case ' ':
      case '\t':
      case '\r':
      case '\n':
        end_word();
        break;
      case ';':
        end_command();
        break;
      case '#':
        if (!in_word) {
          end_command();
          return commands;
        }
        [[fallthrough]];
      default:
        word += c;
        in_word = true;
    }
  }
  if (quote != 0) return std::unexpected(fmt::format("the quote {} is not closed", quote));
  end_command();
  return commands;
}

}  // namespace tapir::cli
