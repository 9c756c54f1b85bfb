// SPDX-License-Identifier: Apache-2.0
// Seeded sequences of calls on a few sockets.
#pragma once

#include "differential/script.h"

namespace tapir::differential {

Script random_script(unsigned long seed);

}  // namespace tapir::differential
