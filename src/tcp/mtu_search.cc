// SPDX-License-Identifier: Apache-2.0
#include "tcp/mtu_search.h"

#include <algorithm>

namespace tapir::tcp {

namespace {

// IPv4's and TCP's without options: what an announced MSS leaves out (RFC 9293 §3.7.1).
constexpr std::uint32_t kFixedHeaders = 40;

}  // namespace

void MtuSearch::begin(std::uint16_t peer_mss, std::uint16_t headers, const Knobs& knobs, Instant now) {
  enabled_ = knobs.tcp_mtu_probing > 1;
  high_ = static_cast<std::uint16_t>(std::min<std::uint32_t>(std::uint32_t{peer_mss} + kFixedHeaders, 65535));
  low_ = static_cast<std::uint16_t>(
      std::clamp<std::int64_t>(std::int64_t{knobs.tcp_base_mss} + headers, 68, 65535));
  if (enabled_) checked_at_ = StampS(now);
}

std::uint16_t MtuSearch::next_size(std::uint16_t mss, std::uint16_t peer_mss, std::uint16_t headers,
                                   const Knobs& knobs, Instant now) {
  const int width = int{high_} - int{low_};
  if (width >= std::max(knobs.tcp_probe_threshold, 1)) return static_cast<std::uint16_t>((high_ + low_) / 2);
  // Paths change: after tcp_probe_interval it is worth another look.
  if (checked_at_.age(now) >= std::chrono::seconds(knobs.tcp_probe_interval)) {
    high_ =
        static_cast<std::uint16_t>(std::min<std::uint32_t>(std::uint32_t{peer_mss} + kFixedHeaders, 65535));
    low_ = static_cast<std::uint16_t>(mss + headers);
    checked_at_ = StampS(now);
  }
  return 0;
}

void MtuSearch::on_black_hole(std::uint16_t headers, const Knobs& knobs, Instant now) {
  if (knobs.tcp_mtu_probing == 0) return;
  if (!enabled_) {
    enabled_ = true;
    checked_at_ = StampS(now);
    return;
  }
  int mss = (int{low_} - int{headers}) / 2;
  mss = std::min(mss, knobs.tcp_base_mss);
  mss = std::max({mss, knobs.tcp_mtu_probe_floor, knobs.tcp_min_snd_mss});
  low_ = static_cast<std::uint16_t>(mss + headers);
}

}  // namespace tapir::tcp
