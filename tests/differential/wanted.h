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
  bool ends = false;  // what comes after it is different too, and says nothing
};
std::span<const Wanted> wanted_differences();
// The one that covers a difference; null: none does.
const Wanted* wanted(const Op& op, const std::string& kernel, const std::string& tapir);

}  // namespace tapir::differential
