// SPDX-License-Identifier: Apache-2.0
#include "stack/ping.h"

#include <algorithm>
#include <utility>

#include "wire/icmp.h"

namespace tapir::stack {

std::expected<ip::Reply, ip::RouteError> Pings::start(const PingRequest& request, Instant now) {
  if (request.payload > kPingPayloadMax) return std::unexpected(ip::RouteError::kTooMany);
  const auto free =
      std::find_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.phase == Phase::kFree; });
  if (free == slots_.end()) return std::unexpected(ip::RouteError::kTooMany);
  const auto path = routes_.resolve({.destination = request.destination, .source = std::nullopt}, now);
  if (!path) return std::unexpected(path.error());

  ip::Reply reply;
  reply.frame = frames_.allocate(wire::kIcmpHeaderLength + request.payload);
  if (!reply.frame) return std::unexpected(ip::RouteError::kTooMany);
  const MutableBytes message = reply.frame.mutable_bytes();
  wire::emit_icmp(wire::IcmpMessage::echo(false, request.id, request.sequence), message);
  for (std::size_t i = 0; i < request.payload; ++i) message[wire::kIcmpHeaderLength + i] = pattern(i);
  wire::seal_icmp(message);
  reply.path = *path;
  reply.fields.protocol = IpProtocol::kIcmp;
  reply.fields.hop_limit = request.hop_limit;
  reply.fields.discovery = request.dont_fragment ? ip::PathMtuDiscovery::kDo : ip::PathMtuDiscovery::kDont;
  counters_.add(trace::Counter::kIcmpOutMsgs);
  counters_.add(trace::Counter::kIcmpOutEchos);

  Slot& slot = *free;
  slot = {};
  slot.phase = Phase::kWaiting;
  slot.destination = path->destination;
  slot.payload = request.payload;
  slot.sent_at = now;
  slot.deadline = later(now, request.timeout);
  slot.order = next_order_++;
  slot.result.id = request.id;
  slot.result.sequence = request.sequence;
  return reply;
}

Pings::Slot* Pings::find(const IpAddress& destination, std::uint16_t id, std::uint16_t sequence) {
  for (Slot& slot : slots_)
    if (slot.phase == Phase::kWaiting && slot.result.id == id && slot.result.sequence == sequence &&
        slot.destination == destination)
      return &slot;
  return nullptr;
}

void Pings::finish(Slot& slot, PingOutcome outcome) {
  slot.phase = Phase::kDone;
  slot.deadline = kNever;
  slot.order = next_order_++;
  slot.result.outcome = outcome;
}

bool Pings::on_reply(const ip::Datagram& datagram, Instant now) {
  const auto message = wire::parse_icmp(datagram.frame.bytes());
  if (!message || message->type != wire::IcmpType::kEchoReply) return false;
  Slot* slot = find(datagram.source, message->id(), message->sequence());
  if (slot == nullptr) return false;
  slot->result.from = datagram.source;
  slot->result.round_trip = now - slot->sent_at;
  slot->result.payload = message->payload.size();
  slot->result.hop_limit = datagram.hop_limit;
  slot->result.payload_intact = message->payload.size() == slot->payload;
  for (std::size_t i = 0; i < message->payload.size(); ++i)
    if (message->payload[i] != pattern(i)) slot->result.payload_intact = false;
  finish(*slot, PingOutcome::kReply);
  return true;
}

bool Pings::waits_for(const IpAddress& destination) const {
  return std::any_of(slots_.begin(), slots_.end(), [&](const Slot& slot) {
    return slot.phase == Phase::kWaiting && slot.destination == destination;
  });
}

bool Pings::on_error(const DeliveryError& error) {
  Slot* oldest = nullptr;
  for (Slot& slot : slots_)
    if (slot.phase == Phase::kWaiting && slot.destination == error.quoted.remote.address &&
        (oldest == nullptr || slot.order < oldest->order))
      oldest = &slot;
  if (oldest == nullptr) return false;
  oldest->result.from = error.reporter;
  oldest->result.error = error.kind;
  finish(*oldest, PingOutcome::kError);
  return true;
}

std::optional<PingResult> Pings::take_result(std::uint16_t id) {
  Slot* first = nullptr;
  for (Slot& slot : slots_)
    if (slot.phase == Phase::kDone && slot.result.id == id && (first == nullptr || slot.order < first->order))
      first = &slot;
  if (first == nullptr) return std::nullopt;
  first->phase = Phase::kFree;
  return first->result;
}

Instant Pings::next_timeout() const {
  Instant next = kNever;
  for (const Slot& slot : slots_)
    if (slot.phase == Phase::kWaiting) next = std::min(next, slot.deadline);
  return next;
}

void Pings::on_timeout(Instant now) {
  for (Slot& slot : slots_)
    if (slot.phase == Phase::kWaiting && slot.deadline <= now) finish(slot, PingOutcome::kTimeout);
}

}  // namespace tapir::stack
