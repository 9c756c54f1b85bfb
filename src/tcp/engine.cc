// SPDX-License-Identifier: Apache-2.0
#include "tcp/engine.h"

#include <algorithm>
#include <new>
#include <utility>

#include "tcp/connection_info.h"
#include "tcp/engine_state.h"
#include "tcp/paws.h"

namespace tapir::tcp {

using trace::Counter;
using trace::DropReason;

namespace {

SipKey new_key(Rng& rng) { return SipKey{rng.next_u64(), rng.next_u64()}; }

}  // namespace

Engine::State_::State_(Knobs& knobs_in, trace::Counters& counters_in, trace::Tracer& tracer_in, Rng& rng_in,
                       FramePool& frames_in, MemoryBudget& budget_in, PathFinder& paths_in)
    : knobs(knobs_in),
      counters(counters_in),
      tracer(tracer_in),
      budget(budget_in),
      paths(paths_in),
      chunks(budget_in),
      transmissions(kTransmissionsMax, budget_in.hook(), true),
      unsent(kUnsentMax, budget_in.hook(), true),
      activities(kConnectionsMax, budget_in.hook(), true),
      shared_options(kConnectionsMax, budget_in.hook()),
      path_properties(kConnectionsMax, budget_in.hook()),
      fast_open_requests(kFastOpenRequestsMax, budget_in.hook()),
      fast_open(new_key(rng_in), budget_in.hook()),
      notes(kConnectionsMax, budget_in.hook()),
      note_entries(kNotesMax, budget_in.hook()),
      md5_keys(budget_in.hook()),
      env{knobs_in,        counters_in,        tracer_in, rng_in,     frames_in,
          chunks,          transmissions,      unsent,    activities, shared_options,
          path_properties, fast_open_requests, fast_open, notes,      note_entries},
      connections(kConnectionsMax, budget_in.hook()),
      half_opens(kHalfOpenMax, budget_in.hook()),
      listeners(kListenersMax, budget_in.hook()),
      accepts(kConnectionsMax, budget_in.hook()),
      resets(kFastOpenRequestsMax, budget_in.hook()),
      time_waits(kTimeWaitMax, budget_in.hook()),
      established(new_key(rng_in), std::size_t{kConnectionsMax} + kHalfOpenMax + kTimeWaitMax,
                  budget_in.hook()),
      listening(new_key(rng_in), kListenersMax, budget_in.hook()),
      isns(new_key(rng_in), new_key(rng_in)),
      cookies(new_key(rng_in), new_key(rng_in)),
      replies(budget_in.hook()) {}

Engine::State_::~State_() {
  touched.clear();
  connections.for_each([&](Connection& c) {
    wheel.cancel(c.wheel_entry);
    c.release(env);
  });
  connections.clear();
  half_opens.for_each([&](HalfOpen& request) { wheel.cancel(request.timer); });
}

// ---- records ----

std::optional<RecordRef> Engine::State_::find(const FourTuple& tuple) const {
  return established.find(tuple, [&](RecordRef ref) {
    switch (ref.kind) {
      case RecordRef::Kind::kConnection:
        return connections.at(ref.index)->tuple() == tuple;
      case RecordRef::Kind::kHalfOpen:
        return half_opens.at(ref.index)->tuple == tuple;
      case RecordRef::Kind::kTimeWait:
        return time_waits.at(ref.index)->is(tuple);
    }
    return false;
  });
}

void Engine::State_::touch(TouchedLink& what, std::uint8_t events) {
  what.touched_events |= events;
  if (!what.linked()) touched.push_back(what);
}

void Engine::State_::untouch(TouchedLink& what) {
  if (what.linked()) touched.erase(what);
}

Connection* Engine::State_::make_connection(const SocketOptions& wanted, const Path& path) {
  const ConnectionId id = connections.emplace(trace::Subject{0});
  if (!id) return nullptr;
  Connection& c = *connections.get(id);
  if (!c.take_memory(wanted, path, env)) {
    erase(c);
    return nullptr;
  }
  c.set_subject(pack_subject(SubjectKind::kConnection, id.index, id.generation));
  c.wheel_entry.owner = id.index;
  c.wheel_entry.kind = static_cast<std::uint8_t>(RecordRef::Kind::kConnection);
  return &c;
}

const SocketOptions& Engine::State_::inherited_options(const Listener& listener) {
  if (listener.options.ip_options.size == 0) return listener.options;
  scratch_options = listener.options;
  scratch_options.ip_options = {};
  return scratch_options;
}

void Engine::State_::erase(Connection& c) {
  untouch(c);
  md5_keys.clear(c.md5_keys);
  c.release(env);
  connections.erase(c);
}

void Engine::State_::destroy(Connection& c, Instant now) {
  tracer.emit(now, Event::kConnectionGone, c.subject(), static_cast<std::uint64_t>(c.cause()));
  established.erase(c.tuple(), ref_of(c));
  wheel.cancel(c.wheel_entry);
  if (!c.attached) --orphans;
  erase(c);
}

void Engine::State_::arm_timer(Connection& c) {
  if (!c.take_deadlines_changed()) return;
  const Instant deadline = c.next_deadline();
  if (deadline != c.wheel_entry.deadline) wheel.arm(c.wheel_entry, deadline);
}

// FIN-WAIT-2 without an owner, or TIME-WAIT: the small record takes the connection's place (Linux:
// tcp_time_wait).
void Engine::State_::become_time_wait(Connection& c, Instant now) {
  const bool ack_owed = c.output_wanted();
  const Remains remains = c.take_remains(env, now);
  const Md5Key* const key = md5_keys.first(c.md5_keys);
  established.erase(c.tuple(), ref_of(c));
  const TimeWait what = TimeWait::of(remains, now);
  // The ACK of the peer's FIN: the connection is over, so the record sends it as it will send the next.
  if (ack_owed)
    reply(remains.tuple.local.address, remains.tuple.remote.address, c.path().interface,
          with_signature(what.ack(timestamp_clock(now) + remains.ts_offset), remains.tuple, key), remains.tos,
          c.subject(), now);
  TimeWait* record = time_waits.add(what, remains.timeout, knobs, counters, now);
  if (record == nullptr) return;
  if (!established.insert(remains.tuple, {RecordRef::Kind::kTimeWait, time_waits.index_of(*record)})) {
    counters.add(Counter::kTcpExtTCPTimeWaitOverflow);
    time_waits.erase(*record);
    return;
  }
  // Without memory for the key its answers are unsigned, which the peer drops.
  if (key != nullptr) (void)md5_keys.set(time_wait_keys, Md5Key(*key), time_waits.index_of(*record));
  trace_born(Event::kTimeWaitBorn, remains.tuple, remains.fin_wait_2 ? 1 : 0, subject_of(*record), now);
}

void Engine::State_::remove_time_wait(TimeWait& record, TimeWaitEnd why, Instant now) {
  tracer.emit(now, Event::kTimeWaitGone, subject_of(record), static_cast<std::uint64_t>(why));
  if (time_wait_keys != 0) md5_keys.remove_owner(time_wait_keys, time_waits.index_of(record));
  established.erase(record.tuple(), {RecordRef::Kind::kTimeWait, time_waits.index_of(record)});
  time_waits.erase(record);
}

bool Engine::State_::look_after(Connection& c, bool list_output, Instant now) {
  if (c.fast_open_ended()) end_fast_open(c, now);
  if (c.wants_time_wait()) become_time_wait(c, now);
  if (const std::uint8_t events = c.take_touched(); events != 0 && c.attached) touch(c, events);
  if (c.state() == State::kClosed) established.erase(c.tuple(), ref_of(c));
  if (list_output && c.output_wanted()) enlist(c);
  // In the output list, or with a RST still to send, it lives until that has left.
  if (c.state() == State::kClosed && !c.attached && !c.in_output_list) {
    destroy(c, now);
    return false;
  }
  c.rest(env);
  arm_timer(c);
  return true;
}

bool Engine::State_::settle(Connection& c, Instant now) { return look_after(c, true, now); }

void Engine::State_::detach(Connection& c) {
  if (!c.attached) return;
  c.attached = false;
  untouch(c);
  ++orphans;
}

void Engine::State_::drop(DropReason reason, trace::Subject subject, Instant now) {
  if (reason == DropReason::kNone) return;
  counters.drop(reason);
  tracer.emit(now, Event::kDrop, subject, static_cast<std::uint64_t>(reason));
}

void Engine::State_::trace(Event event, const wire::TcpSegment& segment, std::uint32_t payload,
                           trace::Subject subject, Instant now) {
  if (!tracer.on()) return;
  const SegmentWords words = pack_segment(segment, payload);
  tracer.emit(now, event, subject, words.a, words.b, words.c, words.d);
}

void Engine::State_::trace_born(Event event, const FourTuple& tuple, std::uint64_t how,
                                trace::Subject subject, Instant now) {
  if (!tracer.on()) return;
  tracer.emit(now, event, subject, pack_ports(tuple.local.port, tuple.remote.port),
              pack_address(tuple.local.address), pack_address(tuple.remote.address), how);
}

// ---- the engine: birth and time ----

Engine::Engine(Knobs& knobs, trace::Counters& counters, trace::Tracer& tracer, Rng& rng, FramePool& frames,
               MemoryBudget& budget, PathFinder& paths)
    : state_(std::make_unique<State_>(knobs, counters, tracer, rng, frames, budget, paths)) {}

Engine::~Engine() = default;

Env& Engine::env() { return state_->env; }

void Engine::force_iss(std::optional<SeqNum> iss) { state_->isns.force_iss(iss); }

Instant Engine::next_timeout() const {
  const Instant timers = state_->wheel.next_deadline();
  return state_->time_waits.size() == 0 ? timers
                                        : std::min(timers, state_->time_waits.next_deadline(state_->clock));
}

void Engine::on_timeout(Instant now) {
  State_& s = *state_;
  s.clock = now;
  // Each timer armed now at most once: what is armed anew for the same instant fires at the next call.
  for (std::size_t left = s.wheel.size(); left > 0; --left) {
    TimerEntry* timer = s.wheel.pop_expired(now);
    if (timer == nullptr) break;
    if (static_cast<RecordRef::Kind>(timer->kind) == RecordRef::Kind::kHalfOpen) {
      s.on_half_open_timer(*s.half_opens.at(timer->owner), now);
      continue;
    }
    Connection& c = *s.connections.at(timer->owner);
    c.on_timeout(s.env, now);
    if (c.in_output_list && s.stalled.head != 0 && !s.paths.has_room(c.interface())) c.on_no_room(s.env, now);
    s.settle(c, now);
  }
  while (TimeWait* record = s.time_waits.first_expired(now)) {
    s.counters.add(record->has(TimeWait::kShort) ? Counter::kTcpExtTWKilled : Counter::kTcpExtTW);
    s.remove_time_wait(*record, TimeWaitEnd::kTimedOut, now);
  }
}

// ---- the program ----

std::expected<ConnectionId, CloseCause> Engine::connect(const FourTuple& tuple, const Path& path,
                                                        const SocketOptions& options, Instant now) {
  State_& s = *state_;
  s.clock = now;
  SeqNum iss = s.isns.iss(tuple, now);
  TimeWait* taken_over = nullptr;
  if (const auto ref = s.find(tuple)) {
    if (ref->kind != RecordRef::Kind::kTimeWait) return std::unexpected(CloseCause::kNone);
    taken_over = s.time_waits.at(ref->index);
    if (!s.time_waits.may_reuse(*taken_over, s.knobs, now)) return std::unexpected(CloseCause::kNone);
    iss = taken_over->next_iss();
  }
  Connection* c = s.make_connection(options, path);
  if (c == nullptr) return std::unexpected(CloseCause::kOutOfMemory);
  if (taken_over != nullptr) {
    s.counters.add(Counter::kTcpExtTWRecycled);
    s.remove_time_wait(*taken_over, TimeWaitEnd::kRecycled, now);
  }
  if (!s.established.insert(tuple, s.ref_of(*c))) {
    s.erase(*c);
    return std::unexpected(CloseCause::kOutOfMemory);
  }
  s.trace_born(Event::kConnectionBorn, tuple, 0, c->subject(), now);
  c->open_active(tuple, path, iss, s.ts_offset(tuple), s.env, now);
  s.counters.add(Counter::kTcpActiveOpens);
  const ConnectionId id = s.connections.handle_of(*c);
  s.settle(*c, now);
  return id;
}

bool Engine::tuple_free(const FourTuple& tuple, Instant now) const {
  const auto ref = state_->find(tuple);
  if (!ref) return true;
  return ref->kind == RecordRef::Kind::kTimeWait &&
         state_->time_waits.may_reuse(*state_->time_waits.at(ref->index), state_->knobs, now);
}

namespace {

// Linux's __sys_listen: unsigned compare, so that a negative backlog is the largest.
std::uint32_t clamped_backlog(int backlog, const Knobs& knobs) {
  return std::min(static_cast<std::uint32_t>(backlog), static_cast<std::uint32_t>(knobs.somaxconn));
}

}  // namespace

std::expected<ListenerId, CloseCause> Engine::listen(const Endpoint& local, InterfaceId bound, int backlog,
                                                     bool reuse_port, const SocketOptions& options,
                                                     Instant now) {
  State_& s = *state_;
  s.clock = now;
  const bool taken = s.listening.any_at(local, s.listeners, [&](const Listener& other) {
    return other.bound == bound && !(other.reuse_port && reuse_port);
  });
  if (taken) return std::unexpected(CloseCause::kNone);
  const ListenerId id = s.listeners.emplace(local, bound, clamped_backlog(backlog, s.knobs), reuse_port,
                                            ++s.listeners_begun, options);
  if (!id) return std::unexpected(CloseCause::kOutOfMemory);
  Listener& listener = *s.listeners.get(id);
  listener.options.bound_interface = bound;
  const int server_everywhere = kFastOpenServer | kFastOpenAllListeners;
  if ((s.knobs.tcp_fastopen & server_everywhere) == server_everywhere &&
      listener.options.fast_open_queue == 0)
    set_fast_open_queue(id, static_cast<int>(std::min<std::uint32_t>(listener.backlog, 0x7fffffff)));
  if (!s.listening.insert(local, id.index)) {
    s.listeners.erase(listener);
    return std::unexpected(CloseCause::kOutOfMemory);
  }
  return id;
}

void Engine::set_backlog(ListenerId id, int backlog) {
  if (Listener* listener = state_->listeners.get(id))
    listener->backlog = clamped_backlog(backlog, state_->knobs);
}

ConnectionId Engine::accept(ListenerId id, Instant now) {
  State_& s = *state_;
  Listener* listener = s.listeners.get(id);
  if (listener == nullptr) return {};
  const ConnectionId connection = listener->dequeue(s.accepts);
  if (Connection* c = s.connections.get(connection)) {
    c->note_accepted(s.env);
    s.tracer.emit(now, Event::kAccepted, s.subject_of(*listener), c->subject());
  }
  return connection;
}

bool Engine::acceptable(ListenerId id) const {
  const Listener* listener = state_->listeners.get(id);
  return listener != nullptr && listener->queued() > 0;
}

void Engine::close_listener(ListenerId id, Instant now) {
  State_& s = *state_;
  Listener* listener = s.listeners.get(id);
  if (listener == nullptr) return;
  s.clock = now;
  // First it is no longer found; then its children go (Linux: inet_csk_listen_stop).
  s.listening.erase(listener->local, id.index);
  while (listener->first_half_open != 0)
    s.remove_half_open(*s.half_opens.at(listener->first_half_open - 1), HalfOpenEnd::kListenerClosed, now);
  while (const ConnectionId child = listener->dequeue(s.accepts)) abort(child, now);
  while (listener->first_reset != 0) s.drop_first_reset(*listener);
  s.untouch(*listener);
  s.md5_keys.clear(listener->md5_keys);
  s.listeners.erase(id);
}

SocketOptions* Engine::listener_options(ListenerId id) {
  Listener* listener = state_->listeners.get(id);
  return listener == nullptr ? nullptr : &listener->options;
}

std::optional<Engine::ListenerInfo> Engine::listener_info(ListenerId id) const {
  const Listener* listener = state_->listeners.get(id);
  if (listener == nullptr) return std::nullopt;
  return ListenerInfo{listener->local, listener->queued(), listener->backlog, listener->half_open,
                      listener->bound};
}

Connection* Engine::connection(ConnectionId id) { return state_->owned(id); }
const Connection* Engine::connection(ConnectionId id) const { return state_->owned(id); }

std::size_t Engine::write(ConnectionId id, Bytes data, Connection::WriteFlags flags, Instant now) {
  Connection* c = state_->owned(id);
  if (c == nullptr) return 0;
  const std::size_t taken = c->write(data, flags, state_->env, now);
  state_->settle(*c, now);
  return taken;
}

std::size_t Engine::read(ConnectionId id, MutableBytes out, Instant now) {
  Connection* c = state_->owned(id);
  if (c == nullptr) return 0;
  const std::size_t count = c->read(out, state_->env, now);
  state_->settle(*c, now);
  return count;
}

Frame Engine::lend(ConnectionId id, Instant now) {
  Connection* c = state_->owned(id);
  if (c == nullptr) return {};
  Frame frame = c->lend(state_->env, now);
  state_->settle(*c, now);
  return frame;
}

std::size_t Engine::discard(ConnectionId id, std::size_t count, Instant now) {
  Connection* c = state_->owned(id);
  if (c == nullptr) return 0;
  const std::size_t dropped = c->discard(count, state_->env, now);
  state_->settle(*c, now);
  return dropped;
}

void Engine::shutdown_send(ConnectionId id, Instant now) {
  Connection* c = state_->owned(id);
  if (c == nullptr) return;
  c->shutdown_send(state_->env, now);
  state_->settle(*c, now);
}

void Engine::shutdown_receive(ConnectionId id, Instant now) {
  Connection* c = state_->owned(id);
  if (c == nullptr) return;
  c->shutdown_receive();
  state_->settle(*c, now);
}

void Engine::close(ConnectionId id, Instant now) {
  State_& s = *state_;
  s.clock = now;
  Connection* c = s.owned(id);
  if (c == nullptr) return;
  c->close(s.env, now);
  s.detach(*c);
  // Linux: tcp_check_oom. Too many of these, and nobody who would read what they wait for.
  const bool too_many = s.orphans > static_cast<std::size_t>(std::max(s.knobs.tcp_max_orphans, 0));
  if (c->state() != State::kClosed && (too_many || (s.env.memory_exhausted() && c->unacked_bytes() > 0))) {
    s.counters.add(Counter::kTcpExtTCPAbortOnMemory);
    c->abort(CloseCause::kOutOfMemory, s.env, now);
  }
  s.settle(*c, now);
}

void Engine::abort(ConnectionId id, Instant now) {
  State_& s = *state_;
  s.clock = now;
  Connection* c = s.owned(id);
  if (c == nullptr) return;
  c->abort(CloseCause::kAborted, s.env, now);
  s.detach(*c);
  s.settle(*c, now);
}

SocketOptions* Engine::edit_options(ConnectionId id) {
  Connection* c = state_->owned(id);
  return c == nullptr ? nullptr : c->edit_options(state_->env);
}

void Engine::settle_options(ConnectionId id) {
  if (Connection* c = state_->owned(id)) c->settle_options(state_->env);
}

void Engine::options_changed(ConnectionId id, Instant now) {
  Connection* c = state_->owned(id);
  if (c == nullptr) return;
  c->settle_options(state_->env);
  c->on_options_changed(state_->env, now);
  state_->settle(*c, now);
}

void Engine::set_cork(ConnectionId id, bool on, Instant now) {
  Connection* c = state_->owned(id);
  if (c == nullptr) return;
  c->set_cork(on);
  if (on) return;
  c->push_held();
  state_->settle(*c, now);
}

void Engine::push_held(ConnectionId id, Instant now) {
  Connection* c = state_->owned(id);
  if (c == nullptr) return;
  c->push_held();
  state_->settle(*c, now);
}

void Engine::set_quickack(ConnectionId id, int value, Instant now) {
  Connection* c = state_->owned(id);
  if (c == nullptr) return;
  c->set_quickack(value);
  state_->settle(*c, now);
}

std::optional<TouchedSocket> Engine::poll_touched() {
  State_& s = *state_;
  TouchedLink* const what = s.touched.pop_front();
  if (what == nullptr) return std::nullopt;
  const std::uint8_t events = std::exchange(what->touched_events, std::uint8_t{0});
  if (what->is_listener)
    return TouchedSocket{{}, s.listeners.handle_of(static_cast<Listener&>(*what)), events};
  return TouchedSocket{s.connections.handle_of(static_cast<Connection&>(*what)), {}, events};
}

// ---- to look at ----

Engine::Gauges Engine::gauges() const {
  const State_& s = *state_;
  Gauges g;
  g.connections = s.connections.size();
  g.half_open = s.half_opens.size();
  g.time_wait = s.time_waits.size();
  g.listeners = s.listeners.size();
  g.orphans = s.orphans;
  g.transmissions = s.transmissions.size();
  g.chunks = s.chunks.in_use();
  return g;
}

std::optional<Engine::Found> Engine::find(const FourTuple& tuple) const {
  const State_& s = *state_;
  const auto ref = s.find(tuple);
  if (!ref) return std::nullopt;
  switch (ref->kind) {
    case RecordRef::Kind::kConnection:
      return Found{s.connections.at(ref->index)->state(), s.connections.at(ref->index)};
    case RecordRef::Kind::kHalfOpen:
      return Found{State::kSynReceived, nullptr};
    case RecordRef::Kind::kTimeWait:
      return Found{
          s.time_waits.at(ref->index)->has(TimeWait::kFinWait2) ? State::kFinWait2 : State::kTimeWait,
          nullptr};
  }
  return std::nullopt;
}

void Engine::for_each(void (*visit)(void*, const Row&), void* context, Instant now) const {
  const State_& s = *state_;
  s.listeners.for_each([&](const Listener& listener) {
    Row row;
    row.state = State::kListen;
    row.tuple.local = listener.local;
    row.receive_queue = listener.queued();
    row.send_queue = listener.backlog;
    row.subject = s.subject_of(listener);
    visit(context, row);
  });
  s.half_opens.for_each([&](const HalfOpen& request) {
    Row row;
    row.state = State::kSynReceived;
    row.tuple = request.tuple;
    row.timer_at = request.timer.deadline;
    row.timer = "on";
    row.retransmits = request.timeouts;
    row.subject = s.subject_of(request);
    visit(context, row);
  });
  s.connections.for_each([&](const Connection& c) {
    Row row;
    row.state = c.state();
    row.tuple = c.tuple();
    row.receive_queue = static_cast<std::uint32_t>(c.readable_bytes());
    row.send_queue = static_cast<std::uint32_t>(c.unacked_bytes());
    row.timer_at = c.next_deadline();
    const ConnectionInfo info = c.info(now);
    row.retransmits = info.retransmits;
    if (row.timer_at != kNever)
      row.timer = info.unacked > 0 ? "on" : info.probes > 0 ? "persist" : "keepalive";
    row.subject = c.subject();
    row.connection = &c;
    visit(context, row);
  });
  s.time_waits.for_each([&](const TimeWait& record) {
    Row row;
    row.state = record.has(TimeWait::kFinWait2) ? State::kFinWait2 : State::kTimeWait;
    row.tuple = record.tuple();
    row.timer_at = s.time_waits.deadline_of(record, s.clock);
    row.timer = "timewait";
    row.subject = s.subject_of(record);
    visit(context, row);
  });
}

}  // namespace tapir::tcp
