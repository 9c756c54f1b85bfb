// SPDX-License-Identifier: Apache-2.0
#include "sim/drill/socket_table.h"

#include <nlohmann/json.hpp>

#include "observe/tables.h"

namespace tapir::sim::drill {

std::string socket_table(stack::Stack& stack, Instant now) {
  observe::SsView view;
  view.udp = false;
  view.all = true;
  view.timers = true;
  view.info = true;
  view.header = false;
  std::string text =
      observe::sockets_text(observe::select_sockets(observe::sockets_json(stack, now), view), view);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace tapir::sim::drill
