// SPDX-License-Identifier: Apache-2.0
#include "cli/demo_report.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace tapir::cli {

namespace {

constexpr std::size_t kWidthMin = 76, kWidthMax = 110;

// Words of `text` in lines of at most `width` columns, each indented.
std::string filled(std::string_view text, std::size_t width, std::string_view indent) {
  std::string out, line;
  while (!text.empty()) {
    const std::size_t at = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, at);
    text.remove_prefix(std::min(at + 1, text.size()));
    if (!line.empty() && indent.size() + line.size() + 1 + word.size() > width) {
      out += fmt::format("{}{}\n", indent, line);
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line += word;
  }
  return out + fmt::format("{}{}\n", indent, line);
}

}  // namespace

DemoReport::DemoReport(bool as_json) : json_(as_json), colour_(!as_json && ::isatty(STDOUT_FILENO) != 0) {
  winsize size{};
  if (colour_ && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0)
    width_ = std::clamp<std::size_t>(size.ws_col, kWidthMin, kWidthMax);
}

void DemoReport::print(std::string_view text) {
  if (json_) return;
  if (text.starts_with('\n') && after_blank_) text.remove_prefix(1);
  after_blank_ = text.empty() ? after_blank_ : text == "\n" || text.ends_with("\n\n");
  fmt::print("{}", text);
  std::fflush(stdout);
}

void DemoReport::introduce(std::string_view text) { print(filled(text, width_, "")); }

void DemoReport::step(const std::string& title, std::string_view why) {
  steps_.push_back({{"title", title}, {"ok", true}, {"checks", nlohmann::ordered_json::array()}});
  const std::string heading = fmt::format("{}. {}", steps_.size(), title);
  print(colour_ ? fmt::format("\n\033[1m{}\033[0m\n", heading) : fmt::format("\n{}\n", heading));
  print(filled(why, width_, "   "));
  print("\n");
}

bool DemoReport::check(bool ok, const std::string& what) {
  ++checks_;
  failed_ += ok ? 0 : 1;
  nlohmann::ordered_json& step = steps_.back();
  step["checks"].push_back({{"ok", ok}, {"what", what}});
  if (!ok) step["ok"] = false;
  const char* const mark = ok        ? colour_ ? "\033[32m[ok]\033[0m" : "[ok]"
                           : colour_ ? "\033[31m[FAIL]\033[0m"
                                     : "[FAIL]";
  print(fmt::format("   {} {}\n", mark, what));
  return ok;
}

void DemoReport::note(const std::string& text) { print(fmt::format("   {}\n", text)); }

void DemoReport::show(const std::string& text, const char* key, nlohmann::ordered_json data) {
  steps_.back()[key] = std::move(data);
  print('\n' + text + '\n');
}

void DemoReport::record(const char* key, nlohmann::ordered_json value) {
  (steps_.empty() ? facts_ : steps_.back())[key] = std::move(value);
}

bool DemoReport::finish(unsigned long milliseconds) {
  const bool ok = failed_ == 0 && checks_ != 0;
  if (json_) {
    facts_["steps"] = std::move(steps_);
    facts_["checks"] = checks_;
    facts_["failed"] = failed_;
    facts_["milliseconds"] = milliseconds;
    facts_["ok"] = ok;
    fmt::print("{}\n", facts_.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  } else if (ok) {
    print(fmt::format("\nAll {} checks held, in {}.{} s.\n", checks_, milliseconds / 1000,
                      milliseconds % 1000 / 100));
  } else {
    print(fmt::format("\n{} of {} checks FAILED.\n", failed_, checks_));
  }
  return ok;
}

}  // namespace tapir::cli
