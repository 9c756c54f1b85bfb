// SPDX-License-Identifier: Apache-2.0
// SIOCGIF*: what a program asks a socket about the interfaces (netdevice(7)).
#pragma once

#include "socket/errno.h"
#include "stack/parts.h"

namespace tapir::socket {

// Answers SIOCGIFNAME, SIOCGIFINDEX, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFNETMASK, SIOCGIFBRDADDR, SIOCGIFMTU,
// SIOCGIFHWADDR, SIOCGIFTXQLEN, SIOCGIFMETRIC and SIOCGIFCONF. ENODEV: no such interface; EADDRNOTAVAIL: it
// has no address; ENOTTY: another request.
Result<int> interface_ioctl(const stack::Stack::Parts& parts, unsigned long request, void* argument);

// ARPHRD_*, as SIOCGIFHWADDR and packet sockets tell it.
unsigned short hardware_type(const ip::Interface& interface);

}  // namespace tapir::socket
