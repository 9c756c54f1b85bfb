// SPDX-License-Identifier: Apache-2.0
// How much memory a payload may hold on to while it waits for the program (ARCHITECTURE: Frame).
#pragma once

#include <cstddef>

#include "frame/frame_pool.h"

namespace tapir::tcp {

// Payloads up to here are copied to the class that fits them; longer ones are moved as they came.
inline constexpr std::size_t kSmallPayloadMax = 2048;

// The buffer costs at most twice its payload.
bool well_filled(const Frame& frame);

// The payload in the smallest class that holds it, if that is smaller than what it has now and can be had.
Frame shrink(Frame frame, FramePool& pool);

// Appends as much of `bytes` to `frame` as its tailroom takes; returns how much.
std::size_t fill(Frame& frame, Bytes bytes);

}  // namespace tapir::tcp
