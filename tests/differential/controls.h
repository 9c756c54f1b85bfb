// SPDX-License-Identifier: Apache-2.0
// Control messages and IP options to hand to both worlds, well-formed and not.
#pragma once

#include <array>
#include <cstddef>

#include "differential/api.h"

namespace tapir::differential {

// What msg_control and msg_controllen say.
struct ControlExample {
  alignas(8) std::array<unsigned char, 128> bytes{};
  std::size_t size = 0;
  bool null = false;
};
int control_examples();
ControlExample control_example(const Place& place, int index);

// What setsockopt(IP_OPTIONS) is given.
struct OptionsExample {
  std::array<unsigned char, 64> bytes{};
  unsigned size = 0;
  bool null = false;
};
int options_examples();
OptionsExample options_example(int index);

}  // namespace tapir::differential
