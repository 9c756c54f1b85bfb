// SPDX-License-Identifier: Apache-2.0
#include "cli/answering.h"

#include <nlohmann/json.hpp>

namespace tapir::cli {

using nlohmann::json;

std::map<std::string, runtime::ControlHandler> control_handlers(Running& running) {
  std::map<std::string, runtime::ControlHandler> handlers;
  const auto add = [&](const char* name, void (*answer)(Running&, const json&, runtime::ControlReply&)) {
    handlers[name] = [&running, answer](const json& question, runtime::ControlReply& reply) {
      // A member of the wrong type is the asker's mistake; the library tells of it by an exception.
      try {
        answer(running, question, reply);
      } catch (const json::exception& error) {
        reply.fail(std::string("the question is not understood: ") + error.what());
      }
    };
  };
  add("ss", answer_ss);
  add("nstat", answer_nstat);
  add("ping", answer_ping);
  add("sysctl", answer_sysctl);
  add("capture", answer_capture);
  add("trace", answer_trace);
  return handlers;
}

}  // namespace tapir::cli
