// SPDX-License-Identifier: Apache-2.0
#include "tcp/reassembly.h"

#include <new>
#include <utility>

#include "base/assert.h"
#include "tcp/packing.h"
#include "tcp/seq_tree.h"

namespace tapir::tcp {

// A frame's payload, or the FIN behind it, or both.
struct Reassembly::Segment {
  Frame frame;  // none: a FIN alone
  bool fin = false;
  Segment* prev = nullptr;  // within its block
  Segment* next = nullptr;

  std::uint32_t length() const {
    return (frame ? static_cast<std::uint32_t>(frame.size()) : 0U) + (fin ? 1U : 0U);
  }
};

// A contiguous interval: its segments follow each other without gap.
struct Reassembly::Block {
  SeqRange range;
  Segment* first = nullptr;
  Segment* last = nullptr;
  Block* newer = nullptr;  // in the order of the last change
  Block* older = nullptr;
  Block* tree_left = nullptr;
  Block* tree_right = nullptr;
  Block* tree_parent = nullptr;
  std::uint32_t tree_height = 0;
};

struct Reassembly::Body {
  SeqTree<Block> blocks;
  Block* newest = nullptr;
  std::size_t count = 0;  // segments
  std::size_t bytes = 0;
  std::size_t true_size = 0;  // frames' and records'
};

Reassembly::Reassembly() = default;
Reassembly::~Reassembly() { clear(); }

bool Reassembly::empty() const { return body_ == nullptr; }
std::size_t Reassembly::true_size() const { return body_ == nullptr ? 0 : body_->true_size; }
std::size_t Reassembly::bytes() const { return body_ == nullptr ? 0 : body_->bytes; }
std::size_t Reassembly::count() const { return body_ == nullptr ? 0 : body_->count; }
bool Reassembly::only_the_last_segment() const {
  if (body_ == nullptr || body_->count != 1) return false;
  const Block& block = *body_->blocks.first();
  return block.last->fin;
}

SeqRange Reassembly::first_block() const {
  return body_ == nullptr ? SeqRange{} : body_->blocks.first()->range;
}

SeqNum Reassembly::highest_end() const {
  return body_ == nullptr ? SeqNum() : body_->blocks.last()->range.end;
}

void Reassembly::unlink_recent(Block& block) {
  (block.newer == nullptr ? body_->newest : block.newer->older) = block.older;
  if (block.older != nullptr) block.older->newer = block.newer;
  block.newer = block.older = nullptr;
}

// `block`, which is in the order of changes, changed last.
void Reassembly::touch(Block& block) {
  if (body_->newest == &block) return;
  unlink_recent(block);
  block.older = body_->newest;
  if (block.older != nullptr) block.older->newer = &block;
  body_->newest = &block;
}

// Puts a piece that touches nothing held, save the end of `before` (or null), into its place. Null: refused.
Reassembly::Block* Reassembly::attach(SeqRange range, Frame payload, bool fin, Block* before,
                                      FramePool& pool) {
  const bool extends = before != nullptr && before->range.end == range.begin;
  if (payload && payload.size() == 0) payload.reset();
  const std::size_t bytes = payload ? payload.size() : 0;
  // Behind what it follows, if there is room and its own frame would be a waste.
  if (extends && !fin && !before->last->fin && before->last->frame && !well_filled(payload) &&
      bytes <= kSmallPayloadMax && before->last->frame.tailroom() >= bytes) {
    fill(before->last->frame, payload.bytes());
    before->range.end = range.end;
    body_->bytes += bytes;
    return before;
  }
  if (body_->count >= kReassemblySegmentsMax) return nullptr;
  Segment* segment = new (std::nothrow) Segment;
  if (segment == nullptr) return nullptr;
  Block* block = before;
  if (!extends) {
    block = new (std::nothrow) Block;
    if (block == nullptr) {
      delete segment;
      return nullptr;
    }
    block->range = range;
    body_->blocks.insert(*block);
    block->older = body_->newest;
    if (block->older != nullptr) block->older->newer = block;
    body_->newest = block;
    body_->true_size += sizeof(Block);
  }
  if (payload && !well_filled(payload)) payload = shrink(std::move(payload), pool);
  segment->fin = fin;
  segment->frame = std::move(payload);
  segment->prev = block->last;
  (block->last == nullptr ? block->first : block->last->next) = segment;
  block->last = segment;
  block->range.end = range.end;
  ++body_->count;
  body_->bytes += bytes;
  body_->true_size += sizeof(Segment) + (segment->frame ? segment->frame.meta().true_size : 0);
  return block;
}

// `next` begins where `block` ends: they become one.
Reassembly::Block* Reassembly::absorb_next(Block& block, Block& next) {
  block.last->next = next.first;
  next.first->prev = block.last;
  block.last = next.last;
  block.range.end = next.range.end;
  next.first = next.last = nullptr;
  drop_block(next);
  return &block;
}

void Reassembly::drop_segment(Segment& segment) {
  --body_->count;
  body_->true_size -= sizeof(Segment);
  if (segment.frame) {
    body_->bytes -= segment.frame.size();
    body_->true_size -= segment.frame.meta().true_size;
  }
  delete &segment;
}

void Reassembly::drop_block(Block& block) {
  while (block.first != nullptr) drop_segment(*std::exchange(block.first, block.first->next));
  body_->blocks.erase(block);
  unlink_recent(block);
  body_->true_size -= sizeof(Block);
  delete &block;
}

void Reassembly::release_if_empty() {
  if (body_ == nullptr || !body_->blocks.empty()) return;
  TAPIR_INVARIANT(body_->count == 0 && body_->bytes == 0, "segments live in blocks");
  delete std::exchange(body_, nullptr);
}

Reassembly::Inserted Reassembly::insert(SeqNum seq, Frame payload, bool fin, FramePool& pool) {
  Inserted result;
  const std::uint32_t data = payload ? static_cast<std::uint32_t>(payload.size()) : 0;
  const SeqRange range{seq, seq + (data + (fin ? 1U : 0U))};
  if (range.empty()) return result;
  if (body_ == nullptr) {
    body_ = new (std::nothrow) Body;
    if (body_ == nullptr) {
      result.no_memory = true;
      return result;
    }
    body_->true_size = sizeof(Body);
  }
  const auto note_duplicate = [&](SeqNum begin, SeqNum end) {
    if (result.duplicate.empty()) result.duplicate = {begin, end};
  };

  SeqNum at = seq;
  Block* block = body_->blocks.floor(seq);
  Block* next = block == nullptr ? body_->blocks.first() : body_->blocks.next(*block);
  if (block != nullptr && block->range.end > at) {
    at = min(block->range.end, range.end);
    note_duplicate(seq, at);
  }
  while (at < range.end) {
    const SeqNum end = next != nullptr && next->range.begin < range.end ? next->range.begin : range.end;
    if (at < end) {
      const bool last_piece = next == nullptr || next->range.end >= range.end || end == range.end;
      const bool with_fin = fin && end == range.end;
      const std::uint32_t offset = at - seq;
      const std::uint32_t length = (end - at) - (with_fin ? 1U : 0U);
      Frame piece;
      if (last_piece && payload) {
        payload.trim_back(data - offset - length);
        payload.trim_front(offset);
        piece = std::move(payload);
      } else if (length != 0) {
        piece = pool.copy(payload.bytes().subspan(offset, length));
        if (piece) piece.meta().received_at = payload.meta().received_at;
      }
      Block* grown =
          length != 0 && !piece ? nullptr : attach({at, end}, std::move(piece), with_fin, block, pool);
      if (grown == nullptr) {
        result.no_memory = true;
        break;
      }
      block = grown;
      result.accepted = true;
      touch(*block);
    }
    at = end;
    if (next == nullptr || next->range.begin != end) break;
    // The hole before `next` is filled (there was one: blocks never touch).
    if (end < range.end) note_duplicate(end, min(next->range.end, range.end));
    at = max(at, min(next->range.end, range.end));
    block = absorb_next(*block, *next);
    next = body_->blocks.next(*block);
  }
  if (block != nullptr && block->range.begin <= seq && block->range.end > seq) {
    result.block = block->range;
    // Also where nothing was new: it is what came last (RFC 2018 §4; Linux: tcp_sack_new_ofo_skb).
    touch(*block);
  }
  if (result.accepted) result.block = block->range;
  release_if_empty();
  return result;
}

Reassembly::Taken Reassembly::pop_at(SeqNum rcv_nxt) {
  Taken taken;
  while (body_ != nullptr && !taken.present) {
    Block& block = *body_->blocks.first();
    if (block.range.begin > rcv_nxt) break;
    Segment& segment = *block.first;
    const std::uint32_t length = segment.length();
    const std::uint32_t old = rcv_nxt - block.range.begin;
    if (old < length) {
      taken.present = true;
      taken.fin = segment.fin;
      if (segment.frame) {
        body_->true_size -= segment.frame.meta().true_size;
        body_->bytes -= segment.frame.size();
        taken.payload = std::move(segment.frame);
        taken.payload.trim_front(old < taken.payload.size() ? old : taken.payload.size());
      }
    }
    block.range.begin += length;
    block.first = segment.next;
    if (block.first == nullptr) {
      block.last = nullptr;
    } else {
      block.first->prev = nullptr;
    }
    drop_segment(segment);
    if (block.first == nullptr) drop_block(block);
    release_if_empty();
  }
  return taken;
}

std::size_t Reassembly::sack_blocks(std::array<wire::SackBlock, 4>& out, std::size_t max,
                                    SeqNum rcv_nxt) const {
  std::size_t n = 0;
  if (body_ == nullptr) return n;
  for (const Block* block = body_->newest; block != nullptr && n < max && n < out.size();
       block = block->older)
    if (block->range.end > rcv_nxt) out[n++] = {block->range.begin, block->range.end};
  return n;
}

std::size_t Reassembly::prune(std::size_t target) {
  std::size_t dropped = 0;
  while (body_ != nullptr && body_->true_size > target) {
    Block& block = *body_->blocks.last();
    Segment& segment = *block.last;
    block.range.end = block.range.end - segment.length();
    block.last = segment.prev;
    (block.last == nullptr ? block.first : block.last->next) = nullptr;
    drop_segment(segment);
    ++dropped;
    if (block.last == nullptr) drop_block(block);
    release_if_empty();
  }
  return dropped;
}

void Reassembly::clear() {
  while (body_ != nullptr) {
    drop_block(*body_->blocks.last());
    release_if_empty();
  }
}

}  // namespace tapir::tcp
