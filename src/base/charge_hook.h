// SPDX-License-Identifier: Apache-2.0
// How a container of base/ asks its owner for memory, without knowing the owner's budget.
#pragma once

#include <cstddef>

namespace tapir::inline base {

// Asked before every allocation and told after every release. An empty hook always agrees.
struct ChargeHook {
  // `bytes` > 0: may these be taken? `bytes` < 0: these are given back; the answer is not looked at.
  bool (*charge)(void* context, std::ptrdiff_t bytes) = nullptr;
  void* context = nullptr;

  bool take(std::size_t bytes) const {
    return charge == nullptr || charge(context, static_cast<std::ptrdiff_t>(bytes));
  }
  void give_back(std::size_t bytes) const {
    if (charge != nullptr) charge(context, -static_cast<std::ptrdiff_t>(bytes));
  }
};

}  // namespace tapir::inline base
