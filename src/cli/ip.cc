// SPDX-License-Identifier: Apache-2.0
// `tapir ip`: iproute2's words on a running stack. This is the asking side: it turns words into one JSON object and prints tables.
// The side that acts is ip_answer.cc.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/asking.h"
#include "cli/commands.h"
#include "observe/ip_tables.h"

namespace tapir::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kUsage =
    "say what: ip addr|link|route|neigh|maddr [show|add|del|replace|flush|set|get] …; for example\n"
    "  ip addr add 10.0.0.9/24 dev tap0       ip route add default via 10.0.0.2\n"
    "  ip link set tap0 mtu 1400              ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:01 dev tap0";

// ---- the asking side: words to a question ----

struct Name {
  std::string_view word;  // any front of it will do, as with iproute2; the first that fits
  std::string_view meaning;
};
constexpr std::array<Name, 6> kObjects = {{{"address", "addr"}, {"link", "link"}, {"route", "route"}, {"neighbour", "neigh"}, {"neighbor", "neigh"}, {"maddress", "maddr"}}};
constexpr std::array<Name, 9> kActions = {{{"show", "show"}, {"list", "show"}, {"lst", "show"}, {"add", "add"}, {"delete", "del"}, {"replace", "replace"}, {"flush", "flush"}, {"set", "set"}, {"get", "get"}}};
constexpr std::array<std::string_view, 9> kValues = {"dev", "via", "src", "metric", "mtu", "lladdr", "nud", "brd", "group"};
// Words of iproute2 that change nothing here: there is one of each.
constexpr std::array<std::string_view, 5> kTakenForHabit = {"label", "scope", "proto", "protocol", "table"};
constexpr std::array<std::string_view, 4> kTypes = {"unicast", "unreachable", "prohibit", "blackhole"};

template <std::size_t N>
bool among(const std::array<std::string_view, N>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

template <std::size_t N>
std::optional<std::string_view> meaning(const std::array<Name, N>& names, std::string_view word) {
  for (const Name& name : names)
    if (!word.empty() && name.word.starts_with(word)) return name.meaning;
  return std::nullopt;
}

std::expected<json, std::string> parse_words(const std::vector<std::string>& words) {
  if (words.empty()) return std::unexpected(kUsage);
  const auto object = meaning(kObjects, words[0]);
  if (!object) return std::unexpected(fmt::format("there is no object '{}': they are addr, link, route, neigh, maddr", words[0]));
  json question = {{"command", "ip"}, {"object", *object}, {"action", "show"}};
  std::size_t at = 1;
  if (at < words.size()) {
    if (const auto action = meaning(kActions, words[at])) {
      question["action"] = *action;
      ++at;
    } else if (words[at] == "help") {
      return std::unexpected(kUsage);
    }
  }
  for (; at < words.size(); ++at) {
    std::string word = words[at];
    if (word == "broadcast") word = "brd";
    if (word == "to") continue;
    if (among(kValues, word) || among(kTakenForHabit, word)) {
      if (at + 1 == words.size()) return std::unexpected(fmt::format("'{}' wants a value after it", word));
      ++at;
      if (word == "mtu" && words[at] == "lock") {
        if (++at == words.size()) return std::unexpected("'mtu lock' wants a value after it");
      }
      if (among(kValues, word)) question[word] = words[at];
      continue;
    }
    if (word == "up" || word == "down") {
      question[word == "up" ? "up" : "down"] = true;
    } else if (*object == "route" && among(kTypes, word)) {
      question["type"] = word;
    } else if ((word == "onlink" || word == "permanent" || word == "noprefixroute")) {
      continue;
    } else if (question.contains("what")) {
      return std::unexpected(fmt::format("'{}' means nothing here, after '{}'", word, question["what"].get<std::string>()));
    } else {
      question["what"] = word;
    }
  }
  // `ip link set tap0 …`, `ip addr show tap0`: the bare word is the interface.
  if ((*object == "link" || (*object == "addr" && (question["action"] == "show" || question["action"] == "flush"))) && question.contains("what") && !question.contains("dev")) {
    question["dev"] = question["what"];
    question.erase("what");
  }
  return question;
}

}  // namespace

int ip_main(const IpOptions& options) {
  const auto question = parse_words(options.words);
  if (!question) return complain("ip", question.error(), 2);
  const auto answer = ask_table("ip", options, *question);
  if (!answer) return 1;
  const ordered_json rows = ordered_json::parse(answer->get<std::string>());
  if (!rows.is_array()) return 0;
  if (options.json) {
    print_json(rows);
    return 0;
  }
  const std::string object = (*question)["object"];
  if (object == "addr" || object == "link")
    fmt::print("{}", observe::links_text(rows, {.brief = options.brief, .statistics = options.statistics, .addresses = object == "addr"}));
  else if (object == "route")
    fmt::print("{}", (*question)["action"] == "get" ? observe::route_get_text(rows) : observe::routes_text(rows));
  else if (object == "neigh")
    fmt::print("{}", observe::neighbors_text(rows, options.statistics));
  else if (object == "maddr")
    fmt::print("{}", observe::groups_text(rows));
  return 0;
}

}  // namespace tapir::cli
