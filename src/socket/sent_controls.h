// SPDX-License-Identifier: Apache-2.0
// The control messages that sendmsg(2) reads, of datagrams: for this one in place of what the socket has set.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>

#include "inet/ip_address.h"
#include "inet/ip_options.h"
#include "inet/protocol.h"
#include "socket/errno.h"

namespace tapir::socket {

struct SentControls {
  std::optional<IpAddress> source;       // IP_PKTINFO's ipi_spec_dst; unspecified: the route's
  InterfaceId interface = kNoInterface;  // its ipi_ifindex
  std::uint8_t hop_limit = 0;            // IP_TTL; 0: not said
  std::optional<std::uint8_t> tos;       // IP_TOS
  std::optional<IpOptions> options;      // IP_RETOPTS
};

// Linux's ip_cmsg_send and __sock_cmsg_send. EINVAL: malformed, unknown, or out of range; EPERM: SO_MARK and
// high SO_PRIORITY without privilege. Levels but these two are the protocol's own, and none has any here:
// EINVAL for `level`, the others are skipped.
Result<SentControls> read_controls(const msghdr& message, int level, bool privileged);

// Of a stream: only SOL_SOCKET is looked at, and every error is EINVAL (Linux's sock_cmsg_send in
// tcp_sendmsg). Answers with the flags of SO_TIMESTAMPING, if it is among them.
Result<std::optional<std::uint32_t>> read_stream_controls(const msghdr& message, bool privileged);

}  // namespace tapir::socket
