// SPDX-License-Identifier: Apache-2.0
// What a finished handshake hands over to the connection that begins (from a HalfOpen record, a cookie).
#pragma once

#include <cstdint>

#include "base/seq_num.h"
#include "base/time.h"
#include "inet/endpoint.h"

namespace tapir::tcp {

struct Handshake {
  FourTuple tuple;
  SeqNum iss;
  SeqNum irs;
  SeqNum snd_una;  // normally iss + 1
  std::uint16_t peer_mss = 536;
  std::uint8_t snd_wscale = 0;  // the peer's shift
  std::uint8_t rcv_wscale = 0;  // ours
  bool window_scaling = false;
  bool timestamps = false;
  bool sack = false;
  bool ecn = false;
  std::uint32_t ts_recent = 0;
  std::uint32_t ts_offset = 0;  // added to our clock on the wire
  std::uint32_t rcv_wnd = 0;    // offered in the SYN-ACK
  std::uint32_t window_clamp = 0;
  std::uint8_t syn_ack_retransmits = 0;
  Instant syn_ack_sent_at{};  // of the (only) SYN-ACK, for the first RTT sample; kNever: unknown (a cookie)
};

}  // namespace tapir::tcp
