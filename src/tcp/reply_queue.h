// SPDX-License-Identifier: Apache-2.0
// Segments that no connection owns, waiting for the hub. Memory exists only while some wait.
#pragma once

#include <cstdint>
#include <optional>

#include "base/slab.h"
#include "tcp/engine.h"

namespace tapir::tcp {

class ReplyQueue {
 public:
  explicit ReplyQueue(ChargeHook hook) : nodes_(kReplyQueueMax, hook, true) {}

  // False when kReplyQueueMax wait, or there is no memory.
  bool push(const SegmentReply& reply) {
    const Handle<Node> handle = nodes_.emplace();
    if (!handle) return false;
    nodes_.get(handle)->reply = reply;
    if (tail_ == 0)
      head_ = handle.index + 1;
    else
      nodes_.at(tail_ - 1)->next = handle.index + 1;
    tail_ = handle.index + 1;
    return true;
  }
  // The next to leave; null: none.
  const SegmentReply* front() const { return head_ == 0 ? nullptr : &nodes_.at(head_ - 1)->reply; }
  std::optional<SegmentReply> pop() {
    if (head_ == 0) return std::nullopt;
    Node& node = *nodes_.at(head_ - 1);
    std::optional<SegmentReply> reply(node.reply);
    head_ = node.next;
    if (head_ == 0) tail_ = 0;
    nodes_.erase(node);
    return reply;
  }

 private:
  struct Node {
    SegmentReply reply;
    std::uint32_t next = 0;  // index + 1
  };
  Slab<Node> nodes_;
  std::uint32_t head_ = 0;
  std::uint32_t tail_ = 0;
};

}  // namespace tapir::tcp
