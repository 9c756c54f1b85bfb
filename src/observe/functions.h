// SPDX-License-Identifier: Apache-2.0
// Which functions of tapir, and which of Linux, take a given step of a connection's life: the bridge between
// two sources that read alike. A test holds the left side to the code.
#pragma once

#include <cstdint>
#include <string_view>

#include "tcp/state.h"

namespace tapir::observe {

// What happened at our end.
enum class Step : unsigned char {
  kConnect,       // out: the SYN of an active open
  kSynAckIn,      // in SYN-SENT
  kHandshakeAck,  // out: the third segment of an active open
  kSynIn,         // at a listener
  kSynAckOut,
  kHandshakeDone,  // in: the third segment of a passive open
  kAccept,         // the program's call
  kDataIn,
  kDataOut,
  kAckIn,
  kAckOut,
  kCloseOut,       // out: our FIN, the first of the two
  kCloseReplyOut,  // out: our FIN, after the peer's
  kFinAckedIn,     // in: our FIN is acknowledged, the peer's has still to come
  kPeerCloseIn,    // in: the peer's FIN, the first of the two
  kPeerFinalIn,    // in: the peer's FIN, after ours
  kLastAckIn,      // in: our FIN is acknowledged, the peer's came before
  kTimeWaitAck,    // out: of the peer's FIN, the last segment of a close
  kTimeWaitIn,     // in: anything for what is in TIME-WAIT
  kRefusedIn,      // in: a RST in answer to our SYN
  kResetIn,
  kNobodyIn,  // in: belongs to nobody
  kResetOut,  // out: in answer to that
};
inline constexpr int kStepCount = static_cast<int>(Step::kResetOut) + 1;

// Calls in their order, joined by " → "; "a or b" is either. A name without a class belongs to the class
// named before it.
struct Chains {
  std::string_view tapir;
  std::string_view linux_kernel;
};
const Chains& functions_of(Step step);

// What a segment was to our end, whose state it moved from `before` to `after`.
Step step_of(bool inbound, std::uint16_t flags, std::uint32_t payload_bytes, tcp::State before,
             tcp::State after);

}  // namespace tapir::observe
