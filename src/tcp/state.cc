// SPDX-License-Identifier: Apache-2.0
#include "tcp/state.h"

namespace tapir::tcp {

const char* to_string(State state) {
  switch (state) {
    case State::kEstablished:
      return "ESTABLISHED";
    case State::kSynSent:
      return "SYN-SENT";
    case State::kSynReceived:
      return "SYN-RECEIVED";
    case State::kFinWait1:
      return "FIN-WAIT-1";
    case State::kFinWait2:
      return "FIN-WAIT-2";
    case State::kTimeWait:
      return "TIME-WAIT";
    case State::kClosed:
      return "CLOSED";
    case State::kCloseWait:
      return "CLOSE-WAIT";
    case State::kLastAck:
      return "LAST-ACK";
    case State::kListen:
      return "LISTEN";
    case State::kClosing:
      return "CLOSING";
  }
  return "?";
}

}  // namespace tapir::tcp
