// SPDX-License-Identifier: Apache-2.0
#include "sim/drill/lexer.h"

#include <fmt/format.h>

#include "base/ascii.h"

namespace tapir::sim::drill {

void Lexer::step(std::size_t count) {
  for (; count > 0 && at_ < text_.size(); --count, ++at_) {
    if (text_[at_] == '\n') {
      ++here_.line;
      here_.column = 1;
    } else {
      ++here_.column;
    }
  }
}

void Lexer::skip_blank() {
  for (;;) {
    if (is_space(raw())) {
      step();
    } else if (raw() == '/' && raw(1) == '/') {
      while (at_ < text_.size() && raw() != '\n') step();
    } else if (raw() == '/' && raw(1) == '*') {
      const Location opened = here_;
      step(2);
      while (at_ < text_.size() && !(raw() == '*' && raw(1) == '/')) step();
      if (at_ >= text_.size()) fail_at(opened, "this comment has no end");
      step(2);
    } else {
      return;
    }
  }
}

bool Lexer::at_end() {
  skip_blank();
  return failed() || at_ >= text_.size();
}

char Lexer::peek() {
  skip_blank();
  return failed() ? '\0' : raw();
}

bool Lexer::looking_at(std::string_view piece) {
  skip_blank();
  return !failed() && text_.substr(at_).starts_with(piece);
}

bool Lexer::accept(std::string_view piece) {
  if (!looking_at(piece)) return false;
  step(piece.size());
  return true;
}

bool Lexer::accept_word(std::string_view word) {
  if (!looking_at(word) || is_word(raw(word.size()))) return false;
  step(word.size());
  return true;
}

bool Lexer::expect(std::string_view piece) {
  if (accept(piece)) return true;
  fail(fmt::format("expected '{}'", piece));
  return false;
}

bool Lexer::looking_at_digit() { return is_digit(peek()); }
bool Lexer::looking_at_word() { return is_word_start(peek()); }

std::string Lexer::peek_word() {
  std::string word;
  if (is_word_start(peek()))
    for (std::size_t i = 0; is_word(raw(i)); ++i) word += raw(i);
  return word;
}

std::string Lexer::word(std::string_view what) {
  std::string taken = peek_word();
  if (taken.empty()) fail(fmt::format("expected {}", what));
  step(taken.size());
  return taken;
}

std::int64_t Lexer::integer(std::string_view what, std::int64_t low, std::int64_t high) {
  skip_blank();
  const Location start = here_;
  const bool negative = low < 0 && raw() == '-';
  if (negative) step();
  std::uint64_t value = 0;
  bool any = false;
  bool too_big = false;
  if (raw() == '0' && (raw(1) == 'x' || raw(1) == 'X') && hex_digit(raw(2)) >= 0) {
    step(2);
    for (; hex_digit(raw()) >= 0; step()) {
      too_big = too_big || value >> 60 != 0;
      value = value << 4 | static_cast<std::uint64_t>(hex_digit(raw()));
    }
    any = true;
  } else {
    for (; is_digit(raw()); step(), any = true) {
      too_big = too_big || value > (UINT64_MAX - 9) / 10;
      value = value * 10 + static_cast<std::uint64_t>(raw() - '0');
    }
  }
  if (!any) {
    fail(fmt::format("expected {}", what));
    return 0;
  }
  const auto magnitude = static_cast<std::int64_t>(value);
  const std::int64_t result = negative ? -magnitude : magnitude;
  if (too_big || magnitude < 0 || result < low || result > high) {
    fail_at(start, fmt::format("{} must be from {} to {}", what, low, high));
    return 0;
  }
  return result;
}

Duration Lexer::seconds() {
  skip_blank();
  std::int64_t nanoseconds = 0;
  bool any = false;
  for (; is_digit(raw()) && nanoseconds < 1'000'000'000; step(), any = true)
    nanoseconds = nanoseconds * 10 + (raw() - '0');
  nanoseconds *= 1'000'000'000;
  if (raw() == '.' && is_digit(raw(1))) {
    step();
    std::int64_t unit = 100'000'000;
    for (; is_digit(raw()); step(), unit /= 10) {
      if (unit == 0) {
        fail("a time has at most nine digits after the point");
        return Duration{};
      }
      nanoseconds += unit * (raw() - '0');
    }
    any = true;
  }
  if (!any) fail("expected a time in seconds");
  if (is_digit(raw())) fail("this time is too large");
  return Duration{nanoseconds};
}

std::string Lexer::run_of(bool (*belongs)(char)) {
  skip_blank();
  std::string run;
  for (; at_ < text_.size() && belongs(raw()); step()) run += raw();
  return run;
}

std::string Lexer::quoted_string() {
  const Location opened = location();
  std::string value;
  if (!expect("\"")) return value;
  while (raw() != '"') {
    if (at_ >= text_.size() || raw() == '\n') {
      fail_at(opened, "this string has no end");
      return value;
    }
    if (raw() == '\\') {
      step();
      switch (raw()) {
        case 'n':
          value += '\n';
          break;
        case 't':
          value += '\t';
          break;
        case '0':
          value += '\0';
          break;
        default:
          value += raw();
          break;
      }
    } else {
      value += raw();
    }
    step();
  }
  step();
  return value;
}

std::string Lexer::backquoted() {
  const Location opened = location();
  std::string value;
  if (!expect("`")) return value;
  for (; raw() != '`'; step()) {
    if (at_ >= text_.size()) {
      fail_at(opened, "this command has no closing '`'");
      return value;
    }
    value += raw();
  }
  step();
  return value;
}

std::string Lexer::code_block() {
  const Location opened = here_;
  std::string value;
  for (; !(raw() == '}' && raw(1) == '%'); step()) {
    if (at_ >= text_.size()) {
      fail_at(opened, "this code has no closing '}%'");
      return value;
    }
    value += raw();
  }
  step(2);
  return value;
}

std::string Lexer::until_blank() {
  std::string value;
  for (; at_ < text_.size() && !is_space(raw()); step()) value += raw();
  return value;
}

Location Lexer::location() {
  skip_blank();
  return here_;
}

std::string Lexer::found() const {
  if (at_ >= text_.size()) return "the end of the script";
  std::string piece;
  for (std::size_t i = 0; i < 12 && raw(i) != '\0' && raw(i) != '\n'; ++i) piece += raw(i);
  return piece.empty() ? "the end of the line" : "'" + piece + "'";
}

void Lexer::fail(std::string message) {
  skip_blank();
  if (message.starts_with("expected")) message += ", found " + found();
  fail_at(here_, std::move(message));
}

void Lexer::fail_at(Location at, std::string message, bool unsupported) {
  if (!error_) error_ = ScriptError{at, std::move(message), unsupported};
}

}  // namespace tapir::sim::drill
