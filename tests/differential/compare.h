// SPDX-License-Identifier: Apache-2.0
// One script in both worlds.
#pragma once

#include <optional>
#include <string>

#include "differential/script.h"

namespace tapir::differential {

// Where the transcripts differ first, told with both lines; nothing when they agree. A difference is believed
// only when the kernel answers so `patience` times more, given three milliseconds more to come to rest after
// every call each time.
std::optional<std::string> difference(const Script& script, bool privileged, int patience);

// Leaves out calls, one by one and in runs, as long as a difference remains.
Script shrunk(Script script, bool privileged, int patience);

}  // namespace tapir::differential
