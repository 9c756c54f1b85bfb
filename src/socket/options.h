// SPDX-License-Identifier: Apache-2.0
// getsockopt(2) and setsockopt(2): the look-up in the tables of option_table.h.
#pragma once

#include <sys/socket.h>

#include "socket/state.h"

namespace tapir::socket {

Result<int> get_option(Sockets::State& state, SocketFile& s, int level, int name, void* value,
                       socklen_t* length, Instant now);
Result<int> set_option(Sockets::State& state, SocketFile& s, int level, int name, const void* value,
                       socklen_t length, Instant now);

}  // namespace tapir::socket
