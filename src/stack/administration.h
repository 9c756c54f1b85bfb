// SPDX-License-Identifier: Apache-2.0
// What ip(8) changes on a stack that runs: each with all that follows from it in routes and neighbours. For
// whoever holds the stack's lock; connections notice by the routes' generation, as they do on Linux.
#pragma once

#include "stack/parts.h"

namespace tapir::stack {

// Adds an address and its connected route (Linux: inet_insert_ifa, fib_add_ifaddr). False: it is there
// already, the interface is not, or it has ip::Interfaces::kAddressesMax.
bool add_address(Stack::Parts& parts, InterfaceId interface, const IpPrefix& address);
// Takes an address away, its connected route and the routes that prefer it as source. False: it is not there.
bool remove_address(Stack::Parts& parts, InterfaceId interface, const IpAddress& address);
// Down: its routes and neighbours go. Up: the connected routes of its addresses come back; others were lost,
// as on Linux.
bool set_interface_up(Stack::Parts& parts, InterfaceId interface, bool up);

}  // namespace tapir::stack
