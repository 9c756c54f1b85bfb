// SPDX-License-Identifier: Apache-2.0
// Runs one script from its text to a verdict.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/drill/settings.h"

namespace tapir::sim::drill {

enum class Verdict : std::uint8_t { kPass, kFail, kSkip };

// A segment that crossed the device.
struct LadderStep {
  Duration at{};         // since the script's start
  bool inbound = false;  // towards the stack
  std::string text;      // packetdrill's notation, in the script's number spaces
  std::string remark;    // "not expected", "of another connection"
};

struct Outcome {
  Verdict verdict = Verdict::kPass;
  std::uint32_t line = 0;    // of the script, for failures; 0 when it is about no line
  std::uint32_t column = 0;  // of parse errors
  std::string reason;        // one line
  std::string
      expected;  // what the line expects, and what came, in one notation; empty when there is no such thing
  std::string got;
  std::vector<LadderStep> ladder;  // the last segments before a failure
  std::string tcb;                 // where the connection under test stood
  std::vector<std::string> log;    // a line per event, when asked for; and what print() said
};

struct RunOptions {
  // packetdrill options from the command line: they win over the script's own. {"define", "NAME=VALUE"} is
  // -D.
  std::vector<std::pair<std::string, std::string>> options;
  bool log = false;
};

// Deterministic: the same text and options give the same outcome on every machine.
Outcome run_script(std::string_view text, const RunOptions& options);

// Segments that a failure shows.
inline constexpr std::size_t kLadderMax = 12;

// The lines that follow "FAIL path:line reason": expected and got, the ladder, the TCB; each indented.
std::string failure_text(const Outcome& outcome);
// Only what was expected and what came, as a diff.
std::string failure_diff(const Outcome& outcome);

}  // namespace tapir::sim::drill
