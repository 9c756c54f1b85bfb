// SPDX-License-Identifier: Apache-2.0
// A script: socket calls on numbered descriptors. Run in a world it gives a transcript: a line per call with
// the result, the errno, what was written to the caller's memory, and the readiness of every descriptor after
// it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "differential/api.h"

namespace tapir::differential {

enum class Call : unsigned char {
  kSocket,       // slot = the new one; a = domain, b = type, c = protocol
  kBind,         // a = Address, b = Port
  kListen,       // a = backlog
  kAccept,       // a = flags, b = slot of the child, c = Length of the address buffer
  kConnect,      // a = Address, b = Port
  kSend,         // a = size, b = flags
  kSendTo,       // a = size, b = flags, c = Address * 16 + Port
  kSendPieces,   // sendmsg: a = pieces, b = size of each, c = flags
  kWriteV,       // a = pieces, b = size of each
  kSendMany,     // sendmmsg: a = messages, b = size of each, c = flags
  kReceive,      // a = size, b = flags
  kReceiveFrom,  // a = size, b = flags, c = Length of the address buffer
  kReceiveMsg,   // a = size, b = flags, c = size of the control buffer
  kReadV,        // a = pieces, b = size of each
  kReceiveMany,  // recvmmsg: a = messages, b = size of each, c = flags
  kShutdown,     // a = how
  kClose,
  kDup,          // b = slot of the new one
  kDup3,         // b = slot whose number is taken over, c = flags
  kGetSockName,  // a = Length
  kGetPeerName,  // a = Length
  kSetInt,       // a = level, b = name, c = value
  kSetValue,     // a = level, b = name, c = Shape
  kSetTimeout,   // a = SO_RCVTIMEO or SO_SNDTIMEO, b = milliseconds
  kTimed,        // the next call's line tells whether it waited
  kGet,          // a = level, b = name, c = Shape
  kIoctl,        // a = request, b = value, c = 1: null argument
  kFcntl,        // a = command, b = argument
  kPoll,         // a = events
  kEpollCreate,  // slot = the new one; a = flags
  kEpollCtl,     // slot = the set; a = operation, b = slot, c = events; d = 1: null event
  kEpollWait,    // slot = the set; a = most
  kPass,         // a = milliseconds
  kSendControl,  // sendmsg: a = size, b = which control_example(), -1: none, c = as kSendTo's, 0: none; d =
                 // 1: an echo request
  kSetOptions,   // IP_OPTIONS: a = which options_example()
};

// Addresses and ports of a script, by their role.
enum class Address : unsigned char {
  kAny,
  kOwn,
  kOther,
  kLocalhost,
  kForeign,
  kMulticast,
  kBroadcast,
  kClassE,
  kUnspecFamilyAny,
  kUnspecFamilyOwn,
  kInet6,
  kShort,
  kTiny,
  kLong,
  kNull,
  kZeroLength,
};
inline constexpr int kAddresses = 16;
// 0, base + 0 …, 80.
enum class Port : unsigned char { kZero, kP0, kP1, kP2, kP3, kPrivileged };
inline constexpr int kPorts = 6;

// How the memory of a value or an address is handed over.
enum class Shape : unsigned char {
  kExact,
  kShort,
  kLong,
  kZero,
  kNegative,
  kNullValue,
  kNullLength,
  kByte,
  kRoomy
};

// The time-out of calls that are to wait.
inline constexpr long kBlockedMilliseconds = 15;

struct Op {
  Call call;
  int slot = 0;
  long a = 0, b = 0, c = 0, d = 0;
};
using Script = std::vector<Op>;

// One line, C-like.
std::string text(const Op& op);
std::string text(const Script& script);

// Runs `script` and closes what it left open. `pause_ms`: real time after every call, for the kernel to come
// to rest.
std::vector<std::string> run(const Script& script, Api& api, const Place& place, int pause_ms = 0);

}  // namespace tapir::differential
