// SPDX-License-Identifier: Apache-2.0
// What the autotuning of a receive buffer remembers (Linux: tcp_rcv_space_adjust, "dynamic right-sizing").
#pragma once

#include <cstdint>

#include "base/seq_num.h"
#include "base/stamp.h"

namespace tapir::tcp {

struct RightSizing {
  std::uint32_t space = 0;  // bytes read in the last measured round trip
  SeqNum seq;               // rcv.copied when the round began
  StampUs began;
  std::uint32_t rtt_us = 0;  // the receiver's estimate of the round trip
  SeqNum rtt_seq;            // window-based measurement ends here
  StampUs rtt_began;
};

}  // namespace tapir::tcp
