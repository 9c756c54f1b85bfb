// SPDX-License-Identifier: Apache-2.0
#include "tcp/initial_window.h"

#include <algorithm>
#include <bit>

#include "wire/tcp_options.h"

namespace tapir::tcp {

namespace {
constexpr std::uint32_t kUnscaledMax = 65535;
}  // namespace

InitialWindow select_initial_window(std::int64_t space, std::uint16_t mss, std::uint32_t window_clamp,
                                    bool wscale_ok, std::uint16_t initrwnd, const Knobs& knobs) {
  const std::int64_t clamp =
      window_clamp != 0 ? window_clamp : std::int64_t{kUnscaledMax} << wire::kWindowScaleMax;
  std::int64_t offered = std::min(std::max<std::int64_t>(space, 0), clamp);
  if (mss != 0 && offered > mss) offered -= offered % mss;

  InitialWindow result;
  std::int64_t first =
      knobs.tcp_workaround_signed_windows != 0 ? std::min<std::int64_t>(offered, 32767) : offered;
  if (initrwnd != 0) first = std::min<std::int64_t>(first, std::int64_t{initrwnd} * mss);
  result.rcv_wnd = static_cast<std::uint32_t>(first);
  if (wscale_ok) {
    // The shift must do for the largest window that the buffer can ever grow to: it cannot be changed later.
    const std::int64_t largest = std::min(std::max({offered, knobs.tcp_rmem[2], knobs.rmem_max}), clamp);
    const int log2 =
        largest > 0 ? static_cast<int>(std::bit_width(static_cast<std::uint64_t>(largest))) - 1 : 0;
    result.wscale =
        static_cast<std::uint8_t>(std::clamp(log2 - 15, 0, static_cast<int>(wire::kWindowScaleMax)));
  }
  result.window_clamp =
      static_cast<std::uint32_t>(std::min(clamp, std::int64_t{kUnscaledMax} << result.wscale));
  return result;
}

}  // namespace tapir::tcp
