// SPDX-License-Identifier: Apache-2.0
// The Python of %{ ... }% events: as much of the language as the scripts use, on integers and strings.
//
// Statements: assert CONDITION[, MESSAGE], print(...), NAME = VALUE and NAME op= VALUE, pass; parted by ';'
// or newlines. Expressions: or and not, chained comparisons, | ^ & << >> + - * / // %, unary - + ~, ( ),
// integers, strings, names, True, False, min(), max(), abs(); STRING % VALUE and STRING % (VALUES).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/drill/ast.h"

namespace tapir::sim::drill {

// What a name stands for.
struct CodeValue {
  bool is_string = false;
  std::int64_t number = 0;
  std::string text;
};

// Names and their numbers at one event: the fields of tcp_info and the like.
using CodeSnapshot = std::vector<std::pair<std::string, std::int64_t>>;

struct CodeFailure {
  Location at;
  std::string message;   // "assert tcpi_snd_cwnd == 10 failed: tcpi_snd_cwnd is 9"
  std::string expected;  // the condition as written
  std::string got;       // the names in it with their values
};

// Runs snippets in order; names keep their values from one to the next, as in packetdrill's single Python
// process.
class CodeInterpreter {
 public:
  // The names of `snapshot` take the place of the last one's, then the code runs. The first assertion that
  // does not hold, or error, ends it.
  std::optional<CodeFailure> run(const CodeEvent& event, const CodeSnapshot& snapshot);
  // What print() wrote, a line each.
  const std::vector<std::string>& output() const { return output_; }

 private:
  friend class CodeParser;
  std::map<std::string, CodeValue, std::less<>> names_;
  std::vector<std::string> snapshot_names_;
  std::vector<std::string> output_;
};

}  // namespace tapir::sim::drill
