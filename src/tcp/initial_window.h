// SPDX-License-Identifier: Apache-2.0
// The window a SYN or SYN-ACK offers, and the shift it announces (Linux: tcp_select_initial_window; RFC 7323
// §2).
#pragma once

#include <cstdint>

#include "tcp/knobs.h"

namespace tapir::tcp {

struct InitialWindow {
  std::uint32_t rcv_wnd = 0;       // bytes; a SYN can say 65,535 of it
  std::uint8_t wscale = 0;         // our shift; 0 without window scaling
  std::uint32_t window_clamp = 0;  // bytes; the largest window ever offered
};

// What may be offered of a receive buffer of `receive_buffer` bytes before anything was measured: half of it
// is expected to be overhead (Linux: tcp_win_from_space with TCP_DEFAULT_SCALING_RATIO).
constexpr std::int64_t window_from_buffer(std::int64_t receive_buffer) { return receive_buffer / 2; }

// `space`: bytes of window the receive buffer allows; `mss`: bytes of payload per segment we announced, less
// timestamps; `window_clamp`: TCP_WINDOW_CLAMP, 0 = none; `initrwnd`: the route's, in segments, 0 = none.
InitialWindow select_initial_window(std::int64_t space, std::uint16_t mss, std::uint32_t window_clamp,
                                    bool wscale_ok, std::uint16_t initrwnd, const Knobs& knobs);

}  // namespace tapir::tcp
