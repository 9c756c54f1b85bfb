// SPDX-License-Identifier: Apache-2.0
#include "raw/queue.h"

#include <cstring>
#include <type_traits>
#include <utility>

namespace tapir::raw {
namespace {

static_assert(std::is_trivially_copyable_v<Stored> && sizeof(Stored) <= kFrameHeadroom,
              "it fits the headroom of every frame of the pool");

Bytes bytes_of(const FrameHeader& header) {
  return {reinterpret_cast<const std::uint8_t*>(&header + 1) + header.begin, header.end - header.begin};
}

Received read_stored(Bytes stored, Instant received_at) {
  Received received;
  std::memcpy(&received.about, stored.data(), sizeof received.about);
  received.received_at = received_at;
  received.payload = stored.subspan(sizeof received.about);
  return received;
}

}  // namespace

std::size_t ReceiveQueue::first_size() const {
  const FrameHeader* first = frames_.front();
  return first == nullptr ? 0 : bytes_of(*first).size() - sizeof(Stored);
}

trace::DropReason ReceiveQueue::refuse(trace::DropReason reason) {
  ++arrivals_;
  ++drops_;
  return reason;
}

std::optional<trace::DropReason> ReceiveQueue::push(const Stored& about, Frame packet) {
  if (!frames_.empty() && frames_.true_size() + packet.meta().true_size > limit)
    return refuse(trace::DropReason::kSocketRcvbuff);
  ++arrivals_;
  std::memcpy(packet.push_front(sizeof about).data(), &about, sizeof about);
  frames_.push_back(std::move(packet));
  return std::nullopt;
}

std::optional<Received> ReceiveQueue::peek() const {
  const FrameHeader* first = frames_.front();
  if (first == nullptr) return std::nullopt;
  return read_stored(bytes_of(*first), first->received_at);
}

std::optional<Received> ReceiveQueue::take() {
  if (frames_.empty()) return std::nullopt;
  Frame frame = frames_.pop_front();
  Received received = read_stored(frame.bytes(), frame.meta().received_at);
  frame.trim_front(sizeof(Stored));
  received.frame = std::move(frame);
  return received;
}

}  // namespace tapir::raw
