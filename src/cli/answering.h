// SPDX-License-Identifier: Apache-2.0
// The answering side of the commands on the control socket: what `tapir up` serves there. Each answer_…()
// stands in the file of its command, beside the side that asks.
#pragma once

#include <poll.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>

#include "cli/capture_hub.h"
#include "ip/groups.h"
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
  std::map<std::string, ip::MemberId> groups =
      {};  // by interface and address: what `ip maddr add` joined; under the stack's lock
};

// Waits until `ready(stack)`, asked under the stack's lock after all that happens there, is true (or
// `deadline`), and the client is still there: false when it has gone or the server ends.
template <typename Ready>
bool wait_for_stack(Running& running, runtime::ControlReply& reply, Instant deadline, Ready ready) {
  // A call of StackHost::run().
  struct Wait {
    Ready& ready;
    Instant until;
    std::array<pollfd, 2> ends;
    std::optional<socket::Result<long>> step(socket::Sockets& sockets, Instant now) {
      const bool gone = ends[0].revents != 0 || ends[1].revents != 0;
      if (gone || now >= until || ready(sockets.stack())) return 0;
      return std::nullopt;
    }
    Instant deadline() const { return until; }
    std::span<pollfd> kernel() { return ends; }
    const sigset_t* mask() const { return nullptr; }
    bool watches_stack() const { return true; }
  };
  Wait wait{ready, deadline, reply.ends(POLLRDHUP)};
  (void)running.host.run(wait, -1);
  return reply.wait(Duration::zero());
}

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
