// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/answering.h"
#include "cli/asking.h"
#include "cli/commands.h"
#include "observe/tables.h"
#include "runtime/answers.h"

namespace tapir::cli {

using nlohmann::json;
using nlohmann::ordered_json;

void answer_nstat(Running& running, const json&, runtime::ControlReply& reply) {
  runtime::answer_counters(running.host, reply);
}

int nstat_main(const NstatOptions& options) {
  const auto answer = ask_table("nstat", options, {{"command", "nstat"}});
  if (!answer) return 1;
  if (options.drops) {
    const ordered_json drops((*answer)["drops"]);
    if (options.json)
      print_json(drops);
    else
      fmt::print("{}", observe::drops_text(drops));
    return 0;
  }
  ordered_json counters = ordered_json::object();
  for (const json& pair : (*answer)["counters"]) {
    const auto name = pair[0].get<std::string>();
    const auto value = pair[1].get<std::uint64_t>();
    const bool wanted =
        options.patterns.empty() ||
        std::any_of(options.patterns.begin(), options.patterns.end(),
                    [&](const std::string& pattern) { return observe::matches(pattern, name); });
    if (wanted && (value != 0 || options.zeros)) counters[name] = value;
  }
  if (options.json)
    print_json(counters);
  else
    fmt::print("{}", observe::counters_text(counters));
  return 0;
}

}  // namespace tapir::cli
