// SPDX-License-Identifier: Apache-2.0
#include "tcp/mtu_search.h"

#include <algorithm>
#include <utility>

namespace tapir::tcp {

namespace {

// IPv4's and TCP's without options: what an announced MSS leaves out (RFC 9293 §3.7.1).
constexpr std::uint32_t kFixedHeaders = 40;

std::uint32_t second_of(Instant t) { return static_cast<std::uint32_t>(t.time_since_epoch() / std::chrono::seconds(1)); }

}  // namespace

void MtuSearch::begin(std::uint16_t peer_mss, std::uint16_t headers, const Knobs& knobs, Instant now) {
  enabled_ = knobs.tcp_mtu_probing > 1;
  high_ = static_cast<std::uint16_t>(std::min<std::uint32_t>(std::uint32_t{peer_mss} + kFixedHeaders, 65535));
  low_ = static_cast<std::uint16_t>(std::clamp<std::int64_t>(std::int64_t{knobs.tcp_base_mss} + headers, 68, 65535));
  size_ = 0;
  if (enabled_) checked_s_ = second_of(now);
}

std::uint16_t MtuSearch::next_size(std::uint16_t mss, std::uint16_t peer_mss, std::uint16_t headers, const Knobs& knobs, Instant now) {
  const int width = int{high_} - int{low_};
  if (width >= std::max(knobs.tcp_probe_threshold, 1)) return static_cast<std::uint16_t>((high_ + low_) / 2);
  // Paths change: after tcp_probe_interval it is worth another look.
  if (static_cast<std::int64_t>(second_of(now) - checked_s_) >= knobs.tcp_probe_interval) {
    high_ = static_cast<std::uint16_t>(std::min<std::uint32_t>(std::uint32_t{peer_mss} + kFixedHeaders, 65535));
    low_ = static_cast<std::uint16_t>(mss + headers);
    checked_s_ = second_of(now);
  }
  return 0;
}

std::uint16_t MtuSearch::on_ack(SeqNum una) {
  if (size_ == 0 || una < begin_ + length_) return 0;
  low_ = std::exchange(size_, std::uint16_t{0});
  return low_;
}

void MtuSearch::on_lost() {
  high_ = static_cast<std::uint16_t>(size_ - 1);
  size_ = 0;
}

void MtuSearch::on_black_hole(std::uint16_t headers, const Knobs& knobs, Instant now) {
  if (knobs.tcp_mtu_probing == 0) return;
  if (!enabled_) {
    enabled_ = true;
    checked_s_ = second_of(now);
    return;
  }
  int mss = (int{low_} - int{headers}) / 2;
  mss = std::min(mss, knobs.tcp_base_mss);
  mss = std::max({mss, knobs.tcp_mtu_probe_floor, knobs.tcp_min_snd_mss});
  low_ = static_cast<std::uint16_t>(mss + headers);
}

}  // namespace tapir::tcp
