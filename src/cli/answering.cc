// SPDX-License-Identifier: Apache-2.0
#include "cli/answering.h"

#include <nlohmann/json.hpp>

namespace tapir::cli {

using nlohmann::json;

std::string_view route_error_text(ip::RouteError error) {
  switch (error) {
    case ip::RouteError::kNetUnreachable:
      return "network is unreachable: the stack has no route there";
    case ip::RouteError::kHostUnreachable:
      return "host is unreachable";
    case ip::RouteError::kInterfaceDown:
      return "the interface is down, or has no address";
    case ip::RouteError::kBroadcast:
      return "it is a broadcast address";
    case ip::RouteError::kTooMany:
      return "too many requests are under way";
    default:
      return "there is no way there";
  }
}

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
  add("ip", answer_ip);
  add("stat", answer_stat);
  add("debug", answer_debug);
  add("arping", answer_arping);
  add("nc", answer_nc);
  add("traceroute", answer_traceroute);
  return handlers;
}

}  // namespace tapir::cli
