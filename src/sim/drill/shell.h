// SPDX-License-Identifier: Apache-2.0
// The shell commands of scripts, without a shell: those that set knobs act on the stack's table, those that
// only observe do nothing, and any other means that the script needs more than a stack and is skipped.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/drill/machine.h"
#include "trace/counters.h"

namespace tapir::sim::drill {

struct ShellOutcome {
  std::optional<std::string> skip;  // why the script cannot be run
  std::optional<std::string> fail;  // why it fails
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

  ShellOutcome command(const Words& words, const std::string& output);
  ShellOutcome defaults();
  ShellOutcome sysctl(const Words& words);
  ShellOutcome set_sysctls(const Words& words);
  ShellOutcome ip(const Words& words);
  ShellOutcome route(const Words& words);
  ShellOutcome nstat();
  ShellOutcome grep(const Words& words);
  ShellOutcome echo(const Words& words, const std::string& output);
  ShellOutcome file(std::string_view name, const Words& words);
  std::string proc_net_tcp() const;
  ShellOutcome ethtool(const Words& words);
  ShellOutcome traffic_control(const Words& words);
  ShellOutcome set(std::string name, std::string_view value, Origin origin);

  Machine& machine_;
  std::map<std::string, std::string> saved_;  // what set_sysctls.py changed, as it was
  std::vector<std::string> notes_;
  std::optional<std::string> input_;                       // what a pipe feeds the command
  std::string output_;                                     // of the last command
  std::array<std::uint64_t, trace::kCounters> counted_{};  // as nstat saw it last
};

}  // namespace tapir::sim::drill
