// SPDX-License-Identifier: Apache-2.0
// The variables of RFC 9293 §3.3.1, under its names, with those of Linux that live in the same space.
#pragma once

#include <cstdint>

#include "base/seq_num.h"

namespace tapir::tcp {

// The send side:
//
//        una              nxt           una + wnd
//   ------|----------------|----------------|------
//     acked   in flight        may be sent     not yet
struct SendSequence {
  SeqNum una;  // oldest not acknowledged
  SeqNum nxt;  // next to send
  SeqNum wl1;  // segment that last moved the window
  SeqNum iss;
  SeqNum sml;                    // end of the last segment sent that was not full (Minshall's Nagle)
  SeqNum pushed;                 // stream position of the last PSH asked for
  std::uint32_t wnd = 0;         // bytes, scaled
  std::uint32_t max_wnd = 0;     // the largest the peer ever offered
  std::uint16_t mss = 536;       // payload bytes per segment now, options counted (Linux: mss_cache)
  std::uint16_t peer_mss = 536;  // what the peer's SYN said, or 536
  std::uint8_t wscale = 0;       // shift of the peer's window field
};

// And the receive side:
//
//       wup              nxt             wup + wnd
//   -----|----------------|----------------|------
//         received since     offered
//         the last ACK
struct ReceiveSequence {
  SeqNum nxt;  // next expected
  SeqNum wup;  // nxt when the window was last offered
  SeqNum irs;
  SeqNum copied;               // next byte the program will read
  std::uint32_t wnd = 0;       // bytes offered from wup on
  std::uint32_t ssthresh = 0;  // how much to offer at most for now (Linux: rcv_ssthresh)
  std::uint32_t window_clamp = 0;
  std::uint16_t advmss = 536;  // what our SYN said; once established less the timestamps of each segment
  std::uint8_t wscale = 0;
};

}  // namespace tapir::tcp
