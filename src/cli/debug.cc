// SPDX-License-Identifier: Apache-2.0
// `debug`: tapip's command, made of trace records.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/answering.h"
#include "cli/asking.h"
#include "cli/background_debug.h"
#include "cli/commands.h"
#include "observe/decode.h"
#include "observe/topics.h"

namespace tapir::cli {
namespace {

using nlohmann::json;

// The colour of a topic's name on a terminal, as in tapip one for each layer.
int colour_of(std::string_view topic) {
  static constexpr std::array<std::pair<std::string_view, int>, 11> kColours = {{{"dev", 90},
                                                                                 {"l2", 36},
                                                                                 {"arp", 33},
                                                                                 {"ip", 32},
                                                                                 {"icmp", 35},
                                                                                 {"udp", 34},
                                                                                 {"tcp", 36},
                                                                                 {"tcpstate", 31},
                                                                                 {"socket", 94},
                                                                                 {"timer", 90},
                                                                                 {"drop", 91}}};
  for (const auto& [name, colour] : kColours)
    if (name == topic) return colour;
  return 0;
}

std::string line_of(const trace::Record& record, Instant began, bool colour) {
  const std::string_view topic = observe::topic_name(record);
  std::string line = observe::decode_text(record, began, topic);
  if (!colour) return line;
  const std::size_t at = line.find(topic);
  return line.substr(0, at) + fmt::format("\x1b[{}m{}\x1b[0m", colour_of(topic), topic) +
         line.substr(at + topic.size());
}

std::string names() {
  std::string text;
  for (const observe::TopicName& each : observe::kTopicNames)
    text += (text.empty() ? "" : " ") + std::string(each.name);
  return text;
}

std::string names_of(observe::Topics topics) {
  std::string text;
  for (const observe::TopicName& each : observe::kTopicNames)
    if (each.name != "all" && (each.topics & topics) != 0)
      text += (text.empty() ? "" : " ") + std::string(each.name);
  return text;
}

}  // namespace

json debug_question(observe::Topics topics, bool as_json, bool colour) {
  return {{"command", "debug"}, {"topics", topics}, {"json", as_json}, {"colour", colour}};
}

void answer_debug(Running& running, const json& question, runtime::ControlReply& reply) {
  const auto topics = question.value("topics", observe::kAllTopics);
  const bool as_json = question.value("json", false), colour = question.value("colour", false);
  runtime::TraceListener listening(running.host, running.probes);
  if (!listening.added()) return reply.fail("too many listen to this stack's trace already");
  reply.send({{"records", json::array()}, {"lost", 0}});
  std::vector<trace::Record> records;
  std::uint64_t told_lost = 0;
  for (bool stop = false; !stop && reply.open();) {
    // {"stop": true}: what happened until now is told, then it ends.
    stop = reply.receive(kStreamInterval).has_value();
    const std::uint64_t lost = listening.take(records);
    json answer = json::array();
    const auto flush = [&] {
      reply.send({{"records", answer}, {"lost", lost}});
      answer = json::array();
      told_lost = lost;
    };
    for (const trace::Record& record : records) {
      if ((observe::topics_of(record) & topics) == 0) continue;
      if (as_json) {
        auto told = observe::decode_json(record, listening.began());
        told["topic"] = std::string(observe::topic_name(record));
        answer.push_back(told.dump(-1, ' ', false, json::error_handler_t::replace));
      } else {
        answer.push_back(line_of(record, listening.began(), colour));
      }
      if (answer.size() == runtime::kRecordsPerAnswer) flush();
    }
    if (!answer.empty() || lost != told_lost) flush();
  }
}

int debug_main(const DebugOptions& options) {
  observe::Topics topics = 0;
  for (const std::string& name : options.topics) {
    const auto named = observe::topics_named(name);
    if (!named)
      return complain("debug", fmt::format("there is no topic '{}': they are {}", name, names()), 2);
    topics |= *named;
  }
  if (options.clear || options.background) {
    if (options.shell == nullptr)
      return complain(
          "debug",
          "-n and -c are for a shell: `tapir shell --control SOCKET`; without them it goes on until Ctrl-C",
          2);
    if (options.background && topics == 0) return complain("debug", "say what of: debug -n " + names(), 2);
    const observe::Topics now =
        options.clear ? static_cast<observe::Topics>(topics == 0 ? 0 : options.shell->topics() & ~topics)
                      : static_cast<observe::Topics>(options.shell->topics() | topics);
    if (const auto done = options.shell->set(options.control_path(), now); !done)
      return complain("debug", done.error());
    return 0;
  }
  if (topics == 0) {
    fmt::print("debug [-n|-c] TOPIC…, of {}\n", names());
    if (options.shell != nullptr)
      fmt::print("on: {}\n", options.shell->topics() == 0 ? "nothing" : names_of(options.shell->topics()));
    return 0;
  }
  std::uint64_t lost = 0;
  return ask_stream(
      "debug", options, debug_question(topics, options.json, ::isatty(STDOUT_FILENO) == 1 && !options.json),
      [&](const json& data) {
        for (const json& record : data["records"]) fmt::print("{}\n", record.get_ref<const std::string&>());
        std::fflush(stdout);
        if (const auto now_lost = data["lost"].get<std::uint64_t>(); now_lost != lost)
          fmt::print(stderr, "tapir debug: {} records lost: they came faster than they could be told\n",
                     now_lost - std::exchange(lost, now_lost));
        return true;
      });
}

}  // namespace tapir::cli
