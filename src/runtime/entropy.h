// SPDX-License-Identifier: Apache-2.0
// Where a stack's secrets come from.
#pragma once

#include <cstdint>

namespace tapir::runtime {

// 64 bits of getrandom(2), never 0.
std::uint64_t random_seed();

}  // namespace tapir::runtime
