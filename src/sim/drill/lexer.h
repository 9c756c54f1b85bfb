// SPDX-License-Identifier: Apache-2.0
// Reads a script character by character: what a piece of text means depends on where it stands ("12" may be a
// time, a port or a cookie), so the parser asks for what it expects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sim/drill/ast.h"

namespace tapir::sim::drill {

// After the first failure every further question answers "no", so that a parser may look once at the end.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  // Skips blanks and comments (// to the end of the line, /* ... */).
  void skip_blank();
  bool at_end();
  // The next character after blanks, or 0 at the end.
  char peek();
  // Whether the text goes on with `piece`, after blanks.
  bool looking_at(std::string_view piece);
  // Takes `piece` if it comes next.
  bool accept(std::string_view piece);
  // Takes the word `word` if it comes next and ends there.
  bool accept_word(std::string_view word);
  // Takes `piece`, or fails saying that it was expected.
  bool expect(std::string_view piece);

  bool looking_at_digit();
  bool looking_at_word();
  // [A-Za-z_][A-Za-z0-9_]*
  std::string word(std::string_view what);
  // The word that comes next, without taking it; empty if none.
  std::string peek_word();
  // Decimal or 0x hexadecimal, with a sign if `sign`. Fails outside [low, high].
  std::int64_t integer(std::string_view what, std::int64_t low, std::int64_t high);
  // Seconds with a fraction of at most nine digits: "1", ".05", "0.2".
  Duration seconds();
  // The characters for which `belongs` holds, after blanks.
  std::string run_of(bool (*belongs)(char));
  // "..." with the escapes \n \t \\ \" \0.
  std::string quoted_string();
  // `...`
  std::string backquoted();
  // The text up to the closing "}%", which is taken too; the opening one is already taken.
  std::string code_block();
  // The rest of the word at hand, up to a blank.
  std::string until_blank();

  Location location();
  Location here() const { return here_; }
  bool failed() const { return error_.has_value(); }
  const std::optional<ScriptError>& error() const { return error_; }
  // Records the first failure, at the present place (after blanks) or at `at`.
  void fail(std::string message);
  void fail_at(Location at, std::string message, bool unsupported = false);

 private:
  char raw(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  void step(std::size_t count = 1);
  std::string found() const;

  std::string_view text_;
  std::size_t at_ = 0;
  Location here_;
  std::optional<ScriptError> error_;
};

}  // namespace tapir::sim::drill
