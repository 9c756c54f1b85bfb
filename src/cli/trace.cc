// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/answering.h"
#include "cli/asking.h"
#include "cli/commands.h"
#include "observe/decode.h"
#include "runtime/answers.h"

namespace tapir::cli {

using nlohmann::json;
using nlohmann::ordered_json;

void answer_trace(Running& running, const json& question, runtime::ControlReply& reply) {
  runtime::answer_trace(running.host, running.probes, question, reply);
}

int trace_main(const TraceOptions& options) {
  for (const std::string& layer : options.layers)
    if (!observe::is_layer(layer))
      return complain(
          "trace",
          fmt::format("there is no layer '{}': they are {}", layer, fmt::join(observe::kLayers, ", ")), 2);
  std::uint64_t printed = 0;
  std::uint64_t lost = 0;
  const int status = ask_stream(
      "trace", options, {{"command", "trace"}, {"layers", options.layers}, {"json", options.json}},
      [&](const json& data) {
        for (const json& record : data["records"]) {
          fmt::print("{}\n", record.get_ref<const std::string&>());
          if (++printed == options.count) break;
        }
        std::fflush(stdout);
        if (const auto now_lost = data["lost"].get<std::uint64_t>(); now_lost != lost)
          fmt::print(stderr, "tapir trace: {} records lost: they came faster than they could be told\n",
                     now_lost - std::exchange(lost, now_lost));
        return options.count == 0 || printed < options.count;
      });
  return status;
}

}  // namespace tapir::cli
