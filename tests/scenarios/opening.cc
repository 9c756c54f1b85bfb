// SPDX-License-Identifier: Apache-2.0
#include "scenarios/opening.h"

#include <array>

#include "wire/tcp_segment.h"

namespace tapir::scenarios {

Opening Opening::any(Rng& rng) {
  Opening opening;
  static constexpr std::array<std::uint16_t, 4> kSegmentSizes = {1000, 1000, 1460, 536};
  static constexpr std::array<Duration, 3> kRoundTrips = {40ms, 100ms, 200ms};
  opening.mss = kSegmentSizes[rng.below(kSegmentSizes.size())];
  opening.sack = rng.below(5) != 0;
  opening.timestamps = rng.below(2) == 0;
  opening.scaled = rng.below(8) != 0;
  opening.shift = static_cast<std::uint8_t>(rng.below(2) == 0 ? 8 : 4);
  opening.rtt = kRoundTrips[rng.below(kRoundTrips.size())];
  opening.ecn = rng.below(8) == 0;
  // A kernel has no such knobs, and no other way.
  opening.commands = "sysctl -q -e net.ipv4.tcp_grow_segments=1 net.ipv4.tcp_record_charge=832\n";
  const auto set = [&](std::string_view name, std::uint64_t value) {
    opening.commands += "sysctl -q net.ipv4." + std::string(name) + "=" + std::to_string(value) + "\n";
  };
  if (rng.below(2) == 0)
    opening.commands += "sysctl -q net.ipv4.tcp_congestion_control=reno\n";  // else CUBIC
  if (opening.ecn) set("tcp_ecn", 1);
  if (rng.below(6) == 0) set("tcp_early_retrans", 0);
  if (rng.below(6) == 0) set("tcp_recovery", 0);
  if (rng.below(8) == 0) set("tcp_frto", 0);
  if (rng.below(6) == 0) set("tcp_slow_start_after_idle", 1);
  if (rng.below(8) == 0) set("tcp_dsack", 0);
  if (rng.below(8) == 0) set("tcp_reordering", 2 + rng.below(8));
  if (rng.below(10) == 0) set("tcp_thin_linear_timeouts", 1);
  return opening;
}

TcpSpec Opening::syn() const {
  TcpSpec syn;
  syn.flags = wire::kSyn;
  if (ecn) syn.flags |= wire::kEce | wire::kCwr;
  syn.window = 65535;
  syn.options.mss(mss);
  if (sack) syn.options.sack_permitted();
  if (timestamps) {
    if (!sack) {
      syn.options.nop();
      syn.options.nop();
    }
    syn.options.timestamps({700, 0});
  } else if (sack) {
    syn.options.nop();
    syn.options.nop();
  }
  if (scaled) {
    syn.options.nop();
    syn.options.window_scale(shift);
  }
  return syn;
}

}  // namespace tapir::scenarios
