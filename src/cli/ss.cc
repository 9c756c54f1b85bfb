// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/answering.h"
#include "cli/asking.h"
#include "cli/commands.h"
#include "observe/tables.h"
#include "runtime/answers.h"

namespace tapir::cli {

using nlohmann::json;
using nlohmann::ordered_json;

void answer_ss(Running& running, const json&, runtime::ControlReply& reply) {
  runtime::answer_sockets(running.host, reply);
}

int ss_main(const SsOptions& options) {
  const auto filter = observe::SocketFilter::parse(options.filter);
  if (!filter) return complain("ss", filter.error(), 2);
  const auto answer = ask_table("ss", options, {{"command", "ss"}});
  if (!answer) return 1;
  observe::SsView view;
  const bool any = !options.tcp && !options.udp && !options.raw && !options.packet;
  view.tcp = options.tcp || any;
  view.udp = options.udp || any;
  view.raw = options.raw || any;
  view.packet = options.packet || any;
  view.processes = options.processes;
  view.filter = *filter;
  view.listening = options.listening;
  view.all = options.all;
  view.timers = options.timers;
  view.info = options.info;
  view.extended = options.extended;
  view.memory = options.memory;
  view.header = !options.no_header;
  const ordered_json rows = observe::select_sockets(ordered_json(*answer), view);
  if (options.json)
    print_json(rows);
  else
    fmt::print("{}", observe::sockets_text(rows, view));
  return 0;
}

}  // namespace tapir::cli
