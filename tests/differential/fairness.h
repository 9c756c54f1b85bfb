// SPDX-License-Identifier: Apache-2.0
// Sockets that share a port by SO_REUSEPORT get like shares of what comes, on the kernel and on tapir.
#pragma once

namespace tapir::differential {

// Prints the shares in both worlds; false when one of them is unfair.
bool shares_are_fair();

}  // namespace tapir::differential
