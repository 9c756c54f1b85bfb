// SPDX-License-Identifier: Apache-2.0
// What all connections of a stack share. Handed into every call: nothing is global, and no part points
// upwards.
#pragma once

#include "base/rng.h"
#include "base/shared_pool.h"
#include "base/slab.h"
#include "frame/frame_pool.h"
#include "inet/path.h"
#include "tcp/activity.h"
#include "tcp/knobs.h"
#include "tcp/options.h"
#include "tcp/scoreboard.h"
#include "tcp/send_buffer.h"
#include "tcp/send_notes.h"
#include "tcp/unsent_queue.h"
#include "trace/counters.h"
#include "trace/record.h"

namespace tapir::tcp {

struct FastOpenRequest;
struct FastOpenClient;
using FastOpenRequests = Slab<FastOpenRequest>;

struct Env {
  Knobs& knobs;
  trace::Counters& counters;
  trace::Tracer& tracer;
  Rng& rng;
  FramePool& frames;
  ChunkPool& chunks;
  TransmissionPool& transmissions;
  UnsentPool& unsent;
  ActivityPool& activities;
  SharedPool<SocketOptions>& options;  // of connections
  SharedPool<PathProperties>& paths;
  FastOpenRequests& fast_open_requests;
  FastOpenClient& fast_open;
  SendNotesPool& notes;
  SendNotePool& note_entries;
  // What all connections hold to send, against tcp_mem (pages of 4 KiB): above [1] buffers grow no more,
  // above [2] nothing new is taken.
  std::size_t pages_in_use() const { return chunks.bytes_in_use() / 4096; }
  bool memory_pressure() const { return pages_in_use() > static_cast<std::size_t>(knobs.tcp_mem[1]); }
  bool memory_exhausted() const { return pages_in_use() > static_cast<std::size_t>(knobs.tcp_mem[2]); }
};

}  // namespace tapir::tcp
