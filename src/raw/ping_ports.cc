// SPDX-License-Identifier: Apache-2.0
#include "raw/ping_ports.h"

#include <array>

#include "raw/copies.h"
#include "raw/events.h"

namespace tapir::raw {

std::uint64_t PingPorts::hash_of(std::uint16_t identifier) const {
  return siphash_1_3(key_, std::array<std::uint64_t, 1>{identifier});
}

template <typename Visit>
void PingPorts::for_each_of(std::uint16_t identifier, Visit&& visit) {
  table_.find(hash_of(identifier), [&](std::uint32_t index) {
    PingPort& port = *ports_.at(index);
    if (port.identifier_ == identifier) visit(port);
    return false;  // look at all
  });
}

void PingPorts::close(PingHandle handle) {
  PingPort* port = ports_.get(handle);
  if (port == nullptr) return;
  counters_.drop(trace::DropReason::kSocketClosed, port->queue.count());
  unbind(handle);
  ports_.erase(*port);
}

bool PingPorts::free_for(const PingPort& wanting, std::uint16_t identifier) {
  bool is_free = true;
  for_each_of(identifier, [&](const PingPort& holder) {
    if (!holder.reuse_address || !wanting.reuse_address) is_free = false;
  });
  return is_free;
}

// Linux's ping_get_port, with a random start: identifiers in a row would tell how many pings there were.
bool PingPorts::bind(PingHandle handle, std::uint16_t identifier) {
  PingPort& port = *ports_.get(handle);
  unbind(handle);
  if (identifier == 0) {
    const std::uint32_t first = rng_.next_u32();
    for (std::uint32_t i = 0; i < kTriesMax && identifier == 0; ++i) {
      const auto candidate = static_cast<std::uint16_t>(first + i);
      bool taken = false;
      for_each_of(candidate, [&](const PingPort&) { taken = true; });
      if (candidate != 0 && !taken) identifier = candidate;
    }
    if (identifier == 0) return false;
  } else if (!free_for(port, identifier)) {
    return false;
  }
  if (!table_.insert(hash_of(identifier), handle.index)) return false;
  port.identifier_ = identifier;
  return true;
}

void PingPorts::unbind(PingHandle handle) {
  PingPort& port = *ports_.get(handle);
  if (port.identifier_ == 0) return;
  table_.erase(hash_of(port.identifier_), handle.index);
  port.identifier_ = 0;
}

bool PingPorts::deliver(const RawArrival& arrival, Bytes message, Instant received_at) {
  bool known = false;
  for_each_of(load_be<std::uint16_t>(message, 4), [&](PingPort& port) {
    if (!port.local.is_unspecified() && port.local != arrival.destination) return;
    if (port.interface != kNoInterface && port.interface != arrival.interface) return;
    known = true;
    const PingHandle handle = ports_.handle_of(port);
    if (enqueue_copy(port.queue, arrival, message, received_at, handle.packed(), pool_, counters_, tracer_))
      touched.add(handle, kTouchedReadable);
  });
  return known;
}

bool PingPorts::on_error(const DeliveryError& error) {
  bool concerned = false;
  for_each_of(error.quoted.local.port, [&](PingPort& port) {
    if (!port.local.is_unspecified() && port.local != error.quoted.local.address) return;
    concerned = true;
    // A ping socket is told only of what is final, and only when connected, unless it asked for all.
    const bool hard = error.kind == DeliveryErrorKind::kHostUnreachable ||
                      error.kind == DeliveryErrorKind::kProtocolUnreachable ||
                      error.kind == DeliveryErrorKind::kPortUnreachable ||
                      error.kind == DeliveryErrorKind::kAdminProhibited ||
                      error.kind == DeliveryErrorKind::kParameterProblem ||
                      error.kind == DeliveryErrorKind::kFragmentationNeeded;
    if (!port.receive_errors && !(hard && port.connected())) return;
    port.error = error;
    if (port.receive_errors) port.errors.push(error, error.payload, pool_);
    touched.add(ports_.handle_of(port), kTouchedError);
  });
  return concerned;
}

}  // namespace tapir::raw
