// SPDX-License-Identifier: Apache-2.0
// What is left of a connection in FIN-WAIT-2 without an owner, or in TIME-WAIT: what the small record needs
// (Linux: tcp_time_wait).
#pragma once

#include <cstdint>

#include "base/seq_num.h"
#include "base/time.h"
#include "inet/endpoint.h"

namespace tapir::tcp {

struct Remains {
  FourTuple tuple;
  SeqNum snd_nxt;
  SeqNum rcv_nxt;
  std::uint32_t rcv_wnd = 0;
  std::uint8_t rcv_wscale = 0;
  bool timestamps = false;
  std::uint32_t ts_recent = 0;
  Instant ts_recent_at{};
  std::uint32_t ts_offset = 0;
  Duration timeout{};  // FIN-WAIT-2's
  std::uint8_t tos = 0;
  bool fin_wait_2 = false;  // waits for the peer's FIN still
};

}  // namespace tapir::tcp
