// SPDX-License-Identifier: Apache-2.0
#include "frame/error_queue.h"

#include <cstring>
#include <type_traits>

namespace tapir::inline frame {

static_assert(std::is_trivially_copyable_v<DeliveryError>);

void ErrorQueue::push(const DeliveryError& error, Bytes quoted, FramePool& pool) {
  if (frames_.count() >= kQueuedErrorsMax) return;
  DeliveryError stored = error;
  stored.payload = stored.packet = {};  // they do not outlive the call
  Frame kept = pool.allocate(sizeof stored + quoted.size());
  if (!kept) return;
  std::memcpy(kept.mutable_bytes().data(), &stored, sizeof stored);
  if (!quoted.empty()) std::memcpy(kept.mutable_bytes().data() + sizeof stored, quoted.data(), quoted.size());
  frames_.push_back(std::move(kept));
}

std::optional<DeliveryError> ErrorQueue::peek() const {
  const FrameHeader* first = frames_.front();
  if (first == nullptr) return std::nullopt;
  DeliveryError error;
  std::memcpy(&error, reinterpret_cast<const std::uint8_t*>(first + 1) + first->begin, sizeof error);
  return error;
}

std::optional<QueuedError> ErrorQueue::take() {
  if (frames_.empty()) return std::nullopt;
  QueuedError taken;
  taken.frame = frames_.pop_front();
  std::memcpy(&taken.error, taken.frame.bytes().data(), sizeof taken.error);
  taken.frame.trim_front(sizeof taken.error);
  taken.payload = taken.frame.bytes();
  return taken;
}

}  // namespace tapir::inline frame
