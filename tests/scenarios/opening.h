// SPDX-License-Identifier: Apache-2.0
// How a scenario's connection begins: what the peer offers, and which knobs the stack has.
#pragma once

#include <cstdint>
#include <string>

#include "base/rng.h"
#include "base/time.h"
#include "scenarios/recorder.h"

namespace tapir::scenarios {

struct Opening {
  std::uint16_t mss = 1000;
  bool sack = true;
  bool timestamps = false;
  bool ecn = false;
  std::uint8_t shift = 8;  // of the peer's window
  bool scaled = true;
  Duration rtt{};
  std::string commands;

  static Opening any(Rng& rng);
  TcpSpec syn() const;
  // Bytes that the largest window field of the peer stands for.
  std::uint32_t window_max() const { return 65535U << (scaled ? shift : 0); }
};

}  // namespace tapir::scenarios
