// SPDX-License-Identifier: Apache-2.0
// The TCP sockets of the machine as ss(8) shows them: what a failure reports when no descriptor leads to the
// connection.
#pragma once

#include <string>

#include "base/time.h"
#include "stack/stack.h"

namespace tapir::sim::drill {

// All TCP records with timers and figures, half-open and TIME-WAIT ones too; empty when there is none.
std::string socket_table(stack::Stack& stack, Instant now);

}  // namespace tapir::sim::drill
