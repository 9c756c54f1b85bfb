// SPDX-License-Identifier: Apache-2.0
// What leaves: replies first, then what is due, then every connection's turn.
#include "tcp/engine_state.h"

namespace tapir::tcp {

using trace::Counter;
using trace::DropReason;

void Engine::State_::append(OutputList& list, Connection& c) {
  const std::uint32_t me = connections.handle_of(c).index + 1;
  c.output_next = 0;
  if (list.tail == 0)
    list.head = me;
  else
    connections.at(list.tail - 1)->output_next = me;
  list.tail = me;
}

void Engine::State_::enlist(Connection& c) {
  if (c.in_output_list) return;
  c.in_output_list = true;
  append(output, c);
}

// Routes or path MTUs changed since this connection last heard of them.
void Engine::State_::refresh_path(Connection& c, Instant now) {
  if (!path_generation_seen || (path_generation_known && c.path_generation() == path_generation)) return;
  const auto found =
      paths.find_path(c.tuple().local.address, c.tuple().remote.address, c.options().bound_interface);
  if (found) {
    path_generation = found->generation;
    path_generation_known = true;
    if (c.path_generation() != path_generation) c.on_path(*found, env, now);
    return;
  }
  // No way any more: what it sends is lost (the hub counts it), and it hears of it softly. A later route is
  // asked for again.
  Path none = c.path();
  none.interface = kNoInterface;
  if (path_generation_known) none.generation = path_generation;
  c.on_path(none, env, now);
  DeliveryError error;
  error.kind = found.error() == CloseCause::kHostUnreachable ? DeliveryErrorKind::kHostUnreachable
                                                             : DeliveryErrorKind::kNetUnreachable;
  error.quoted = c.tuple();
  c.on_delivery_error(error, env, now);
}

bool Engine::State_::poll_one(Connection& c, OutgoingFrame& out, Output& how, Instant now) {
  if (c.state() != State::kClosed) refresh_path(c, now);
  if (!c.poll_segment(out, env, now)) return false;
  if (c.signs()) [[unlikely]]
    sign(out, c.tuple(), *md5_keys.first(c.md5_keys));
  how.connection = connections.handle_of(c);
  how.path = c.path();
  if (c.ecn_capable_segment()) out.ecn = Ecn::kEct0;
  how.tos = c.options().tos;
  how.hop_limit = c.options().hop_limit != 0 ? c.options().hop_limit : how.path.hop_limit;
  how.ip_options = &c.options().ip_options;
  how.confirms_neighbor = c.take_confirmation();
  how.dont_fragment = c.options().mtu_discover != 0 && !how.path.mtu_locked;
  return true;
}

void Engine::on_routes_changed(Instant now) {
  state_->clock = now;
  state_->path_generation_seen = true;
  state_->path_generation_known = false;
}

bool Engine::output_due() const {
  const Connection* c = state_->connections.get(state_->due);
  return c != nullptr && c->output_due();
}

bool Engine::output_wanted() const {
  return state_->output.head != 0 || state_->stalled.head != 0 || state_->replies.front() != nullptr;
}

bool Engine::poll_segment(OutgoingFrame& out, Output& how, bool only_due, Instant now) {
  State_& s = *state_;
  s.clock = now;
  if (Connection* c = s.connections.get(s.due)) {
    if (!s.paths.has_room(c->interface())) {
      s.arm_timer(*c);
    } else {
      if (s.poll_one(*c, out, how, now)) return true;
      // What it still wants it cannot have now: an ACK or a timer brings it back.
      s.look_after(*c, false, now);
    }
  }
  s.due = {};
  if (only_due) return false;
  while (s.output.head != 0) {
    Connection& c = *s.connections.at(s.output.head - 1);
    const bool room = s.paths.has_room(c.interface());
    // Most have said all they had to say with one segment.
    if (room && c.output_wanted() && s.poll_one(c, out, how, now)) return true;
    s.output.head = c.output_next;
    if (s.output.head == 0) s.output.tail = 0;
    c.output_next = 0;
    if (!room) {
      s.arm_timer(c);
      s.append(s.stalled, c);
      continue;
    }
    c.in_output_list = false;
    s.look_after(c, false, now);
  }
  return false;
}

bool Engine::output_stalled() const { return state_->stalled.head != 0; }

void Engine::resume_output(bool all) {
  State_& s = *state_;
  if (s.stalled.head == 0 || !(all || s.paths.has_room(s.connections.at(s.stalled.head - 1)->interface())))
    return;
  // They have waited longer than the others.
  s.connections.at(s.stalled.tail - 1)->output_next = s.output.head;
  s.output.head = s.stalled.head;
  if (s.output.tail == 0) s.output.tail = s.stalled.tail;
  s.stalled = {};
  s.stalled_told = 0;
}

void Engine::on_no_room(Instant now) {
  State_& s = *state_;
  std::uint32_t next =
      s.stalled_told == 0 ? s.stalled.head : s.connections.at(s.stalled_told - 1)->output_next;
  for (; next != 0; next = s.connections.at(next - 1)->output_next) {
    Connection& c = *s.connections.at(next - 1);
    s.stalled_told = next;
    if (s.paths.has_room(c.interface())) continue;
    c.on_no_room(s.env, now);
    s.arm_timer(c);
  }
}

// ---- replies ----

std::optional<SegmentReply> Engine::poll_reply() { return state_->replies.pop(); }

const SegmentReply* Engine::next_reply() const { return state_->replies.front(); }

void Engine::State_::reply(const IpAddress& source, const IpAddress& destination, InterfaceId interface,
                           const wire::TcpSegment& segment, std::uint8_t tos, trace::Subject subject,
                           Instant now) {
  SegmentReply answer;
  answer.source = source;
  answer.destination = destination;
  answer.interface = interface;
  answer.tos = static_cast<std::uint8_t>(tos & 0xfc);
  answer.segment = segment;
  if (!replies.push(answer)) return drop(DropReason::kReplyQueueFull, subject, now);
  counters.add(Counter::kTcpOutSegs);
  if (segment.has(wire::kRst)) counters.add(Counter::kTcpOutRsts);
  trace(Event::kSegmentOut, segment, 0, subject, now);
}

void Engine::State_::reply(const Arrival& arrival, const wire::TcpSegment& segment, std::uint8_t tos,
                           trace::Subject subject, Instant now) {
  reply(arrival.destination, arrival.source, arrival.interface, segment, tos, subject, now);
}

}  // namespace tapir::tcp
