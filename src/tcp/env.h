// SPDX-License-Identifier: Apache-2.0
// What all connections of a stack share. Handed into every call: nothing is global, and no part points upwards.
#pragma once

#include "base/rng.h"
#include "base/slab.h"
#include "frame/frame_pool.h"
#include "tcp/knobs.h"
#include "tcp/scoreboard.h"
#include "tcp/send_buffer.h"
#include "tcp/unsent_queue.h"
#include "trace/counters.h"
#include "trace/record.h"

namespace tapir::tcp {

struct Env {
  Knobs& knobs;
  trace::Counters& counters;
  trace::Tracer& tracer;
  Rng& rng;
  FramePool& frames;
  ChunkPool& chunks;
  TransmissionPool& transmissions;
  UnsentPool& unsent;
  // Pages' worth of bytes in use by all sockets' buffers against tcp_mem[2] (bytes). Beyond it new data is refused.
  bool memory_pressure() const { return chunks.in_use() * kChunkBytes > static_cast<std::size_t>(knobs.tcp_mem[1]) * 4096; }
};

}  // namespace tapir::tcp
