// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/answering.h"
#include "cli/asking.h"
#include "cli/commands.h"

namespace tapir::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

std::string trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return std::string(text);
}

// "net/ipv4/tcp_sack" is "net.ipv4.tcp_sack" too, as in sysctl(8).
std::string knob_name(std::string_view text) {
  std::string name = trimmed(text);
  std::replace(name.begin(), name.end(), '/', '.');
  return name;
}

void append_value(const stack::Stack& stack, const std::string& name, json& rows) {
  if (const auto value = stack.sysctl_get(name))
    rows.push_back({{"name", name}, {"value", *value}});
  else
    rows.push_back({{"error", value.error()}});
}

// "name", "name=value", or the front of names ("net.ipv4").
void answer_argument(stack::Stack& stack, const std::string& argument, Instant now, json& rows) {
  const std::size_t equals = argument.find('=');
  const std::string name = knob_name(std::string_view(argument).substr(0, equals));
  if (equals != std::string::npos) {
    if (const auto set = stack.sysctl_set(name, trimmed(std::string_view(argument).substr(equals + 1)), now);
        !set)
      return rows.push_back({{"error", set.error()}});
    return append_value(stack, name, rows);
  }
  bool any = false;
  for (const std::string& each : stack.sysctl_names()) {
    if (!each.starts_with(name + ".")) continue;
    append_value(stack, each, rows);
    any = true;
  }
  if (!any) append_value(stack, name, rows);
}

}  // namespace

void answer_sysctl(Running& running, const json& question, runtime::ControlReply& reply) {
  const auto arguments = question.value("arguments", std::vector<std::string>{});
  json rows = json::array();
  running.host.with([&](stack::Stack& stack, socket::Sockets&, Instant now) {
    if (question.value("all", false))
      for (const std::string& name : stack.sysctl_names()) append_value(stack, name, rows);
    for (const std::string& argument : arguments) answer_argument(stack, argument, now, rows);
  });
  reply.send(rows);
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
