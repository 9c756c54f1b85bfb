// SPDX-License-Identifier: Apache-2.0
// Group and broadcast packets of ours come back to those on this host who listen (Linux's ip_mc_output and
// dev_loopback_xmit).
#include <utility>

#include "link/loopback.h"
#include "stack/parts.h"
#include "wire/ipv4.h"

namespace tapir::stack {

void Stack::Parts::loop_back(const Path& path, const ip::Ipv4Fields& fields, Instant now) {
  if (path.destination.is_multicast() &&
      (!fields.loop || !groups.accepts(path.interface, path.destination, path.source, fields.protocol)))
    return;
  if (looped_.count() == link::kLoopbackFramesMax)
    return drop(trace::DropReason::kLoopbackFull, path.interface, batch.slot().size(), now);
  const OutgoingFrame& packet = batch.slot();
  Frame copy = frames.allocate(packet.size());
  if (!copy) return drop(trace::DropReason::kMemory, path.interface, packet.size(), now);
  packet.copy_to(copy.mutable_bytes());
  FrameHeader& meta = copy.meta();
  meta.received_at = now;
  meta.interface = path.interface;
  meta.checksum = packet.checksum.wanted ? ChecksumState::kPartial : ChecksumState::kNone;
  meta.gso = packet.gso;
  looped_.push_back(std::move(copy));
}

std::size_t Stack::Parts::feed_looped(std::size_t frames_max, Instant now) {
  std::size_t fed = 0;
  for (; fed < frames_max && !looped_.empty(); ++fed) {
    if (batch.borrows()) flush(now);
    input_ipv4(looped_.pop_front(), ip::LinkDestination::kLooped, now);
    after_input(now);
  }
  return fed;
}

}  // namespace tapir::stack
