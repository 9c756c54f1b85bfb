// SPDX-License-Identifier: Apache-2.0
// What arrived beyond rcv.nxt: disjoint intervals in sequence order. First received wins.
//
//   rcv.nxt        block              block
//      |     [ frame | frame ]   [ frame | FIN ]      blocks never touch: those that do are one
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/seq_num.h"
#include "frame/frame_pool.h"
#include "wire/tcp_segment.h"

namespace tapir::tcp {

// Out-of-order segments held at most per connection. Bounds the work of a hostile peer that sends one-byte
// islands (CVE-2018-5390); true bytes are bounded by the receive buffer besides.
inline constexpr std::size_t kReassemblySegmentsMax = 32768;

class Reassembly {
 public:
  struct Inserted {
    bool accepted = false;   // some of it was new and is kept
    bool no_memory = false;  // some of it was refused, for the segment limit or for want of memory
    SeqRange block;          // the contiguous interval that it now belongs to, for the first SACK block
    SeqRange duplicate;      // the first part already held (empty: none), for a D-SACK
  };
  // The part of [seq, seq + payload + fin) not yet held is kept; a FIN takes a sequence number and is SACKed
  // like a byte. All of it lies within 2^31 of what is held. O(log n), and a copy of each part but the last
  // when it fills several holes. Small payloads in large frames are copied to their class, or behind the
  // payload they follow.
  Inserted insert(SeqNum seq, Frame payload, bool fin, FramePool& pool);

  struct Taken {
    Frame payload;  // starts exactly at rcv.nxt; may be empty bytes when only a FIN is due
    bool present = false;
    bool fin = false;
  };
  // The next frame if it begins at or before `rcv_nxt` (trimmed to it; what is wholly old is dropped).
  Taken pop_at(SeqNum rcv_nxt);

  bool empty() const;
  std::size_t true_size() const;
  std::size_t bytes() const;
  std::size_t count() const;
  SeqNum highest_end() const;
  SeqRange first_block() const;  // the lowest interval held; empty: none         // valid unless empty
  // A single segment is held, and it ends with the FIN.
  bool only_the_last_segment() const;
  // Up to `max` intervals, most recently changed first (RFC 2018 §4), skipping those at or below rcv_nxt.
  std::size_t sack_blocks(std::array<wire::SackBlock, 4>& out, std::size_t max, SeqNum rcv_nxt) const;
  // Drops the furthest segments until true_size() <= `target` (Linux: tcp_prune_ofo_queue). Returns frames
  // dropped.
  std::size_t prune(std::size_t target);
  void clear();

  Reassembly();
  ~Reassembly();
  Reassembly(const Reassembly&) = delete;
  Reassembly& operator=(const Reassembly&) = delete;

 private:
  struct Segment;
  struct Block;
  struct Body;  // exists only while something is out of order

  Block* attach(SeqRange range, Frame payload, bool fin, Block* before, FramePool& pool);
  Block* absorb_next(Block& block, Block& next);
  void drop_segment(Segment& segment);
  void drop_block(Block& block);
  void unlink_recent(Block& block);
  void touch(Block& block);
  void release_if_empty();

  Body* body_ = nullptr;
};

}  // namespace tapir::tcp
