// SPDX-License-Identifier: Apache-2.0
// What link/impair does to frames, and its text form: "loss 1%, delay 10ms, jitter 2ms, rate 100mbit".
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace tapir::link {

// Chances are parts in a million, times nanoseconds, so that a seed replays on every machine.
inline constexpr std::uint32_t kPpmAlways = 1'000'000;

// Frames delayed at once in one direction: netem's default. What comes beyond it is lost, as at a router's
// full queue.
inline constexpr std::size_t kImpairLimitDefault = 1000;
// The largest limit that may be asked for; it costs 2 KiB of memory per frame.
inline constexpr std::size_t kImpairLimitMax = 100'000;

// Gilbert and Elliott's model: a good and a bad state, asked once a frame.
struct ImpairBurst {
  std::uint32_t enter_ppm = 0;              // good -> bad; 0 = no bursts
  std::uint32_t leave_ppm = kPpmAlways;     // bad -> good
  std::uint32_t bad_loss_ppm = kPpmAlways;  // loss while bad
  std::uint32_t good_loss_ppm = 0;          // loss while good
  friend bool operator==(const ImpairBurst&, const ImpairBurst&) = default;
};

struct ImpairConfig {
  bool out = true;  // frames that are sent
  bool in = true;   // frames that are received
  std::uint32_t loss_ppm = 0;
  ImpairBurst burst;
  std::uint32_t duplicate_ppm = 0;
  std::uint32_t corrupt_ppm = 0;   // one bit of the packet is flipped
  std::uint32_t truncate_ppm = 0;  // the packet's tail is cut off
  std::uint32_t reorder_ppm = 0;   // the frame is held back so that later ones pass it …
  Duration reorder_by{};           // … by up to this; 0 = the delay, at least 1 ms
  Duration delay{};
  Duration jitter{};           // the delay varies by ± this, keeping the order
  std::uint64_t rate_bps = 0;  // bits a second; 0 = without end
  std::size_t limit = kImpairLimitDefault;
  std::uint32_t blackhole_mtu = 0;  // IP packets above this vanish without a word; 0 = none
  std::optional<std::uint64_t> seed;
  friend bool operator==(const ImpairConfig&, const ImpairConfig&) = default;
};

// Reads a comma-separated list of
//
//   loss P            burst P N (bursts of N frames on average, begun with chance P)
//   duplicate P       gemodel ENTER LEAVE [BAD-LOSS [GOOD-LOSS]]
//   corrupt P         delay T         jitter T
//   truncate P        rate R          limit FRAMES
//   reorder P [T]     mtu BYTES       seed N         in | out | both
//
// P is "1%" or "0.01%", T "10ms", "1.5s", "20us" or "5ns", R "100mbit", "1gbit", "64kbit" or "9600bit". An
// error is one sentence.
std::expected<ImpairConfig, std::string> parse_impair(std::string_view text);

}  // namespace tapir::link
