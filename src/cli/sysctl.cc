// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/answering.h"
#include "cli/asking.h"
#include "cli/commands.h"
#include "runtime/answers.h"

namespace tapir::cli {

using nlohmann::json;
using nlohmann::ordered_json;

void answer_sysctl(Running& running, const json& question, runtime::ControlReply& reply) {
  runtime::answer_sysctls(running.host, question, reply);
}

int sysctl_main(const SysctlOptions& options) {
  if (!options.all && options.arguments.empty())
    return complain("sysctl", "say which: a NAME, NAME=VALUE, the front of names (net.ipv4), or -a for all",
                    2);
  for (const std::string& argument : options.arguments)
    if (options.write && argument.find('=') == std::string::npos)
      return complain("sysctl", fmt::format("-w sets: '{}' is no NAME=VALUE", argument), 2);
  const auto rows = ask_table(
      "sysctl", options, {{"command", "sysctl"}, {"all", options.all}, {"arguments", options.arguments}});
  if (!rows) return 1;
  int status = 0;
  ordered_json values = ordered_json::object();
  for (const json& row : *rows) {
    if (row.contains("error")) {
      status = complain("sysctl", row["error"].get<std::string>());
      continue;
    }
    const auto name = row["name"].get<std::string>();
    const auto value = row["value"].get<std::string>();
    if (options.json)
      values[name] = value;
    else if (options.values)
      fmt::print("{}\n", value);
    else
      fmt::print("{} = {}\n", name, value);
  }
  if (options.json) print_json(values);
  return status;
}

}  // namespace tapir::cli
