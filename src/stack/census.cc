// SPDX-License-Identifier: Apache-2.0
#include "stack/census.h"

#include "stack/parts.h"

namespace tapir::stack {

Census census(const Stack& stack) {
  const Stack::Parts& parts = stack.parts();
  const tcp::Engine::Gauges tcp = parts.tcp.gauges();
  Census now;
  now.frames = parts.frames.in_use();
  now.frames_kept = parts.frames.free_count();
  now.udp_ports = parts.udp.size();
  now.raw_ports = parts.raw_ports.size();
  now.ping_ports = parts.ping_ports.size();
  now.packet_ports = parts.packet_ports.size();
  now.connections = tcp.connections;
  now.orphans = tcp.orphans;
  now.half_open = tcp.half_open;
  now.time_wait = tcp.time_wait;
  now.listeners = tcp.listeners;
  now.transmissions = tcp.transmissions;
  now.bound_ports = parts.ports.bindings();
  now.neighbors = parts.neighbors.size();
  now.parked_bytes = parts.neighbors.parked_bytes();
  now.fragments = parts.fragments.datagrams();
  now.fragment_bytes = parts.fragments.bytes();
  now.path_mtus = parts.path_mtu.size();
  now.replies = parts.replies.size();
  now.budget_used = parts.budget.used();
  now.budget_peak = parts.budget.peak();
  now.budget_limit = parts.budget.limit();
  return now;
}

}  // namespace tapir::stack
