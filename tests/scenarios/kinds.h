// SPDX-License-Identifier: Apache-2.0
// What a scenario is about. Each writes one script from a seed;
// `closely`: with TCP_INFO asserted after everything that is done, not now and then.
#pragma once

#include <cstdint>
#include <string>

namespace tapir::scenarios {

// The stack sends to an honest receiver behind a path that loses, reorders and repeats.
std::string sending(std::uint64_t seed, bool closely);
// The stack receives segments with holes, overlaps and repetitions, and is read from now and then.
std::string receiving(std::uint64_t seed, bool closely);

// Time of a scenario goes in steps of this: far more than real time is late by, so that no order depends on
// it.
inline constexpr std::int64_t kStepMs = 10;

}  // namespace tapir::scenarios
