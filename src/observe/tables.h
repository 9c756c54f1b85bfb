// SPDX-License-Identifier: Apache-2.0
// Tables of a running stack, as ss, nstat, ip and their like print them. Each is read as JSON, which crosses
// a control socket as it is; text is made from that JSON on whichever side wants it. For whoever holds the
// stack's lock: reads, changes nothing.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "base/time.h"
#include "observe/socket_filter.h"
#include "stack/stack.h"

namespace tapir::observe {

// ---- sockets: ss(8) ----

// Which sockets, and what of each; the letters of ss.
struct SsView {
  bool tcp = true;
  bool udp = true;
  bool all = false;        // -a; without: not LISTEN, UNCONN, TIME-WAIT and SYN-RECV
  bool listening = false;  // -l: only LISTEN and UNCONN
  bool timers = false;     // -o
  bool info = false;       // -i
  bool extended = false;   // -e
  bool memory = false;     // -m
  bool header = true;      // not -H
  bool raw = true;         // -w: RAW and ping sockets
  bool packet = true;      // -0: packet sockets
  bool processes = false;  // -p
  SocketFilter filter = {};
};

// Every packet, RAW, ping and UDP port and TCP record: an array of {"netid", "state" (ss's name), "recv_q",
// "send_q", "local", "peer", "timer"?, "info"? (figures of TCP_INFO; times in µs unless the name says ms),
// "mem"?, "subject"}; who knows the process adds "users". In the order of the stack's tables.
nlohmann::ordered_json sockets_json(stack::Stack& stack, Instant now);
// The rows of sockets_json() that `view` wants.
nlohmann::ordered_json select_sockets(const nlohmann::ordered_json& rows, const SsView& view);
// iproute2's layout of those rows.
std::string sockets_text(const nlohmann::ordered_json& rows, const SsView& view);

// ---- counters: nstat(8) ----

// {"TcpActiveOpens": 1, …}, in /proc's order; those that are 0 only with `zeros`.
nlohmann::ordered_json counters_json(const stack::Stack& stack, bool zeros);
// "TcpActiveOpens                  1                  0.0" a line. Only names that match one of `patterns`
// (with * and ?); none: all.
std::string counters_text(const nlohmann::ordered_json& counters, std::span<const std::string> patterns = {});
// Does `name` match `pattern`, where * is any text and ? any character?
bool matches(std::string_view pattern, std::string_view name);

// Dropped packets by reason: an array of {"reason", "count", "why"}.
nlohmann::ordered_json drops_json(const stack::Stack& stack);
std::string drops_text(const nlohmann::ordered_json& drops);

// ---- numbers ----

// `thousandths` / 1000 as C's "%g" would print it: "0.1", "204", "1.25".
std::string decimal(std::uint64_t thousandths);
// A time as ss prints timers: "200ms", "1.500ms", "12sec", "119min".
std::string timer_text(std::uint64_t msec);

}  // namespace tapir::observe
