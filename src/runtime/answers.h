// SPDX-License-Identifier: Apache-2.0
// What any process with a stack answers on its control socket, whatever else is in it: its sockets, counters,
// knobs and trace.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "runtime/control_socket.h"
#include "runtime/stack_host.h"
#include "trace/ring.h"

namespace tapir::runtime {

// How often streams look at the stack: what a person takes for at once. What happens between two looks waits
// in bounded queues; beyond their limits it is lost, and counted.
inline constexpr Duration kStreamInterval = 20ms;
// Records of a trace kept between two looks: what bulk transfers decide in that time, several times over. 1
// MiB.
inline constexpr std::size_t kTraceRing = 16384;
// Records of one answer of a stream.
inline constexpr std::size_t kRecordsPerAnswer = 512;

// Listens to a stack while it lives. `probes` is attached to the stack while it has somebody; guarded by the
// host's lock.
class TraceListener {
 public:
  TraceListener(StackHost& host, trace::TeeProbe& probes);
  ~TraceListener();
  TraceListener(const TraceListener&) = delete;
  TraceListener& operator=(const TraceListener&) = delete;

  // False: too many listen already.
  bool added() const { return added_; }
  Instant began() const { return began_; }
  // What was recorded since the last call; answers how much was lost so far.
  std::uint64_t take(std::vector<trace::Record>& records);

 private:
  StackHost& host_;
  trace::TeeProbe& probes_;
  trace::RingProbe ring_;
  Instant began_{};
  bool added_ = false;
};

// `tapir ss`, `nstat`, `sysctl` and `trace`: the question's arguments are those that the command sends.
void answer_sockets(StackHost& host, ControlReply& reply);
void answer_counters(StackHost& host, ControlReply& reply);
void answer_sysctls(StackHost& host, const nlohmann::json& question, ControlReply& reply);
void answer_trace(StackHost& host, trace::TeeProbe& probes, const nlohmann::json& question,
                  ControlReply& reply);

}  // namespace tapir::runtime
