// SPDX-License-Identifier: Apache-2.0
#include "sim/drill/code.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/ascii.h"
#include "sim/drill/symbols.h"

namespace tapir::sim::drill {

namespace {

CodeValue number(std::int64_t value) { return CodeValue{false, value, {}}; }
CodeValue string(std::string value) { return CodeValue{true, 0, std::move(value)}; }
bool truth(const CodeValue& value) { return value.is_string ? !value.text.empty() : value.number != 0; }
std::string shown(const CodeValue& value) {
  return value.is_string ? value.text : std::to_string(value.number);
}

// Integer arithmetic wraps at 64 bits, where Python's would grow: no field is that large.
std::int64_t wrapped(std::uint64_t value) { return static_cast<std::int64_t>(value); }
std::uint64_t bits(std::int64_t value) { return static_cast<std::uint64_t>(value); }

// Python's // and % round towards minus infinity.
std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a / b - (a % b != 0 && (a % b < 0) != (b < 0) ? 1 : 0);
}
std::int64_t floor_mod(std::int64_t a, std::int64_t b) { return a - floor_div(a, b) * b; }

}  // namespace

// Parses and evaluates in one pass: nothing here loops, so nothing is evaluated twice.
class CodeParser {
 public:
  CodeParser(CodeInterpreter& owner, const CodeEvent& event)
      : owner_(owner), text_(event.code), here_(event.code_at) {}

  std::optional<CodeFailure> run() {
    for (;;) {
      skip(true);
      if (at_ >= text_.size()) break;
      if (accept(";")) continue;
      statement();
      if (failure_) return failure_;
      skip(false);
      if (at_ < text_.size() && raw() != '\n' && raw() != ';' && raw() != '#')
        error("expected the end of the statement");
      if (failure_) return failure_;
    }
    return std::nullopt;
  }

 private:
  // ---- text ----

