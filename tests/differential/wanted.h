// SPDX-License-Identifier: Apache-2.0
// Where tapir differs from the kernel at hand on purpose. Each entry stands in docs/sockets.md, with the
// reason.
#pragma once

#include <span>
#include <string>

#include "differential/script.h"

namespace tapir::differential {

struct Wanted {
  const char* name;  // as docs/sockets.md calls it
  bool (*covers)(const Op& op, const std::string& kernel, const std::string& tapir);
};
std::span<const Wanted> wanted_differences();
bool is_wanted(const Op& op, const std::string& kernel, const std::string& tapir);

}  // namespace tapir::differential
