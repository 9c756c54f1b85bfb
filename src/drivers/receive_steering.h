// SPDX-License-Identifier: Apache-2.0
// Which of the machine's processors handle what the kernel's end of an interface receives (RPS, receive
// packet steering: linux/Documentation/networking/scaling.rst).
#pragma once

#include <expected>
#include <string>

#include "drivers/netdev.h"

namespace tapir::drivers {

// All of them, each connection on one of its own, rather than the one that wrote the frame, within its
// write(2). For an interface of this network namespace with one queue. Takes the machine's CAP_NET_ADMIN
// (root of a user namespace has it not) and CAP_SYS_ADMIN, which a view of sysfs for this namespace costs:
// /sys may show another's.
NetdevResult spread_received(const std::string& name);
// Which do now, as sysfs writes it: a mask in hexadecimal ("3": the first two; "0": whichever writes).
std::expected<std::string, std::string> processors_of_received(const std::string& name);

}  // namespace tapir::drivers
