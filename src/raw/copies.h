// SPDX-License-Identifier: Apache-2.0
// What came is given to each socket that wants it, as a copy of its own.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/time.h"
#include "frame/frame_pool.h"
#include "raw/queue.h"
#include "raw/raw_ports.h"
#include "trace/counters.h"
#include "trace/record.h"

namespace tapir::raw {

// Queues a copy of `packet` (RAW: with its IP header; ping: the ICMP message), counts and traces what became
// of it under the socket's `name`. False: it was dropped, for want of room or memory (Linux:
// sock_queue_rcv_skb).
bool enqueue_copy(ReceiveQueue& queue, const RawArrival& arrival, Bytes packet, Instant received_at,
                  std::uint64_t name, FramePool& pool, trace::Counters& counters, trace::Tracer& tracer);

}  // namespace tapir::raw
