// SPDX-License-Identifier: Apache-2.0
// What happened to a connection or a listener, and its place in the list of those to whom something did.
#pragma once

#include <cstdint>

#include "base/intrusive_list.h"

namespace tapir::tcp {

// For those who wait on it; bits.
enum Touched : std::uint8_t {
  kTouchedReadable = 1,
  kTouchedWritable = 2,
  kTouchedError = 4,
  kTouchedHangUp = 8,     // both directions are over
  kTouchedAccepted = 16,  // on a listener: a connection is ready
  kTouchedPeerFin = 32,   // no more data will come
  kTouchedConnected = 64,
  kTouchedUrgent = 128,
};

struct TouchedTag;
struct TouchedLink : ListLink<TouchedTag> {
  explicit TouchedLink(bool is_listener_in) : is_listener(is_listener_in) {}

  const bool is_listener;           // else a connection
  std::uint8_t touched_events = 0;  // Touched bits since it was last asked for
};
using TouchedList = IntrusiveList<TouchedLink, TouchedTag>;

}  // namespace tapir::tcp
