// SPDX-License-Identifier: Apache-2.0
// Packets and frames that programs build themselves.
#include <algorithm>
#include <utility>

#include "stack/parts.h"
#include "wire/ipv4.h"

namespace tapir::stack {

using trace::Counter;
using trace::DropReason;

std::expected<bool, DeliveryError> Stack::Parts::send_raw(const Path& path, std::span<const Bytes> payload,
                                                          const ip::Ipv4Fields& fields, Ecn ecn,
                                                          Instant now) {
  seen_now_ = now;
  path_finder.set_now(now);
  if (!make_room(path.interface, now)) {
    counters.add(Counter::kIpOutDiscards);
    drop(DropReason::kDevRefused, path.interface, 0, now);
    return false;
  }
  OutgoingFrame& out = slot(now);
  for (const Bytes span : payload) out.add_payload(span);
  out.ecn = ecn;
  if (const auto sent = send_slot(path, fields, {}, now); !sent) return std::unexpected(sent.error());
  // The payload is the caller's, and the call ends here.
  drain_neighbors(now);
  flush(now);
  return true;
}

bool Stack::Parts::send_with_header(const Path& path, Bytes header, std::span<const Bytes> payload,
                                    Instant now) {
  seen_now_ = now;
  path_finder.set_now(now);
  if (!make_room(path.interface, now)) {
    counters.add(Counter::kIpOutDiscards);
    drop(DropReason::kDevRefused, path.interface, 0, now);
    return false;
  }
  OutgoingFrame& out = slot(now);
  std::copy(header.begin(), header.end(), out.append_header(header.size()).begin());
  for (const Bytes span : payload) out.add_payload(span);
  wire::refresh_ipv4_checksum(out.mutable_header());
  out.network_offset = 0;
  out.transport_offset = static_cast<std::uint16_t>(header.size());
  counters.add(Counter::kIpOutRequests);
  counters.add(Counter::kIpExtOutOctets, out.size());
  send_packet(path.interface, path.next_hop, path.source, {}, now);
  drain_neighbors(now);
  flush(now);
  return true;
}

bool Stack::Parts::send_frame(InterfaceId interface, Bytes header, std::span<const Bytes> payload,
                              raw::PacketHandle sender, Instant now) {
  seen_now_ = now;
  path_finder.set_now(now);
  flush(now);
  if (!make_room(interface, now)) {
    drop(DropReason::kDevRefused, interface, 0, now);
    return false;
  }
  OutgoingFrame& out = slot(now);
  std::copy(header.begin(), header.end(), out.append_header(header.size()).begin());
  for (const Bytes span : payload) out.add_payload(span);
  commit(interface, {}, now);
  sending_port_ = sender;
  flush(now);
  sending_port_ = {};
  return true;
}

}  // namespace tapir::stack
