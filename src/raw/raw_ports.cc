// SPDX-License-Identifier: Apache-2.0
#include "raw/raw_ports.h"

#include "raw/copies.h"
#include "raw/events.h"

namespace tapir::raw {
namespace {

// Linux's icmp_err_convert[].fatal: what ends a connected socket's hope. "Fragmentation needed" is decided by
// the port.
bool is_hard(const DeliveryError& error) {
  switch (error.kind) {
    case DeliveryErrorKind::kProtocolUnreachable:
    case DeliveryErrorKind::kPortUnreachable:
    case DeliveryErrorKind::kParameterProblem:
    case DeliveryErrorKind::kAdminProhibited:
      return true;
    case DeliveryErrorKind::kNetUnreachable:
      return error.from_icmp && error.icmp_code == 6;
    case DeliveryErrorKind::kHostUnreachable:
      return error.from_icmp &&
             (error.icmp_code == 7 || error.icmp_code == 8 || error.icmp_code == 14 || error.icmp_code == 15);
    case DeliveryErrorKind::kFragmentationNeeded:
    case DeliveryErrorKind::kSourceRouteFailed:
    case DeliveryErrorKind::kTimeExceeded:
      return false;
  }
  return false;
}

}  // namespace

RawHandle RawPorts::open(IpProtocol protocol) {
  const RawHandle handle = ports_.emplace();
  RawPort* port = ports_.get(handle);
  if (port == nullptr) return {};
  port->protocol = protocol;
  list_.push_back(*port);
  return handle;
}

void RawPorts::close(RawHandle handle) {
  RawPort* port = ports_.get(handle);
  if (port == nullptr) return;
  counters_.drop(trace::DropReason::kSocketClosed, port->queue.count());
  list_.erase(*port);
  ports_.erase(*port);
}

// Linux's raw_v4_match.
bool RawPorts::matches(const RawPort& port, const RawArrival& arrival) {
  return port.protocol == arrival.protocol && (!port.connected() || port.remote == arrival.source) &&
         (port.local.is_unspecified() || port.local == arrival.destination) &&
         (port.interface == kNoInterface || port.interface == arrival.interface) &&
         port.groups.allow(arrival.interface, arrival.destination, arrival.source);
}

// Linux's icmp_filter: types from 32 on are never kept out; what has no ICMP header is.
bool RawPorts::filtered(const RawPort& port, Bytes payload) {
  constexpr std::size_t kIcmpHeader = 8;
  if (port.protocol != IpProtocol::kIcmp) return false;
  if (payload.size() < kIcmpHeader) return true;
  const std::uint8_t type = payload[0];
  return type < 32 && (port.icmp_filter >> type & 1U) != 0;
}

bool RawPorts::deliver(const RawArrival& arrival, Bytes packet, std::size_t header_size,
                       Instant received_at) {
  bool known = false;
  for (RawPort& port : list_) {
    if (!matches(port, arrival)) continue;
    known = true;
    if (filtered(port, packet.subspan(header_size))) continue;
    const RawHandle handle = ports_.handle_of(port);
    if (enqueue_copy(port.queue, arrival, packet, received_at, handle.packed(), pool_, counters_, tracer_))
      touched.add(handle, kTouchedReadable);
  }
  return known;
}

bool RawPorts::on_error(const DeliveryError& error, InterfaceId arrived_on) {
  bool concerned = false;
  RawArrival sent;
  sent.source = error.quoted.remote.address;
  sent.destination = error.quoted.local.address;
  sent.protocol = error.protocol;
  sent.interface = arrived_on;
  for (RawPort& port : list_) {
    if (!matches(port, sent)) continue;
    concerned = true;
    if (!port.receive_errors && !port.connected()) continue;
    const bool hard =
        error.kind == DeliveryErrorKind::kFragmentationNeeded ? port.path_mtu_discovery : is_hard(error);
    if (!hard && !port.receive_errors) continue;
    port.error = error;
    if (port.receive_errors)
      port.errors.push(error, port.quotes_header ? error.packet : error.payload, pool_);
    touched.add(ports_.handle_of(port), kTouchedError);
  }
  return concerned;
}

}  // namespace tapir::raw
