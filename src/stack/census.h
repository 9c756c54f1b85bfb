// SPDX-License-Identifier: Apache-2.0
// How many of everything a stack holds, so that a leak can be seen: all but the listeners, the ports and the
// neighbours return to zero when programs are done and the network is quiet.
#pragma once

#include <cstddef>

#include "stack/stack.h"

namespace tapir::stack {

struct Census {
  std::size_t frames = 0;       // received or copied, in somebody's queue
  std::size_t frames_kept = 0;  // free, kept for reuse
  std::size_t udp_ports = 0;
  std::size_t raw_ports = 0;
  std::size_t ping_ports = 0;
  std::size_t packet_ports = 0;
  std::size_t connections = 0;  // orphans too
  std::size_t orphans = 0;      // connections that no program holds
  std::size_t half_open = 0;
  std::size_t time_wait = 0;
  std::size_t listeners = 0;
  std::size_t transmissions = 0;   // segments sent and not yet acknowledged
  std::size_t bound_ports = 0;     // holds on a local port
  std::size_t neighbors = 0;       // entries of the table
  std::size_t parked_bytes = 0;    // true size of packets that wait for a neighbour
  std::size_t fragments = 0;       // datagrams that wait for the rest of themselves
  std::size_t fragment_bytes = 0;  // true size of what waits there
  std::size_t path_mtus = 0;       // destinations with a learnt MTU
  std::size_t replies = 0;         // answers that wait for a device
  std::size_t budget_used = 0;     // bytes of the memory budget
  std::size_t budget_peak = 0;
  std::size_t budget_limit = 0;
};

// Counts; changes nothing. Single-threaded as all of the stack.
Census census(const Stack& stack);

}  // namespace tapir::stack
