// SPDX-License-Identifier: Apache-2.0
// What the calls that move bytes share with stdio's and syscall()'s.
#pragma once

#include <sys/socket.h>

#include "preload/numbers.h"
#include "socket/errno.h"

namespace tapir::preload {

// The answer of a call that sent, with the SIGPIPE that goes with EPIPE.
ssize_t with_sigpipe(const socket::Result<long>& result, int flags);
// write(2).
ssize_t write_to(const Number& number, const void* data, std::size_t size);
// Says so once when `message` hands one of our sockets to another process.
void warn_of_passed(const msghdr* message);

}  // namespace tapir::preload
