// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "sim/drill/runner.h"

namespace tapir::sim::drill {

namespace {

std::string seconds_text(Duration at) {
  const std::int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(at).count();
  return fmt::format("{}.{:06}", us / 1'000'000, us % 1'000'000);
}

}  // namespace

std::string failure_text(const Outcome& outcome) {
  std::string text;
  if (!outcome.expected.empty() || !outcome.got.empty())
    text += fmt::format("    expected  {}\n    got       {}\n", outcome.expected, outcome.got);
  if (!outcome.ladder.empty()) {
    std::size_t width = 40;
    for (const LadderStep& step : outcome.ladder) width = std::max(width, step.text.size());
    text += fmt::format("    {:>12}  peer{:{}}tapir\n", "", "", width + 9);
    for (const LadderStep& step : outcome.ladder) {
      const std::string line(width - step.text.size(), '-');
      text += step.inbound
                  ? fmt::format("    {:>12}   |--- {} {}---->|", seconds_text(step.at), step.text, line)
                  : fmt::format("    {:>12}   |<--- {} {}----|", seconds_text(step.at), step.text, line);
      text += step.remark.empty() ? "\n" : fmt::format("  {}\n", step.remark);
    }
  }
  for (std::size_t at = 0; at < outcome.tcb.size();) {
    const std::size_t end = std::min(outcome.tcb.find('\n', at), outcome.tcb.size());
    text += fmt::format("    {}  {}\n", at == 0 ? "TCB" : "   ", outcome.tcb.substr(at, end - at));
    at = end + 1;
  }
  return text;
}

std::string failure_diff(const Outcome& outcome) {
  if (outcome.expected.empty() && outcome.got.empty()) return {};
  return fmt::format("@@ line {} @@\n-{}\n+{}\n", outcome.line, outcome.expected, outcome.got);
}

}  // namespace tapir::sim::drill
