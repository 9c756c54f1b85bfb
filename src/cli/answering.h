// SPDX-License-Identifier: Apache-2.0
// The answering side of the commands on the control socket: what `tapir up` serves there. Each answer_…()
// stands in the file of its command, beside the side that asks.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/capture_hub.h"
#include "ip/routes.h"
#include "runtime/answers.h"
#include "runtime/control_socket.h"
#include "runtime/stack_host.h"
#include "trace/ring.h"

namespace tapir::cli {

using runtime::kStreamInterval;

// A stack that runs, and what is attached to it. All members outlive the control socket.
struct Running {
  runtime::StackHost& host;
  CaptureHub& captures;     // under the stack's lock
  trace::TeeProbe& probes;  // under the stack's lock; attached to the stack while it has somebody
  std::atomic<std::uint16_t> pingers = 0;  // ids given out
};

// By the name of the command. `running` outlives the server.
std::map<std::string, runtime::ControlHandler> control_handlers(Running& running);

// Why nothing can be sent there, for whoever asked to.
std::string_view route_error_text(ip::RouteError error);

void answer_ss(Running& running, const nlohmann::json& question, runtime::ControlReply& reply);
void answer_nstat(Running& running, const nlohmann::json& question, runtime::ControlReply& reply);
void answer_ping(Running& running, const nlohmann::json& question, runtime::ControlReply& reply);
void answer_sysctl(Running& running, const nlohmann::json& question, runtime::ControlReply& reply);
void answer_capture(Running& running, const nlohmann::json& question, runtime::ControlReply& reply);
void answer_trace(Running& running, const nlohmann::json& question, runtime::ControlReply& reply);
void answer_ip(Running& running, const nlohmann::json& question, runtime::ControlReply& reply);
void answer_stat(Running& running, const nlohmann::json& question, runtime::ControlReply& reply);
void answer_debug(Running& running, const nlohmann::json& question, runtime::ControlReply& reply);
void answer_arping(Running& running, const nlohmann::json& question, runtime::ControlReply& reply);
void answer_nc(Running& running, const nlohmann::json& question, runtime::ControlReply& reply);
void answer_traceroute(Running& running, const nlohmann::json& question, runtime::ControlReply& reply);

}  // namespace tapir::cli
