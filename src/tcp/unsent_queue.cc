// SPDX-License-Identifier: Apache-2.0
#include "tcp/unsent_queue.h"

#include <algorithm>

#include "base/assert.h"

namespace tapir::tcp {

UnsentRecord* UnsentQueue::push_back(SeqNum begin, UnsentPool& pool) {
  const Handle<UnsentRecord> handle = pool.emplace();
  if (!handle) return nullptr;
  UnsentRecord& record = *pool.get(handle);
  record.begin = record.end = begin;
  if (tail_ == 0)
    head_ = handle.index + 1;
  else
    pool.at(tail_ - 1)->next = handle.index + 1;
  tail_ = handle.index + 1;
  ++count_;
  return &record;
}

void UnsentQueue::pop_front(UnsentPool& pool) {
  TAPIR_INVARIANT(head_ != 0, "only what is queued is taken out");
  UnsentRecord& record = *pool.at(head_ - 1);
  head_ = record.next;
  if (head_ == 0) tail_ = 0;
  --count_;
  pool.erase(record);
}

void UnsentQueue::pop_back(UnsentPool& pool) {
  TAPIR_INVARIANT(tail_ != 0, "only what is queued is taken out");
  std::uint32_t before = 0;
  // The list has one direction only; this happens when memory ran out in the middle of a write.
  for (std::uint32_t at = head_; at != tail_; at = pool.at(at - 1)->next) before = at;
  pool.erase(*pool.at(tail_ - 1));
  tail_ = before;
  if (before == 0)
    head_ = 0;
  else
    pool.at(before - 1)->next = 0;
  --count_;
}

void UnsentQueue::grow_front(std::uint32_t bytes, UnsentPool& pool) {
  if (count_ < 2) return;
  UnsentRecord& record = *front(pool);
  UnsentRecord& after = *pool.at(record.next - 1);
  if (record.end_of_record || record.lent || after.lent) return;
  const std::uint32_t taken = std::min(bytes, after.end - after.begin);
  record.end = after.begin = record.end + taken;
  if (after.begin != after.end) return;
  record.push = record.push || after.push;
  record.end_of_record = after.end_of_record;
  if (tail_ == record.next) tail_ = head_;
  record.next = after.next;
  --count_;
  pool.erase(after);
}

void UnsentQueue::clear(UnsentPool& pool) {
  while (!empty()) pop_front(pool);
}

}  // namespace tapir::tcp
