// SPDX-License-Identifier: Apache-2.0
// The search for the path's MTU by what gets through (packetization layer path MTU discovery, RFC 4821;
// Linux: icsk_mtup). Sizes are bytes of the IPv4 packet. With tcp_mtu_probing 1 it begins when a black hole
// is suspected, with 2 at once.
//
//   low: known to get through -------- probe: halfway -------- high: known, or thought, not to
#pragma once

#include <cstdint>

#include "base/seq_num.h"
#include "base/stamp.h"
#include "base/time.h"
#include "tcp/knobs.h"

namespace tapir::tcp {

// A probe in flight: a segment of `size` bytes of packet, whose payload is [begin, begin + length).
struct MtuProbe {
  SeqNum begin;
  std::uint16_t length = 0;
  std::uint16_t size = 0;  // 0: there is none

  bool out() const { return size != 0; }
  // snd.una is `una` now.
  bool arrived(SeqNum una) const { return una >= begin + length; }
};

class MtuSearch {
 public:
  // `headers`: bytes of a packet that are not payload, options counted; `peer_mss`: what its SYN said.
  void begin(std::uint16_t peer_mss, std::uint16_t headers, const Knobs& knobs, Instant now);
  // The path was said to carry at most `mtu`.
  void on_path_mtu(std::uint16_t mtu) {
    if (high_ > mtu) high_ = mtu;
  }
  bool begun() const { return high_ != 0; }
  bool enabled() const { return enabled_; }
  std::uint16_t low() const { return low_; }
  std::uint16_t high() const { return high_; }
  // The size to try next; 0: the search is over, for now. `mss`: payload of a full segment now (it restarts
  // the search in time).
  std::uint16_t next_size(std::uint16_t mss, std::uint16_t peer_mss, std::uint16_t headers,
                          const Knobs& knobs, Instant now);
  void on_arrived(std::uint16_t size) { low_ = size; }
  void on_lost(std::uint16_t size) { high_ = static_cast<std::uint16_t>(size - 1); }
  // Retransmissions time out without an answer: suspect a black hole, and go down (Linux: tcp_mtu_probing).
  // `mss_of_low`: payload at low().
  void on_black_hole(std::uint16_t headers, const Knobs& knobs, Instant now);

 private:
  StampS checked_at_;  // when the search last began
  std::uint16_t low_ = 0;
  std::uint16_t high_ = 0;
  bool enabled_ = false;
};

}  // namespace tapir::tcp
