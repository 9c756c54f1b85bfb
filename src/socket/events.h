// SPDX-License-Identifier: Apache-2.0
// What socket/ reports to a Probe.
#pragma once

#include <cstdint>

#include "socket/errno.h"
#include "trace/record.h"

namespace tapir::socket {

// The subject is the descriptor.
enum class Event : std::uint16_t {
  // Words: Call, the result (0 of a call that failed), the errno (0 of one that did not), what was asked for
  // (bytes, backlog,
  // option name …). A call that has to wait is reported with its answer, not with the EAGAIN on the way
  // there.
  kCall = static_cast<std::uint16_t>(trace::EventBase::kSocket),
};

enum class Call : std::uint8_t {
  kSocket,
  kBind,
  kListen,
  kAccept,
  kConnect,
  kSend,
  kReceive,
  kShutdown,
  kClose,
  kSetOption
};

constexpr const char* to_string(Call call) {
  switch (call) {
    case Call::kSocket:
      return "socket";
    case Call::kBind:
      return "bind";
    case Call::kListen:
      return "listen";
    case Call::kAccept:
      return "accept";
    case Call::kConnect:
      return "connect";
    case Call::kSend:
      return "send";
    case Call::kReceive:
      return "recv";
    case Call::kShutdown:
      return "shutdown";
    case Call::kClose:
      return "close";
    case Call::kSetOption:
      return "setsockopt";
  }
  return "?";
}

// Reports `result` of a call, and hands it on.
template <typename T>
Result<T> reported(trace::Tracer& tracer, Call call, int fd, Result<T> result, Instant now,
                   std::uint64_t asked = 0) {
  if (!tracer.on()) [[likely]]
    return result;
  const int error = result ? 0 : static_cast<int>(result.error());
  if (error != EAGAIN)
    tracer.emit(now, Event::kCall, static_cast<std::uint64_t>(fd), static_cast<std::uint64_t>(call),
                result ? static_cast<std::uint64_t>(*result) : 0, static_cast<std::uint64_t>(error), asked);
  return result;
}

}  // namespace tapir::socket
