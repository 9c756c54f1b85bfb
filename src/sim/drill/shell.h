// SPDX-License-Identifier: Apache-2.0
// The shell commands of scripts, without a shell: those that set knobs act on the stack's table, those that only observe
// do nothing, and any other means that the script needs more than a stack and is skipped.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/drill/machine.h"

namespace tapir::sim::drill {

struct ShellOutcome {
  std::optional<std::string> skip;   // why the script cannot be run
  std::optional<std::string> fail;   // why it fails
  bool ok() const { return !skip && !fail; }
};

class Shell {
 public:
  explicit Shell(Machine& machine) : machine_(machine) {}

  // Runs the commands of one back-quoted text: parted by newlines, ';', '&&', '||' and '|'.
  ShellOutcome run(std::string_view text);
  // Remarks for -v: settings of defaults.sh that this stack does not have yet.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  using Words = std::vector<std::string>;
  enum class Origin { kScript, kDefaults };

  ShellOutcome command(const Words& words);
  ShellOutcome defaults();
  ShellOutcome sysctl(const Words& words);
  ShellOutcome set_sysctls(const Words& words);
  ShellOutcome ip(const Words& words);
  ShellOutcome ethtool(const Words& words);
  ShellOutcome traffic_control(const Words& words);
  ShellOutcome set(std::string name, std::string_view value, Origin origin);

  Machine& machine_;
  std::map<std::string, std::string> saved_;   // what set_sysctls.py changed, as it was
  std::vector<std::string> notes_;
};

}  // namespace tapir::sim::drill
