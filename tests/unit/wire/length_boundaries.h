// SPDX-License-Identifier: Apache-2.0
// The values that every length field on the wire is tried with.
#pragma once

#include <cstdint>
#include <set>

namespace tapir::wire {

// {0, 1, least-1, least, most, most+1, 0xffff} of a field that is right from `least` to `most` and holds up
// to `field_max`.
inline std::set<std::uint32_t> length_boundaries(std::uint32_t least, std::uint32_t most,
                                                 std::uint32_t field_max = 0xffff) {
  std::set<std::uint32_t> values = {0, 1, least - 1, least, most, most + 1, 0xffff};
  std::erase_if(values, [field_max](std::uint32_t value) { return value > field_max; });
  return values;
}

}  // namespace tapir::wire
