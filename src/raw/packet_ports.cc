// SPDX-License-Identifier: Apache-2.0
#include "raw/packet_ports.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "raw/events.h"

namespace tapir::raw {
namespace {

// IEEE 802.1Q: the tag stands behind the two addresses.
constexpr std::size_t kAddressesLength = 12;
constexpr std::size_t kTagLength = 4;

}  // namespace

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

template <typename Rest>
void PacketPorts::give(PacketPort& port, const FrameArrival& about, Bytes front, std::size_t size,
                       Rest&& rest, Instant now) {
  const PacketHandle handle = ports_.handle_of(port);
  const std::size_t imagined = port.cooked ? 0 : about.imagined_header;
  Stored stored;
  stored.interface = about.interface;
  stored.ethertype = about.ethertype;
  stored.packet_type = about.type;
  stored.hardware_size = about.hardware_size;
  stored.hardware = about.hardware;
  stored.checksum_pending = about.checksum_pending;
  stored.checksum_verified = about.checksum_verified;
  stored.tagged = about.vlan.has_value();
  stored.vlan = about.vlan.value_or(0);
  stored.network_offset = static_cast<std::uint16_t>(port.cooked ? 0 : imagined + about.header_size);
  // Of the front: without the link header, or without the tag in its midst.
  const std::size_t tag = about.vlan && !port.cooked ? kTagLength : 0;
  const std::size_t header = std::min(about.header_size + (about.vlan ? kTagLength : 0), front.size());
  const std::size_t begin = port.cooked ? header : 0;
  const std::size_t shown = size - begin - tag;
  Frame copy = pool_.allocate(imagined + shown);
  std::optional<trace::DropReason> refused;
  if (copy) {
    copy.meta().received_at = now;
    MutableBytes out = copy.mutable_bytes();
    std::fill_n(out.begin(), imagined, std::uint8_t{0});
    if (imagined != 0) store_be<std::uint16_t>(out, imagined - 2, about.ethertype);
    out = out.subspan(imagined);
    const Bytes before = front.subspan(begin, tag != 0 ? kAddressesLength : 0);
    const Bytes after = front.subspan(begin + before.size() + tag);
    std::copy(before.begin(), before.end(), out.begin());
    out = out.subspan(before.size());
    std::copy(after.begin(), after.end(), out.begin());
    rest(out.subspan(after.size()));
    refused = port.queue.push(stored, std::move(copy));
  } else {
    refused = port.queue.refuse(trace::DropReason::kMemory);
  }
  if (refused) {
    counters_.drop(*refused);
    tracer_.emit(now, Event::kDropped, handle.packed(), static_cast<std::uint64_t>(*refused), size);
    return;
  }
  tracer_.emit(now, Event::kDelivered, handle.packed(), shown, port.queue.count());
  touched.add(handle, kTouchedReadable);
}

bool PacketPorts::deliver(const FrameArrival& arrival, Bytes frame, Instant now) {
  bool known = false;
  for (PacketPort& port : list_) {
    if (!wants(port, arrival)) continue;
    known = known || port.protocol != kEveryProtocol;
    give(port, arrival, frame, frame.size(), [](MutableBytes) {}, now);
  }
  return known;
}

void PacketPorts::deliver_outgoing(const FrameArrival& about, const OutgoingFrame& frame, PacketHandle sender,
                                   Instant now) {
  for (PacketPort& port : list_) {
    if (ports_.handle_of(port) == sender || !wants(port, about)) continue;
    give(
        port, about, frame.header(), frame.size(),
        [&](MutableBytes out) {
          std::size_t at = 0;
          for (const Bytes span : frame.payload()) {
            std::copy(span.begin(), span.end(), out.begin() + static_cast<std::ptrdiff_t>(at));
            at += span.size();
          }
        },
        now);
  }
}

}  // namespace tapir::raw
