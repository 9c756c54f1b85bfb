// SPDX-License-Identifier: Apache-2.0
#include "preload/control.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "preload/process.h"
#include "runtime/answers.h"
#include "runtime/control_socket.h"

namespace tapir::preload {
namespace {

using nlohmann::json;

// Never destroyed, as the host; the server is, by close_control().
std::unique_ptr<runtime::ControlServer>& server() {
  static auto* one = new std::unique_ptr<runtime::ControlServer>;
  return *one;
}

// The server's threads are the host's own, not the program's: they close descriptors that the program may
// not.
void enter_thread() {
  static thread_local Inside inside;
  (void)inside;
}

}  // namespace

std::expected<void, std::string> open_control(const std::string& path, runtime::StackHost& host) {
  static auto* probes = new trace::TeeProbe;
  std::map<std::string, runtime::ControlHandler> handlers;
  const auto add = [&handlers](const char* name, auto answer) {
    handlers[name] = [answer](const json& question, runtime::ControlReply& reply) {
      // A member of the wrong type is the asker's mistake; the library tells of it by an exception.
      try {
        answer(question, reply);
      } catch (const json::exception& error) {
        reply.fail(std::string("the question is not understood: ") + error.what());
      }
    };
  };
  add("ss", [&host](const json&, runtime::ControlReply& reply) { runtime::answer_sockets(host, reply); });
  add("nstat", [&host](const json&, runtime::ControlReply& reply) { runtime::answer_counters(host, reply); });
  add("sysctl", [&host](const json& question, runtime::ControlReply& reply) {
    runtime::answer_sysctls(host, question, reply);
  });
  add("trace", [&host](const json& question, runtime::ControlReply& reply) {
    runtime::answer_trace(host, *probes, question, reply);
  });
  auto opened = runtime::ControlServer::open(path, std::move(handlers), first_internal(), enter_thread);
  if (!opened) return std::unexpected(opened.error());
  server() = std::move(*opened);
  return {};
}

void close_control() { server().reset(); }

}  // namespace tapir::preload
