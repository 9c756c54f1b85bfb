// SPDX-License-Identifier: Apache-2.0
// The life of one connection as a ladder: its segments between two posts, the states of both ends, and at
// each step the functions that took it, ours and Linux's.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/time.h"
#include "observe/functions.h"
#include "observe/segment.h"
#include "tcp/state.h"
#include "trace/record.h"

namespace tapir::observe {

// Which connection, by its ports as our end sees them.
struct Flow {
  std::uint16_t local_port = 0;
  std::uint16_t remote_port = 0;
};

struct LadderStep {
  enum class Kind : std::uint8_t { kIn, kOut, kCall } kind = Kind::kIn;
  Instant time{};
  Step step{};
  SegmentParts segment;     // numbers relative to the initial ones; of a call, its name in `head`
  tcp::SegmentWords words;  // not of a call
  tcp::State ours = tcp::State::kClosed;   // after the step
  tcp::State peers = tcp::State::kClosed;  // after it, inferred from what the peer sent and must have got
};

struct Ladder {
  tcp::State ours = tcp::State::kClosed;  // before the first step
  tcp::State peers = tcp::State::kClosed;
  std::vector<LadderStep> steps;

  // The steps until both ends are ESTABLISHED and the connection is accepted; those from the first FIN on.
  Ladder handshake() const;
  Ladder close() const;
};

// The ladder of `flow` in `records`, which our stack traced (oldest first). Whole connections give the truest
// states; when the record begins later, both ends are taken for ESTABLISHED.
Ladder make_ladder(std::span<const trace::Record> records, const Flow& flow);

struct LadderStyle {
  std::string our_name = "tapir";  // above the left post
  std::string peer_name = "peer";
  std::size_t width = 100;  // columns of the page, at least 76
  bool functions = true;
};
// Times are milliseconds since the first step.
std::string ladder_text(const Ladder& ladder, const LadderStyle& style);
nlohmann::ordered_json ladder_json(const Ladder& ladder);

}  // namespace tapir::observe
