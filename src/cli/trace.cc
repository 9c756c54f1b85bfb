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
#include "cli/listening.h"
#include "observe/decode.h"

namespace tapir::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// Records of one answer.
constexpr std::size_t kRecordsPerAnswer = 512;

}  // namespace

void answer_trace(Running& running, const json& question, runtime::ControlReply& reply) {
  const auto layers = question.value("layers", std::vector<std::string>{});
  const bool as_json = question.value("json", false);
  Listening listening(running);
  if (!listening.added()) return reply.fail("too many listen to this stack's trace already");
  // So that the asker knows that it listens.
  reply.send({{"records", json::array()}, {"lost", 0}});
  std::vector<trace::Record> records;
  std::uint64_t told_lost = 0;
  while (reply.wait(kStreamInterval)) {
    const std::uint64_t lost = listening.take(records);
    json answer = json::array();
    const auto flush = [&] {
      reply.send({{"records", answer}, {"lost", lost}});
      answer = json::array();
      told_lost = lost;
    };
    for (const trace::Record& record : records) {
      if (!layers.empty() &&
          std::find(layers.begin(), layers.end(), observe::layer_of(record)) == layers.end())
        continue;
      if (as_json)
        answer.push_back(observe::decode_json(record, listening.began())
                             .dump(-1, ' ', false, json::error_handler_t::replace));
      else
        answer.push_back(observe::decode_text(record, listening.began()));
      if (answer.size() == kRecordsPerAnswer) flush();
    }
    if (!answer.empty() || lost != told_lost) flush();
  }
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
