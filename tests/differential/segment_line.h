// SPDX-License-Identifier: Apache-2.0
// A segment as a line that is the same in both worlds: who to whom, bytes, flags. Numbers that are random are
// left out.
#pragma once

#include <string>
#include <vector>

#include "differential/api.h"

namespace tapir::differential {

// "P0" … for the script's own ports, "eph" for chosen ones.
std::string port_name(const Place& place, unsigned port);
// Adds the line, unless the segment is a pure ACK: when those leave depends on the clock.
void add_segment(std::vector<std::string>& lines, const Place& place, unsigned source, unsigned destination,
                 unsigned flags, unsigned payload);

}  // namespace tapir::differential
