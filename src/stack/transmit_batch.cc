// SPDX-License-Identifier: Apache-2.0
#include "stack/transmit_batch.h"

#include <utility>

#include "base/assert.h"

namespace tapir::stack {

void TransmitBatch::commit(InterfaceId interface, Frame kept) {
  TAPIR_INVARIANT(count_ < kFramesMax, "a full batch is handed over before the next frame is committed");
  TAPIR_INVARIANT(count_ == 0 || interface == interface_, "a batch goes to one interface");
  interface_ = interface;
  if (slot().payload_size() != 0 && !kept) borrows_ = true;
  kept_[count_] = std::move(kept);
  ++count_;
}

void TransmitBatch::clear() {
  if (count_ == 0) return;
  (*frames_)[0] = (*frames_)[count_];
  for (std::size_t i = 0; i < count_; ++i) kept_[i].reset();
  count_ = 0;
  borrows_ = false;
}

}  // namespace tapir::stack
