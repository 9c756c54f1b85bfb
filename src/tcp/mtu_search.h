// SPDX-License-Identifier: Apache-2.0
// The search for the path's MTU by what gets through (packetization layer path MTU discovery, RFC 4821; Linux: icsk_mtup). Sizes are
// bytes of the IPv4 packet. With tcp_mtu_probing 1 it begins when a black hole is suspected, with 2 at once.
//
//   low: known to get through -------- probe: halfway -------- high: known, or thought, not to
#pragma once

#include <cstdint>

#include "base/seq_num.h"
#include "base/time.h"
#include "tcp/knobs.h"

namespace tapir::tcp {

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
  bool probing() const { return size_ != 0; }
  std::uint16_t low() const { return low_; }
  std::uint16_t high() const { return high_; }
  // The size to try next; 0: the search is over, for now. `mss`: payload of a full segment now (it restarts the search in time).
  std::uint16_t next_size(std::uint16_t mss, std::uint16_t peer_mss, std::uint16_t headers, const Knobs& knobs, Instant now);
  // A probe of `size` left, whose payload is [begin, begin + length).
  void on_sent(std::uint16_t size, SeqNum begin, std::uint16_t length) {
    size_ = size;
    begin_ = begin;
    length_ = length;
  }
  // snd.una is `una` now. The size that got through, or 0.
  std::uint16_t on_ack(SeqNum una);
  // Is it the probe that was lost (its first byte is the oldest outstanding)?
  bool lost(SeqNum una) const { return size_ != 0 && una == begin_; }
  void on_lost();
  // Retransmissions time out without an answer: suspect a black hole, and go down (Linux: tcp_mtu_probing). `mss_of_low`: payload at low().
  void on_black_hole(std::uint16_t headers, const Knobs& knobs, Instant now);

 private:
  std::uint32_t checked_s_ = 0;        // second when the search last began
  SeqNum begin_;                       // of the probe's payload
  std::uint16_t length_ = 0;
  std::uint16_t low_ = 0;
  std::uint16_t high_ = 0;
  std::uint16_t size_ = 0;             // of the probe in flight; 0: none
  bool enabled_ = false;
};

}  // namespace tapir::tcp
