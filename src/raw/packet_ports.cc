// SPDX-License-Identifier: Apache-2.0
#include "raw/packet_ports.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "raw/events.h"

namespace tapir::raw {

PacketHandle PacketPorts::open(std::uint16_t protocol, bool cooked) {
  const PacketHandle handle = ports_.emplace();
  PacketPort* port = ports_.get(handle);
  if (port == nullptr) return {};
  port->protocol = protocol;
  port->cooked = cooked;
  list_.push_back(*port);
  return handle;
}

void PacketPorts::close(PacketHandle handle) {
  PacketPort* port = ports_.get(handle);
  if (port == nullptr) return;
  counters_.drop(trace::DropReason::kSocketClosed, port->queue.count());
  list_.erase(*port);
  ports_.erase(*port);
}

bool PacketPorts::wants(const PacketPort& port, const FrameArrival& about) {
  if (port.interface != kNoInterface && port.interface != about.interface) return false;
  if (port.protocol == kEveryProtocol) return about.type != PacketType::kOutgoing || !port.ignore_outgoing;
  return port.protocol != 0 && port.protocol == about.ethertype && about.type != PacketType::kOutgoing;
}

template <typename Write>
void PacketPorts::give(PacketPort& port, const FrameArrival& about, std::size_t size, Write&& write,
                       Instant now) {
  const PacketHandle handle = ports_.handle_of(port);
  const std::size_t imagined = port.cooked ? 0 : about.imagined_header;
  Stored stored;
  stored.interface = about.interface;
  stored.ethertype = about.ethertype;
  stored.packet_type = about.type;
  stored.hardware_size = about.hardware_size;
  stored.hardware = about.hardware;
  stored.checksum_pending = about.checksum_pending;
  Frame copy = pool_.allocate(imagined + size);
  std::optional<trace::DropReason> refused;
  if (copy) {
    copy.meta().received_at = now;
    const MutableBytes out = copy.mutable_bytes();
    std::fill_n(out.begin(), imagined, std::uint8_t{0});
    if (imagined != 0) store_be<std::uint16_t>(out, imagined - 2, about.ethertype);
    write(out.subspan(imagined));
    refused = port.queue.push(stored, std::move(copy));
  } else {
    refused = port.queue.refuse(trace::DropReason::kMemory);
  }
  if (refused) {
    counters_.drop(*refused);
    tracer_.emit(now, Event::kDropped, handle.packed(), static_cast<std::uint64_t>(*refused), size);
    return;
  }
  tracer_.emit(now, Event::kDelivered, handle.packed(), size, port.queue.count());
  touched.add(handle, kTouchedReadable);
}

bool PacketPorts::deliver(const FrameArrival& arrival, Bytes frame, Instant now) {
  bool known = false;
  for (PacketPort& port : list_) {
    if (!wants(port, arrival)) continue;
    known = known || port.protocol != kEveryProtocol;
    const Bytes seen = frame.subspan(port.cooked ? std::min(arrival.header_size, frame.size()) : 0);
    give(
        port, arrival, seen.size(),
        [&](MutableBytes out) { std::copy(seen.begin(), seen.end(), out.begin()); }, now);
  }
  return known;
}

void PacketPorts::deliver_outgoing(const FrameArrival& about, const OutgoingFrame& frame, PacketHandle sender,
                                   Instant now) {
  for (PacketPort& port : list_) {
    if (ports_.handle_of(port) == sender || !wants(port, about)) continue;
    const std::size_t skip = port.cooked ? std::min(about.header_size, frame.header().size()) : 0;
    give(
        port, about, frame.size() - skip,
        [&](MutableBytes out) {
          const Bytes header = frame.header().subspan(skip);
          std::copy(header.begin(), header.end(), out.begin());
          std::size_t at = header.size();
          for (const Bytes span : frame.payload()) {
            std::copy(span.begin(), span.end(), out.begin() + static_cast<std::ptrdiff_t>(at));
            at += span.size();
          }
        },
        now);
  }
}

}  // namespace tapir::raw
