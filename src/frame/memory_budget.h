// SPDX-License-Identifier: Apache-2.0
// How many bytes a stack may hold, whatever arrives. Every pool charges it.
#pragma once

#include <cstddef>

#include "base/assert.h"
#include "base/charge_hook.h"

namespace tapir::inline frame {

class MemoryBudget {
 public:
  // `limit` in bytes. Without it one flood of unread data takes the whole process down.
  explicit MemoryBudget(std::size_t limit) : limit_(limit) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  // Takes `bytes` of the budget, or says that there are not so many.
  bool charge(std::size_t bytes) {
    if (bytes > limit_ - used_) return false;
    used_ += bytes;
    if (used_ > peak_) peak_ = used_;
    return true;
  }
  void release(std::size_t bytes) {
    TAPIR_INVARIANT(bytes <= used_, "no more is given back than was taken");
    used_ -= bytes;
  }
  // For the containers of base/, which charge it through this; the budget outlives them.
  ChargeHook hook() {
    return {[](void* self, std::ptrdiff_t bytes) {
              auto& budget = *static_cast<MemoryBudget*>(self);
              if (bytes >= 0) return budget.charge(static_cast<std::size_t>(bytes));
              budget.release(static_cast<std::size_t>(-bytes));
              return true;
            },
            this};
  }

  std::size_t used() const { return used_; }
  std::size_t limit() const { return limit_; }
  std::size_t peak() const { return peak_; }

 private:
  std::size_t limit_;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace tapir::inline frame
