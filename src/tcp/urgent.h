// SPDX-License-Identifier: Apache-2.0
// Urgent data as sockets have it (RFC 9293 §3.8.5, RFC 6093): one byte of the stream that can be read out of
// turn, and a mark where it was.
#pragma once

#include <cstdint>

#include "base/seq_num.h"

namespace tapir::tcp {

struct Urgent {
  enum class Byte : std::uint8_t {
    kNone,     // no mark ahead of the reader
    kAwaited,  // the pointer came, the byte has not
    kWaiting,  // it can be read out of turn
    kRead,     // it was; the mark is still ahead
  };
  Byte byte = Byte::kNone;
  bool sending = false;    // `up` is not acknowledged yet
  std::uint8_t value = 0;  // of kWaiting
  SeqNum seq;              // of the byte; the mark stands before it
  SeqNum up;               // one past the last urgent byte of ours (SND.UP as Linux keeps it)

  bool idle() const { return byte == Byte::kNone && !sending; }
};

}  // namespace tapir::tcp
