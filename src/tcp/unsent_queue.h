// SPDX-License-Identifier: Apache-2.0
// Where the bytes after snd.nxt are cut: one record per future (super-)segment, as Linux keeps one skb. Bytes
// are appended to the last record until it is full. A record takes from the next one only what completes a
// super-segment, so MSG_EOR's ends, and where a record is full, are visible on the wire.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/seq_num.h"
#include "base/slab.h"

namespace tapir::tcp {

struct UnsentRecord {
  SeqNum begin;
  SeqNum end;
  bool push = false;           // PSH when its last byte is sent
  bool end_of_record = false;  // MSG_EOR: nothing may be appended
  bool lent = false;           // its bytes are another's memory: it is not joined with a neighbour
  std::uint32_t next = 0;      // index + 1 in the pool; 0 = none
};

using UnsentPool = Slab<UnsentRecord>;

class UnsentQueue {
 public:
  UnsentQueue() = default;
  UnsentQueue(const UnsentQueue&) = delete;
  UnsentQueue& operator=(const UnsentQueue&) = delete;

  bool empty() const { return head_ == 0; }
  std::size_t count() const { return count_; }
  UnsentRecord* front(UnsentPool& pool) const { return head_ == 0 ? nullptr : pool.at(head_ - 1); }
  UnsentRecord* back(UnsentPool& pool) const { return tail_ == 0 ? nullptr : pool.at(tail_ - 1); }
  // The first takes up to `bytes` of the one behind it, where neither MSG_EOR nor lent memory parts them
  // (Linux: tcp_grow_skb).
  void grow_front(std::uint32_t bytes, UnsentPool& pool);
  // A new, empty record that begins at `begin`; null when the pool has none.
  UnsentRecord* push_back(SeqNum begin, UnsentPool& pool);
  void pop_front(UnsentPool& pool);
  // Takes back a record just pushed.
  void pop_back(UnsentPool& pool);
  void clear(UnsentPool& pool);

 private:
  std::uint32_t head_ = 0;  // index + 1
  std::uint32_t tail_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace tapir::tcp
