// SPDX-License-Identifier: Apache-2.0
// Buffers that the program gave to be sent, and who owns them until the stack points into them no more.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/loan.h"

namespace tapir::runtime {

// Buffers of programs that are given at a time. Without a limit a program whose peers read nothing holds ever
// more of them.
inline constexpr std::size_t kGivenBuffersMax = 4096;

// Guarded by the stack's lock.
class GivenBuffers {
 public:
  struct Buffer : Loan {
    std::shared_ptr<void> owner;
  };

  GivenBuffers() = default;
  GivenBuffers(const GivenBuffers&) = delete;
  GivenBuffers& operator=(const GivenBuffers&) = delete;
  // The stack has gone before.
  ~GivenBuffers() {
    std::vector<std::shared_ptr<void>> owners;
    collect(owners);
    TAPIR_INVARIANT(count_ == 0, "no call is under way when the host goes");
  }

  // A buffer with one user, who calls end_use(). Null: kGivenBuffersMax are under way.
  Buffer* take(std::shared_ptr<void> owner) {
    if (count_ == kGivenBuffersMax) return nullptr;
    auto* buffer = new Buffer;
    buffer->users = 1;
    buffer->ended = &ended_;
    buffer->owner = std::move(owner);
    ++count_;
    return buffer;
  }
  // Moves the owners of those that nobody uses any more to `owners`, to be let go of without the lock.
  void collect(std::vector<std::shared_ptr<void>>& owners) {
    while (ended_ != nullptr) {
      auto* buffer = static_cast<Buffer*>(std::exchange(ended_, ended_->next));
      owners.push_back(std::move(buffer->owner));
      delete buffer;
      --count_;
    }
  }
  std::size_t size() const { return count_; }

 private:
  Loan* ended_ = nullptr;  // those that are to be collected
  std::size_t count_ = 0;
};

}  // namespace tapir::runtime
