// SPDX-License-Identifier: Apache-2.0
// A traced segment in packetdrill's notation.
#pragma once

#include <string>

#include "tcp/events.h"
#include "wire/segment_text.h"

namespace tapir::observe {

// "S 0:0(0) win 64240" and "<mss 1460,sackOK,TS val 0 ecr 0,nop,wscale 7>", apart so that a narrow page can
// break between them.
struct SegmentParts {
  std::string head;
  std::string options;  // with the angle brackets; empty: none
  std::string text() const { return options.empty() ? head : head + ' ' + options; }
};

// Option order and padding are Linux's (and ours); SACK blocks, which a record only counts, are "sack N
// blocks".
SegmentParts segment_parts(const tcp::SegmentWords& words, const wire::SegmentTextBases& bases = {});

// The segment words of a kSegmentIn or kSegmentOut record.
inline tcp::SegmentWords words_of(const trace::Record& record) {
  return {record.words[0], record.words[1], record.words[2], record.words[3]};
}
inline unsigned sack_blocks(const tcp::SegmentWords& words) {
  return static_cast<unsigned>(words.d >> 12 & 7);
}

}  // namespace tapir::observe
