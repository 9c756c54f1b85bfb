// SPDX-License-Identifier: Apache-2.0
// Network namespaces: where the kernel's end of a TAP device or veth pair is made, so that nothing of the
// machine is touched.
#pragma once

#include <expected>
#include <string>

namespace tapir::drivers {

enum class Namespace : unsigned char {
  kNetwork,         // a new network namespace (we had CAP_SYS_ADMIN)
  kUserAndNetwork,  // a new user namespace, in which this user is root, and a network namespace of its own
};

// May this process make interfaces in its network namespace? The kernel is asked (CAP_NET_ADMIN of the user
// namespace that owns the network namespace, which the process's capability set does not tell).
bool has_net_admin();

// Moves the process into a new network namespace, with a new user namespace where it takes one, and sets its
// loopback interface up. To be called before any thread is started. What went wrong is one sentence.
std::expected<Namespace, std::string> enter_private_network_namespace();

}  // namespace tapir::drivers
