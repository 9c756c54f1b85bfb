// SPDX-License-Identifier: Apache-2.0
#include "stack/ping.h"

#include <algorithm>
#include <utility>

#include "wire/icmp.h"
#include "wire/udp.h"

namespace tapir::stack {

std::expected<ip::Reply, ip::RouteError> Pings::start(const PingRequest& request, Instant now) {
  if (request.payload > kPingPayloadMax) return std::unexpected(ip::RouteError::kTooMany);
  const auto free =
      std::find_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.phase == Phase::kFree; });
  if (free == slots_.end()) return std::unexpected(ip::RouteError::kTooMany);
  const auto path = routes_.resolve({.destination = request.destination, .source = std::nullopt}, now);
  if (!path) return std::unexpected(path.error());

  ip::Reply reply;
  const bool udp = request.udp_port != 0;
  reply.frame = udp ? build_datagram(request) : build_echo(request);
  if (!reply.frame) return std::unexpected(ip::RouteError::kTooMany);
  if (udp) reply.checksum = {true, 0, wire::kUdpChecksumOffset};
  reply.path = *path;
  reply.fields.protocol = udp ? IpProtocol::kUdp : IpProtocol::kIcmp;
  reply.fields.hop_limit = request.hop_limit;
  reply.fields.discovery = request.dont_fragment ? ip::PathMtuDiscovery::kDo : ip::PathMtuDiscovery::kDont;

  Slot& slot = *free;
  slot = {};
  slot.phase = Phase::kWaiting;
  ++waiting_;
  slot.destination = path->destination;
  slot.udp_port = request.udp_port;
  slot.payload = request.payload;
  slot.sent_at = now;
  slot.deadline = later(now, request.timeout);
  slot.order = next_order_++;
  slot.result.id = request.id;
  slot.result.sequence = request.sequence;
  return reply;
}

Frame Pings::build_echo(const PingRequest& request) {
  Frame frame = frames_.allocate(wire::kIcmpHeaderLength + request.payload);
  if (!frame) return frame;
  const MutableBytes message = frame.mutable_bytes();
  wire::emit_icmp(wire::IcmpMessage::echo(false, request.id, request.sequence), message);
  for (std::size_t i = 0; i < request.payload; ++i) message[wire::kIcmpHeaderLength + i] = pattern(i);
  wire::seal_icmp(message);
  counters_.add(trace::Counter::kIcmpOutMsgs);
  counters_.add(trace::Counter::kIcmpOutEchos);
  return frame;
}

Frame Pings::build_datagram(const PingRequest& request) {
  const std::size_t length = wire::kUdpHeaderLength + request.payload;
  Frame frame = frames_.allocate(length);
  if (!frame) return frame;
  const MutableBytes datagram = frame.mutable_bytes();
  wire::emit_udp({.src_port = source_port(request.id),
                  .dst_port = request.udp_port,
                  .length = static_cast<std::uint16_t>(length),
                  .checksum = 0,
                  .payload = {}},
                 datagram);
  for (std::size_t i = 0; i < request.payload; ++i) datagram[wire::kUdpHeaderLength + i] = pattern(i);
  counters_.add(trace::Counter::kUdpOutDatagrams);
  return frame;
}

Pings::Slot* Pings::find(const IpAddress& destination, std::uint16_t id, std::uint16_t sequence) {
  for (Slot& slot : slots_)
    if (slot.phase == Phase::kWaiting && slot.udp_port == 0 && slot.result.id == id &&
        slot.result.sequence == sequence && slot.destination == destination)
      return &slot;
  return nullptr;
}

void Pings::finish(Slot& slot, PingOutcome outcome) {
  slot.phase = Phase::kDone;
  --waiting_;
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

bool Pings::on_error(const DeliveryError& error, Instant now) {
  const auto concerns = [&](const Slot& slot) {
    if (slot.phase != Phase::kWaiting || slot.destination != error.quoted.remote.address) return false;
    if (error.protocol != IpProtocol::kUdp) return slot.udp_port == 0;
    return slot.udp_port == error.quoted.remote.port &&
           source_port(slot.result.id) == error.quoted.local.port;
  };
  Slot* oldest = nullptr;
  for (Slot& slot : slots_)
    if (concerns(slot) && (oldest == nullptr || slot.order < oldest->order)) oldest = &slot;
  if (oldest == nullptr) return false;
  oldest->result.from = error.reporter;
  oldest->result.error = error.kind;
  oldest->result.round_trip = now - oldest->sent_at;
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
  if (waiting_ == 0) return next;
  for (const Slot& slot : slots_)
    if (slot.phase == Phase::kWaiting) next = std::min(next, slot.deadline);
  return next;
}

void Pings::on_timeout(Instant now) {
  if (waiting_ == 0) return;
  for (Slot& slot : slots_)
    if (slot.phase == Phase::kWaiting && slot.deadline <= now) finish(slot, PingOutcome::kTimeout);
}

}  // namespace tapir::stack
