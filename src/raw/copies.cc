// SPDX-License-Identifier: Apache-2.0
#include "raw/copies.h"

#include <optional>
#include <utility>

#include "raw/events.h"

namespace tapir::raw {

bool enqueue_copy(ReceiveQueue& queue, const RawArrival& arrival, Bytes packet, Instant received_at,
                  std::uint64_t name, FramePool& pool, trace::Counters& counters, trace::Tracer& tracer) {
  Stored about;
  about.source = arrival.source;
  about.destination = arrival.destination;
  about.interface = arrival.interface;
  about.tos = arrival.tos;
  about.hop_limit = arrival.hop_limit;
  Frame copy = pool.copy(packet);
  std::optional<trace::DropReason> refused;
  if (copy) {
    copy.meta().received_at = received_at;
    refused = queue.push(about, std::move(copy));
  } else {
    refused = queue.refuse(trace::DropReason::kMemory);
  }
  if (refused) {
    counters.drop(*refused);
    tracer.emit(received_at, Event::kDropped, name, static_cast<std::uint64_t>(*refused), packet.size());
    return false;
  }
  tracer.emit(received_at, Event::kDelivered, name, packet.size(), queue.count());
  return true;
}

}  // namespace tapir::raw
