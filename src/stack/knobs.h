// SPDX-License-Identifier: Apache-2.0
// Settings that belong to no one protocol, under Linux's names and with Linux's defaults.
#pragma once

#include <cstdint>

namespace tapir::stack {

struct Knobs {
  std::int64_t rmem_default =
      212992;  // net.core.rmem_default: SO_RCVBUF of a datagram socket, bytes of true size
  std::int64_t wmem_default = 212992;  // net.core.wmem_default: SO_SNDBUF of a datagram socket
  bool ip_nonlocal_bind = false;       // net.ipv4.ip_nonlocal_bind
};

}  // namespace tapir::stack