  char raw(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  void step() {
    if (raw() == '\n') {
      ++here_.line;
      here_.column = 1;
    } else {
      ++here_.column;
    }
    ++at_;
  }
  // Blanks, comments, and a backslash at the end of a line; newlines only where they mean nothing.
  void skip(bool newlines) {
    for (;;) {
      const char c = raw();
      if (c == ' ' || c == '\t' || c == '\r' || (c == '\n' && (newlines || depth_ > 0))) {
        step();
      } else if (c == '#') {
        while (at_ < text_.size() && raw() != '\n') step();
      } else if (c == '\\' && (raw(1) == '\n' || (raw(1) == '\r' && raw(2) == '\n'))) {
        while (raw() != '\n') step();
        step();
      } else {
        return;
      }
    }
  }
  bool looking_at(std::string_view piece) {
    skip(false);
    return text_.substr(at_).starts_with(piece);
  }
  bool accept(std::string_view piece) {
    if (!looking_at(piece)) return false;
    for (std::size_t i = 0; i < piece.size(); ++i) step();
    return true;
  }
  bool accept_word(std::string_view word) {
    if (!looking_at(word) || is_word_start(raw(word.size())) || is_digit(raw(word.size()))) return false;
    return accept(word);
  }
  std::string word() {
    skip(false);
    std::string taken;
    while (is_word_start(raw()) || (!taken.empty() && is_digit(raw()))) {
      taken += raw();
      step();
    }
    return taken;
  }
  void error(std::string message) {
    if (!failure_) failure_ = CodeFailure{here_, "code: " + message, {}, {}};
  }
  void expect(std::string_view piece) {
    if (!accept(piece)) error(fmt::format("expected '{}'", piece));
  }

  // ---- statements ----

  void statement() {
    if (accept_word("assert")) return assertion();
    if (accept_word("pass")) return;
    if (accept_word("print")) return print();
    const std::string name = word();
    if (name.empty()) return error("expected assert, print or an assignment");
    for (const char* op : {"+", "-", "*", "|", "&"}) {
      if (!accept(fmt::format("{}=", op))) continue;
      const auto it = owner_.names_.find(name);
      if (it == owner_.names_.end()) return error(fmt::format("name '{}' is not defined", name));
      const CodeValue left = it->second;
      const CodeValue right = expression();
      owner_.names_[name] = binary(op, left, right);
      return;
    }
    if (looking_at("==") || !accept("=")) return error("expected assert, print or an assignment");
    owner_.names_[name] = expression();
  }

  void assertion() {
    skip(false);
    const Location at = here_;
    const std::size_t begin = at_;
    used_.clear();
    const CodeValue condition = expression();
    if (failure_) return;
    std::string written(text_.substr(begin, at_ - begin));
    while (!written.empty() && (written.back() == ' ' || written.back() == '\n')) written.pop_back();
    const auto used = used_;
    std::string message;
    if (accept(",")) message = shown(expression());
    if (failure_ || truth(condition)) return;
    std::string got;
    for (const auto& [name, value] : used)
      got += fmt::format("{}{} = {}", got.empty() ? "" : ", ", name, shown(value));
    failure_ = CodeFailure{at, fmt::format("assert {} failed: {}", written, got.empty() ? message : got),
                           written, got};
  }

  void print() {
    expect("(");
    ++depth_;
    std::string line;
    if (!looking_at(")")) {
      do {
        line += (line.empty() ? "" : " ") + shown(expression());
      } while (!failure_ && accept(","));
    }
    --depth_;
    expect(")");
    owner_.output_.push_back(line);
  }

  // ---- expressions, loosest first ----

  CodeValue expression() {
    CodeValue left = conjunction();
    while (!failure_ && accept_word("or")) {
      const CodeValue right = conjunction();
      if (!truth(left)) left = right;
    }
    return left;
  }
  CodeValue conjunction() {
    CodeValue left = negation();
    while (!failure_ && accept_word("and")) {
      const CodeValue right = negation();
      if (truth(left)) left = right;
    }
    return left;
  }
  CodeValue negation() {
    if (accept_word("not")) return number(truth(negation()) ? 0 : 1);
    return comparison();
  }
  CodeValue comparison() {
    CodeValue left = binary_level(0);
    bool any = false;
    bool all = true;
    for (;;) {
      std::string_view op;
      for (std::string_view candidate : {"==", "!=", "<=", ">=", "<", ">"})
        if (looking_at(candidate) && !looking_at("<<") && !looking_at(">>")) {
          op = candidate;
          break;
        }
      if (failure_ || op.empty()) return any ? number(all ? 1 : 0) : left;
      accept(op);
      const CodeValue right = binary_level(0);
      all = all && compare(op, left, right);
      any = true;
      left = right;
    }
  }
  bool compare(std::string_view op, const CodeValue& a, const CodeValue& b) {
    if (a.is_string != b.is_string) {
      if (op == "==") return false;
      if (op == "!=") return true;
      error("a string is compared with a number");
      return false;
    }
    const int order = a.is_string ? a.text.compare(b.text)
                                  : (a.number < b.number   ? -1
                                     : a.number > b.number ? 1
                                                           : 0);
    if (op == "==") return order == 0;
    if (op == "!=") return order != 0;
    if (op == "<=") return order <= 0;
    if (op == ">=") return order >= 0;
    return op == "<" ? order < 0 : order > 0;
  }

  static constexpr int kLevels = 6;
  // The operators of one level, longer ones first.
  static std::vector<std::string_view> operators(int level) {
    switch (level) {
      case 0:
        return {"|"};
      case 1:
        return {"^"};
      case 2:
        return {"&"};
      case 3:
        return {"<<", ">>"};
      case 4:
        return {"+", "-"};
      default:
        return {"//", "*", "/", "%"};
    }
  }
  CodeValue binary_level(int level) {
    if (level == kLevels) return unary();
    CodeValue left = binary_level(level + 1);
    for (bool more = true; more && !failure_;) {
      more = false;
      for (std::string_view op : operators(level)) {
        if (!accept(op)) continue;
        if (op == "%" && left.is_string) {
          left = string(formatted(left.text));
        } else {
          left = binary(op, left, binary_level(level + 1));
        }
        more = true;
        break;
      }
    }
    return left;
  }
  CodeValue binary(std::string_view op, const CodeValue& a, const CodeValue& b) {
    if (failure_) return {};
    if (a.is_string && b.is_string && op == "+") return string(a.text + b.text);
    if (a.is_string || b.is_string) {
      error(fmt::format("'{}' needs numbers", op));
      return {};
    }
    const std::int64_t x = a.number;
    const std::int64_t y = b.number;
    if (op == "|") return number(x | y);
    if (op == "^") return number(x ^ y);
    if (op == "&") return number(x & y);
    if (op == "+") return number(wrapped(bits(x) + bits(y)));
    if (op == "-") return number(wrapped(bits(x) - bits(y)));
    if (op == "*") return number(wrapped(bits(x) * bits(y)));
    if (op == "<<" || op == ">>") {
      if (y < 0 || y > 62) {
        error("a shift by less than 0 or more than 62");
        return {};
      }
      return number(op == "<<" ? wrapped(bits(x) << y) : x >> y);
    }
    if (y == 0 || (x == INT64_MIN && y == -1)) {
      error("division by zero");
      return {};
    }
    if (op == "/" && x % y != 0) {
      error(fmt::format("{} / {} is no integer: use //", x, y));
      return {};
    }
    return number(op == "%" ? floor_mod(x, y) : floor_div(x, y));
  }
  CodeValue unary() {
    if (accept("-")) return binary("-", number(0), unary());
    if (accept("+")) return unary();
    if (accept("~")) return binary("^", number(-1), unary());
    return primary();
  }
  CodeValue primary() {
    skip(false);
    if (accept("(")) {
      ++depth_;
      CodeValue value = expression();
      --depth_;
      expect(")");
      return value;
    }
    if (is_digit(raw())) return literal();
    if (raw() == '\'' || raw() == '"') return quoted();
    const std::string name = word();
    if (name.empty()) {
      error("expected a value");
      return {};
    }
    if (name == "True") return number(1);
    if (name == "False") return number(0);
    if (looking_at("(")) return function(name);
    if (const auto it = owner_.names_.find(name); it != owner_.names_.end()) {
      const auto same = [&](const auto& pair) { return pair.first == name; };
      if (std::none_of(used_.begin(), used_.end(), same)) used_.emplace_back(name, it->second);
      return it->second;
    }
    if (const auto value = symbol_value(name)) return number(*value);
    error(fmt::format("name '{}' is not defined", name));
    return {};
  }
  CodeValue literal() {
    std::uint64_t value = 0;
    if (raw() == '0' && (raw(1) == 'x' || raw(1) == 'X')) {
      step();
      step();
      for (;; step()) {
        const char c = raw();
        const int digit = is_digit(c)            ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) break;
        value = value * 16 + static_cast<std::uint64_t>(digit);
      }
    } else {
      for (; is_digit(raw()); step()) value = value * 10 + static_cast<std::uint64_t>(raw() - '0');
      if (raw() == '.' && is_digit(raw(1))) error("only integers are understood");
    }
    return number(wrapped(value));
  }
  CodeValue quoted() {
    const char quote = raw();
    std::string value;
    for (step(); raw() != quote; step()) {
      if (at_ >= text_.size() || raw() == '\n') {
        error("this string has no end");
        return {};
      }
      value += raw();
    }
    step();
    return string(value);
  }
  std::vector<CodeValue> arguments() {
    std::vector<CodeValue> values;
    expect("(");
    ++depth_;
    if (!looking_at(")")) {
      do {
        if (looking_at(")")) break;  // (a,)
        values.push_back(expression());
      } while (!failure_ && accept(","));
    }
    --depth_;
    expect(")");
    return values;
  }
  CodeValue function(const std::string& name) {
    const std::vector<CodeValue> values = arguments();
    if (failure_) return {};
    const bool numbers =
        std::none_of(values.begin(), values.end(), [](const CodeValue& v) { return v.is_string; });
    if (name == "abs" && values.size() == 1 && numbers)
      return number(values[0].number < 0 ? -values[0].number : values[0].number);
    if ((name == "min" || name == "max") && !values.empty() && numbers) {
      std::int64_t best = values[0].number;
      for (const CodeValue& v : values)
        best = name == "min" ? std::min(best, v.number) : std::max(best, v.number);
      return number(best);
    }
    error(fmt::format("'{}()' is not understood", name));
    return {};
  }
  // The right side of STRING %: one value, or several in parentheses.
  std::string formatted(const std::string& format) {
    std::vector<CodeValue> values;
    if (looking_at("("))
      values = arguments();
    else
      values.push_back(unary());
    std::string text;
    std::size_t next = 0;
    for (std::size_t i = 0; i < format.size(); ++i) {
      if (format[i] != '%') {
        text += format[i];
        continue;
      }
      const char kind = ++i < format.size() ? format[i] : '\0';
      if (kind == '%') {
        text += '%';
      } else if (next >= values.size()) {
        error("not enough values for the format");
        return text;
      } else if (kind == 'x') {
        text += fmt::format("{:x}", values[next++].number);
      } else {
        text += shown(values[next++]);
      }
    }
    return text;
  }

  CodeInterpreter& owner_;
  std::string_view text_;
  std::size_t at_ = 0;
  Location here_;
  int depth_ = 0;  // inside this many parentheses, where a newline is a blank
  std::vector<std::pair<std::string, CodeValue>> used_;
  std::optional<CodeFailure> failure_;
};

std::optional<CodeFailure> CodeInterpreter::run(const CodeEvent& event, const CodeSnapshot& snapshot) {
  for (const std::string& name : snapshot_names_) names_.erase(name);
  snapshot_names_.clear();
  for (const auto& [name, value] : snapshot) {
    names_[name] = CodeValue{false, value, {}};
    snapshot_names_.push_back(name);
  }
  return CodeParser(*this, event).run();
}

}  // namespace tapir::sim::drill
