// SPDX-License-Identifier: Apache-2.0
// What the program is told of interfaces: tapir's.
#pragma once

#include <optional>

#include "socket/errno.h"

namespace tapir::preload {

// The requests of netdevice(7) about interfaces (SIOCGIFCONF, SIOCGIFADDR …); nothing: some other request.
std::optional<socket::Result<int>> interface_ioctl(unsigned long request, void* argument);

// A kernel descriptor is closed that may have been an epoll set (epoll_calls.cc).
void forget_kernel_set(int fd);

}  // namespace tapir::preload
