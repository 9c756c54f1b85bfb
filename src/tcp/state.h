// SPDX-License-Identifier: Apache-2.0
// The states of RFC 9293 §3.3.2, the moves between them, and why a connection ended.
#pragma once

#include <cstdint>

namespace tapir::tcp {

// In Linux's numbering (include/net/tcp_states.h), so that TCP_INFO and `ss` need no table.
enum class State : std::uint8_t {
  kEstablished = 1,
  kSynSent = 2,
  kSynReceived = 3,
  kFinWait1 = 4,
  kFinWait2 = 5,
  kTimeWait = 6,
  kClosed = 7,
  kCloseWait = 8,
  kLastAck = 9,
  kListen = 10,
  kClosing = 11,
};
inline constexpr int kStateCount = 12;

// "ESTABLISHED", "FIN-WAIT-1" …, the RFC's names.
const char* to_string(State state);

// RFC 9293 figure 5, with the moves that a RST or an abort makes (to CLOSED) from every state.
constexpr bool legal_move(State from, State to) {
  if (to == State::kClosed) return true;
  switch (from) {
    case State::kClosed:
      return to == State::kSynSent || to == State::kListen || to == State::kSynReceived ||
             to == State::kEstablished;
    case State::kListen:
      return to == State::kSynReceived;
    case State::kSynSent:
      return to == State::kSynReceived || to == State::kEstablished;
    case State::kSynReceived:
      return to == State::kEstablished || to == State::kFinWait1 || to == State::kCloseWait;
    case State::kEstablished:
      return to == State::kFinWait1 || to == State::kCloseWait;
    case State::kFinWait1:
      return to == State::kFinWait2 || to == State::kClosing || to == State::kTimeWait;
    case State::kFinWait2:
      return to == State::kTimeWait;
    case State::kCloseWait:
      return to == State::kLastAck;
    case State::kClosing:
      return to == State::kTimeWait;
    case State::kLastAck:
    case State::kTimeWait:
      return false;
  }
  return false;
}

constexpr bool before_established(State state) {
  return state == State::kSynSent || state == State::kSynReceived;
}

// Why a connection came to its end (or what is wrong with it, softly). socket/ turns it into an errno.
enum class CloseCause : std::uint8_t {
  kNone,
  kReset,                // a RST while synchronised: ECONNRESET
  kResetAfterFin,        // a RST in CLOSE-WAIT: EPIPE
  kRefused,              // a RST in answer to our SYN: ECONNREFUSED
  kTimedOut,             // nobody answered: ETIMEDOUT
  kNetUnreachable,       // ICMP or no route: ENETUNREACH
  kHostUnreachable,      // ICMP or ARP failure: EHOSTUNREACH
  kProtocolUnreachable,  // ENOPROTOOPT
  kPortUnreachable,      // ECONNREFUSED
  kMessageTooLong,       // EMSGSIZE
  kProhibited,           // a route that prohibits: EACCES
  kHostUnknown,          // ICMP 3/7: EHOSTDOWN
  kHostIsolated,         // ICMP 3/8: ENONET
  kSourceRouteFailed,    // ICMP 3/5: EOPNOTSUPP
  kParameterProblem,     // ICMP 12: EPROTO
  kAborted,      // by ourselves (close with unread data, linger 0, disconnect): ECONNABORTED / ECONNRESET to
                 // nobody
  kOutOfMemory,  // tcp_mem or the budget: ENOMEM
};

// Why a connection that asked for Fast Open did not get it (Linux: enum tcp_fastopen_client_fail,
// tcpi_fastopen_client_fail).
enum class FastOpenFailure : std::uint8_t {
  kNone = 0,
  kCookieUnavailable = 1,
  kDataNotAcked = 2,
  kSynRetransmitted = 3
};

}  // namespace tapir::tcp
