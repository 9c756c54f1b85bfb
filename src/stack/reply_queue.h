// SPDX-License-Identifier: Apache-2.0
// Answers to frames that no connection owns, waiting to be sent: first in, first out, bounded.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "ip/reply.h"

namespace tapir::stack {

class ReplyQueue {
 public:
  // A turn asks for at most as many as it takes frames; many turns' worth while a device is full. Beyond, a
  // reply is a counted drop: a flood of echo requests must not fill the memory.
  static constexpr std::size_t kRepliesMax = 256;

  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }
  // False when the queue is full.
  bool push(ip::Reply reply) {
    if (count_ == kRepliesMax) return false;
    if (ring_.empty()) ring_.resize(kRepliesMax);
    ring_[(head_ + count_++) % kRepliesMax] = std::move(reply);
    return true;
  }
  const ip::Reply& front() const { return ring_[head_]; }
  // The oldest; there is one.
  ip::Reply pop() {
    ip::Reply reply = std::move(ring_[head_]);
    head_ = (head_ + 1) % kRepliesMax;
    --count_;
    return reply;
  }

 private:
  std::vector<ip::Reply> ring_;  // empty until the first reply, then kRepliesMax
  std::size_t head_ = 0;
  std::size_t count_ = 0;
};

}  // namespace tapir::stack
