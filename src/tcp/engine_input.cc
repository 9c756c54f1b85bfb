// SPDX-License-Identifier: Apache-2.0
// What arrives: whose segment it is, and what each kind of owner does with it (Linux: tcp_v4_rcv).
#include <algorithm>
#include <utility>

#include "tcp/engine_state.h"
#include "tcp/paws.h"
#include "tcp/reset.h"
#include "wire/checksum.h"

namespace tapir::tcp {

using trace::Counter;
using trace::DropReason;

void Engine::on_datagram(Frame frame, const Arrival& arrival, Instant now) {
  State_& s = *state_;
  s.clock = now;
  s.due = {};
  s.counters.add(Counter::kTcpInSegs);
  const auto refuse = [&](DropReason reason) {
    s.counters.add(Counter::kTcpInErrs);
    s.drop(reason, 0, now);
  };
  const auto segment = wire::parse_tcp(frame.bytes());
  if (!segment) return refuse(DropReason::kTcpHeader);
  if (frame.meta().checksum == ChecksumState::kNone &&
      wire::transport_checksum(arrival.source, arrival.destination, IpProtocol::kTcp, frame.bytes()) != 0) {
    s.counters.add(Counter::kTcpInCsumErrors);
    return refuse(DropReason::kTcpCsum);
  }
  if (arrival.destination.is_multicast() || arrival.destination.is_broadcast() ||
      arrival.source.is_multicast())
    return s.drop(DropReason::kTcpMulticast, 0, now);

  const FourTuple tuple{{arrival.destination, segment->dst_port}, {arrival.source, segment->src_port}};
  const auto ref = s.find(tuple);
  const Md5Key* key = nullptr;
  if ((segment->options.md5 || s.md5_keys.any()) &&
      !s.check_signature(*segment, frame.bytes(), arrival, tuple, ref, key, now))
    return;
  SegmentContext context;
  context.ecn = arrival.ecn;
  context.interface = arrival.interface;
  context.gso_size = frame.meta().gso.type == GsoType::kNone ? std::uint16_t{0} : frame.meta().gso.size;
  frame.trim_front(segment->header_length);
  State_::Incoming in{*segment, arrival, tuple, std::move(frame), context, now, key};

  if (ref) {
    switch (ref->kind) {
      case RecordRef::Kind::kConnection:
        return s.on_connection_segment(*s.connections.at(ref->index), in);
      case RecordRef::Kind::kHalfOpen:
        return s.on_half_open_segment(*s.half_opens.at(ref->index), in);
      case RecordRef::Kind::kTimeWait:
        return s.on_time_wait_segment(*s.time_waits.at(ref->index), in);
    }
  }
  if (Listener* listener = s.listening.lookup(in.tuple, arrival.interface, s.listeners)) {
    s.trace(Event::kSegmentIn, *segment, static_cast<std::uint32_t>(segment->payload.size()),
            s.subject_of(*listener), now);
    return s.on_listener_segment(*listener, in);
  }
  s.trace(Event::kSegmentIn, *segment, static_cast<std::uint32_t>(segment->payload.size()), 0, now);
  s.reset_answer(in);
  s.drop(DropReason::kNoSocket, 0, now);
}

void Engine::State_::reset_answer(const Incoming& in) {
  if (const auto reset = build_reset(in.segment))
    reply(in.arrival, with_signature(*reset, in.tuple, in.key), in.arrival.tos, 0, in.now);
}

// ---- a connection ----

void Engine::State_::on_connection_segment(Connection& c, Incoming& in) {
  const ConnectionId id = connections.handle_of(c);
  c.on_segment(in.segment, in.context, std::move(in.frame), env, in.now);
  const bool owes = c.output_due();
  if (settle(c, in.now) && owes) due = id;
}

// ---- a half-open connection ----

void Engine::State_::add_half_open(const HalfOpen& request, Listener& listener,
                                   const std::optional<wire::FastOpenOption>& option, Instant now) {
  const Handle<HalfOpen> handle = half_opens.emplace(request);
  HalfOpen* record = half_opens.get(handle);
  const RecordRef ref{RecordRef::Kind::kHalfOpen, handle.index};
  if (record == nullptr || !established.insert(request.tuple, ref)) {
    if (record != nullptr) half_opens.erase(*record);
    counters.add(Counter::kTcpExtListenDrops);
    return drop(DropReason::kMemory, subject_of(listener), now);
  }
  record->listener = listeners.handle_of(listener).index;
  record->timer.owner = handle.index;
  record->timer.kind = static_cast<std::uint8_t>(RecordRef::Kind::kHalfOpen);
  record->next = listener.first_half_open;
  if (record->next != 0) half_opens.at(record->next - 1)->prev = handle.index + 1;
  listener.first_half_open = handle.index + 1;
  ++listener.half_open;
  ++listener.young;
  trace_born(Event::kHalfOpenBorn, request.tuple, 0, subject_of(*record), now);
  send_syn_ack(*record, listener, option, now);
  record->first_ts_value = timestamp_clock(now) + ts_offset(*record);
  wheel.arm(record->timer, later(now, record->timeout(knobs)));
}

void Engine::State_::remove_half_open(HalfOpen& request, HalfOpenEnd why, Instant now) {
  tracer.emit(now, Event::kHalfOpenGone, subject_of(request), static_cast<std::uint64_t>(why));
  Listener& listener = *listeners.at(request.listener);
  const std::uint32_t index = half_opens.handle_of(request).index;
  (request.prev == 0 ? listener.first_half_open : half_opens.at(request.prev - 1)->next) = request.next;
  if (request.next != 0) half_opens.at(request.next - 1)->prev = request.prev;
  --listener.half_open;
  if (request.timeouts == 0) --listener.young;
  wheel.cancel(request.timer);
  established.erase(request.tuple, {RecordRef::Kind::kHalfOpen, index});
  half_opens.erase(request);
}

void Engine::State_::send_syn_ack(HalfOpen& request, const Listener& listener,
                                  const std::optional<wire::FastOpenOption>& option, Instant now) {
  request.syn_ack_sent_at = now;
  wire::TcpSegment syn_ack = request.syn_ack(timestamp_clock(now) + ts_offset(request));
  syn_ack.options.fast_open = option;
  const Md5Key* const key =
      listener.md5_keys == 0 ? nullptr : md5_keys.find(listener.md5_keys, request.tuple.remote.address);
  if (key != nullptr) syn_ack.options.md5.emplace();
  if (wire::tcp_options_length(syn_ack.options, true) > wire::kTcpOptionBytesMax)
    syn_ack.options.fast_open.reset();
  reply(request.tuple.local.address, request.tuple.remote.address, request.interface,
        with_signature(syn_ack, request.tuple, key), listener.options.tos, subject_of(request), now);
}

void Engine::State_::resend_syn_ack(HalfOpen& request, const Listener& listener, Instant now) {
  counters.add(Counter::kTcpRetransSegs);
  counters.add(Counter::kTcpExtTCPSynRetrans);
  if (request.retransmits != 255) ++request.retransmits;
  tracer.emit(now, Event::kRetransmit, subject_of(request), request.iss.value(), request.iss.value() + 1,
              request.retransmits);
  send_syn_ack(request, listener, std::nullopt, now);  // without the cookie: it may be what got lost
}

void Engine::State_::on_half_open_timer(HalfOpen& request, Instant now) {
  Listener& listener = *listeners.at(request.listener);
  counters.add(Counter::kTcpExtTCPTimeouts);
  tracer.emit(now, Event::kTimerFired, subject_of(request), static_cast<std::uint64_t>(Timer::kRetransmit));
  const HalfOpen::TimerVerdict verdict =
      request.on_timer(listener.syn_ack_retries(knobs), listener.options.defer_accept);
  if (verdict.expire) return remove_half_open(request, HalfOpenEnd::kTimedOut, now);
  if (verdict.resend) resend_syn_ack(request, listener, now);
  if (request.timeouts == 0) --listener.young;
  if (request.timeouts != 255) ++request.timeouts;
  wheel.arm(request.timer, later(now, request.timeout(knobs)));
}

void Engine::State_::on_half_open_segment(HalfOpen& request, Incoming& in) {
  using Kind = HalfOpen::Verdict::Kind;
  const Instant now = in.now;
  Listener& listener = *listeners.at(request.listener);
  const trace::Subject subject = subject_of(request);
  const std::uint32_t offset = ts_offset(request);
  trace(Event::kSegmentIn, in.segment, static_cast<std::uint32_t>(in.segment.payload.size()), subject, now);
  const HalfOpen::Verdict verdict =
      request.on_segment(in.segment, offset, listener.options.defer_accept, knobs, counters, now);
  switch (verdict.kind) {
    case Kind::kDrop:
      return drop(verdict.reason, subject, now);
    case Kind::kSynAck:
      resend_syn_ack(request, listener, now);
      wheel.arm(request.timer, later(now, request.timeout(knobs)));
      return;
    case Kind::kAck:
      reply(in.arrival, with_signature(request.ack(timestamp_clock(now) + offset), in.tuple, in.key),
            listener.options.tos, subject, now);
      return drop(verdict.reason, subject, now);
    case Kind::kListener:
      return on_listener_segment(listener, in);
    case Kind::kResetAndEnd:
      reset_answer(in);
      remove_half_open(request, HalfOpenEnd::kReset, now);
      return drop(verdict.reason, subject, now);
    case Kind::kEnd:
      remove_half_open(request, HalfOpenEnd::kReset, now);
      return drop(verdict.reason, subject, now);
    case Kind::kComplete:
      break;
  }
  if (Connection* c = become_connection(listener, request.handshake(offset), &request, now)) {
    on_connection_segment(*c, in);
    return;
  }
  // The accept queue is full: as if the ACK had been lost, unless the administrator wants the peer to know.
  if (knobs.tcp_abort_on_overflow != 0) {
    reset_answer(in);
    counters.add(Counter::kTcpExtEmbryonicRsts);
    remove_half_open(request, HalfOpenEnd::kReset, now);
  } else {
    request.flags |= HalfOpen::kAcked;
  }
  drop(DropReason::kTcpListenOverflow, subject, now);
}

// Linux: tcp_v4_syn_recv_sock.
Connection* Engine::State_::become_connection(Listener& listener, const Handshake& handshake,
                                              HalfOpen* request, Instant now) {
  if (listener.accept_queue_full()) {
    counters.add(Counter::kTcpExtListenOverflows);
    counters.add(Counter::kTcpExtListenDrops);
    tracer.emit(now, Event::kListenOverflow, subject_of(listener), listener.queued(), listener.backlog);
    return nullptr;
  }
  const auto path =
      paths.find_path(handshake.tuple.local.address, handshake.tuple.remote.address, listener.bound);
  Connection* c = path ? make_connection(inherited_options(listener), *path) : nullptr;
  if (c == nullptr || !inherit_key(*c, listener, handshake.tuple.remote.address) ||
      !listener.enqueue(connections.handle_of(*c), accepts)) {
    if (c != nullptr) erase(*c);
    counters.add(Counter::kTcpExtListenDrops);
    return nullptr;
  }
  if (request != nullptr) remove_half_open(*request, HalfOpenEnd::kCompleted, now);
  trace_born(Event::kConnectionBorn, handshake.tuple, 1, c->subject(), now);
  c->open_passive(handshake, *path, env, now);
  counters.add(Counter::kTcpPassiveOpens);
  if (!established.insert(handshake.tuple, ref_of(*c))) {
    // Nothing would find it: it ends at once, and accept() tells.
    c->abort(CloseCause::kOutOfMemory, env, now);
  }
  touch(listener, kTouchedAccepted | kTouchedReadable);
  return c;
}

// ---- TIME-WAIT ----

void Engine::State_::on_time_wait_segment(TimeWait& record, Incoming& in) {
  using Kind = TimeWaitTable::Verdict::Kind;
  const Instant now = in.now;
  const trace::Subject subject = subject_of(record);
  trace(Event::kSegmentIn, in.segment, static_cast<std::uint32_t>(in.segment.payload.size()), subject, now);
  const TimeWaitTable::Verdict verdict = time_waits.on_segment(record, in.segment, knobs, counters, now);
  switch (verdict.kind) {
    case Kind::kDrop:
      break;
    case Kind::kNewSyn:
      if (Listener* listener = listening.lookup(in.tuple, in.arrival.interface, listeners)) {
        const SeqNum iss = record.next_iss();
        remove_time_wait(record, TimeWaitEnd::kRecycled, now);
        return on_syn(*listener, in, iss);
      }
      [[fallthrough]];
    case Kind::kAck: {
      const std::uint32_t offset =
          record.has(TimeWait::kOffset)
              ? isns.timestamp_offset(in.tuple.local.address, in.tuple.remote.address)
              : 0;
      reply(in.arrival, with_signature(record.ack(timestamp_clock(now) + offset), in.tuple, in.key),
            record.tos, subject, now);
      break;
    }
    case Kind::kReset:
      reset_answer(in);
      remove_time_wait(record, TimeWaitEnd::kReset, now);
      break;
    case Kind::kEnd:
      remove_time_wait(record, TimeWaitEnd::kReset, now);
      break;
  }
  drop(verdict.reason, subject, now);
}

// ---- a listener ----

// RFC 9293 §3.10.7.2: RST, ACK, SYN, others, in Linux's order.
void Engine::State_::on_listener_segment(Listener& listener, Incoming& in) {
  const wire::TcpSegment& segment = in.segment;
  const trace::Subject subject = subject_of(listener);
  if (segment.has(wire::kRst)) return drop(DropReason::kTcpReset, subject, in.now);
  if (segment.has(wire::kAck)) {
    if (!segment.has(wire::kSyn)) return on_cookie(listener, in);
    reset_answer(in);
    return drop(DropReason::kTcpFlags, subject, in.now);
  }
  if (!segment.has(wire::kSyn) || segment.has(wire::kFin))
    return drop(DropReason::kTcpFlags, subject, in.now);
  on_syn(listener, in, std::nullopt);
}

std::uint16_t Engine::State_::announced_mss(const Listener& listener, const Path& path) const {
  return listener.options.max_segment != 0 ? std::min(listener.options.max_segment, path.advmss)
                                           : path.advmss;
}

// Linux: tcp_openreq_init_rwin.
InitialWindow Engine::State_::window_for(const Listener& listener, const Path& path, std::uint16_t mss,
                                         bool scaling) const {
  const bool fixed = listener.options.receive_buffer != 0;
  std::int64_t space = window_from_buffer(fixed ? listener.options.receive_buffer : knobs.tcp_rmem[1]);
  std::uint32_t clamp = listener.options.window_clamp;
  if (fixed && (clamp == 0 || std::int64_t{clamp} > space))
    clamp = static_cast<std::uint32_t>(std::clamp<std::int64_t>(space, 1, 0xffffffff));
  if (path.initrwnd != 0) space = std::max<std::int64_t>(space, std::int64_t{path.initrwnd} * mss);
  return select_initial_window(space, mss, clamp, scaling, path.initrwnd, knobs);
}

// A SYN that may begin a connection (Linux: tcp_conn_request). `iss`: it reopens one in TIME-WAIT, from there
// on.
void Engine::State_::on_syn(Listener& listener, Incoming& in, std::optional<SeqNum> iss) {
  const Instant now = in.now;
  const trace::Subject subject = subject_of(listener);
  const Listener::SynVerdict verdict = listener.on_syn(iss.has_value(), knobs, counters);
  if (verdict.kind == Listener::SynVerdict::Kind::kDrop) {
    const bool accepts_full = verdict.reason == DropReason::kTcpListenOverflow;
    tracer.emit(now, accepts_full ? Event::kListenOverflow : Event::kSynQueueFull, subject,
                accepts_full ? listener.queued() : listener.half_open, listener.backlog);
    return drop(verdict.reason, subject, now);
  }
  const auto path = paths.find_path(in.tuple.local.address, in.tuple.remote.address, listener.bound);
  if (!path) {
    counters.add(Counter::kTcpExtListenDrops);
    return drop(DropReason::kIpOutNoRoutes, subject, now);
  }
  HalfOpen request = HalfOpen::from_syn(in.segment, in.tuple, in.arrival.interface, in.arrival.ecn,
                                        listener.options.max_segment, knobs);
  // With a signature there is no room for timestamps and SACK blocks both (Linux: tcp_synack_options).
  if (in.key != nullptr && request.has(HalfOpen::kSack))
    request.flags = static_cast<std::uint8_t>(request.flags & ~(HalfOpen::kTimestamps | HalfOpen::kOffset));
  const bool cookie = verdict.kind == Listener::SynVerdict::Kind::kCookie;
  // A cookie has no room for options; our timestamp has, if the peer sends it back.
  if (cookie && !request.has(HalfOpen::kTimestamps)) request.flags = 0;
  request.announced_mss = announced_mss(listener, *path);
  const auto mss =
      static_cast<std::uint16_t>(request.announced_mss - (request.has(HalfOpen::kTimestamps) ? 12 : 0));
  request.set_window(window_for(listener, *path, mss, request.has(HalfOpen::kWindowScaling)));
  if (!cookie) {
    request.iss = iss ? *iss : isns.iss(in.tuple, now);
    std::optional<wire::FastOpenOption> option;
    if (try_fast_open(listener, in, request, *path, option)) return;
    return add_half_open(request, listener, option, now);
  }
  request.iss = cookies.make(in.tuple, request.irs, request.peer_mss, now);
  listener.note_cookie_sent(now);
  counters.add(Counter::kTcpExtSyncookiesSent);
  CookieOptions options;
  if (request.has(HalfOpen::kWindowScaling)) options.window_scale = request.snd_wscale;
  options.sack = request.has(HalfOpen::kSack);
  options.ecn = request.has(HalfOpen::kEcn);
  tracer.emit(now, Event::kCookieSent, subject, request.iss.value());
  const wire::TcpSegment syn_ack =
      request.syn_ack(cookie_timestamp(options, timestamp_clock(now)) + ts_offset(request));
  reply(in.arrival, with_signature(syn_ack, in.tuple, in.key), listener.options.tos, subject, now);
}

// An ACK that no half-open connection waits for: it may bring back a cookie (Linux: cookie_v4_check).
void Engine::State_::on_cookie(Listener& listener, Incoming& in) {
  const Instant now = in.now;
  const wire::TcpSegment& segment = in.segment;
  const trace::Subject subject = subject_of(listener);
  const auto refuse = [&](DropReason reason) {
    reset_answer(in);
    drop(reason, subject, now);
  };
  if (knobs.tcp_syncookies == 0 || !listener.cookies_expected(now)) return refuse(DropReason::kTcpFlags);
  const SeqNum iss = segment.ack - 1;
  const SeqNum irs = segment.seq - 1;
  const auto mss = cookies.check(in.tuple, irs, iss, now);
  if (!mss) {
    counters.add(Counter::kTcpExtSyncookiesFailed);
    return refuse(DropReason::kTcpCookie);
  }
  counters.add(Counter::kTcpExtSyncookiesRecv);
  Handshake handshake;
  if (segment.options.timestamps) {
    const std::uint32_t offset = ts_offset(in.tuple);
    const auto options = cookie_options(segment.options.timestamps->echo - offset, knobs);
    if (!options) return refuse(DropReason::kTcpCookie);
    handshake.timestamps = true;
    handshake.ts_recent = segment.options.timestamps->value;
    handshake.ts_offset = offset;
    handshake.sack = options->sack;
    handshake.ecn = options->ecn;
    handshake.window_scaling = options->window_scale.has_value();
    handshake.snd_wscale = options->window_scale.value_or(0);
  }
  const auto path = paths.find_path(in.tuple.local.address, in.tuple.remote.address, listener.bound);
  if (!path) {
    counters.add(Counter::kTcpExtListenDrops);
    return drop(DropReason::kIpOutNoRoutes, subject, now);
  }
  const auto our_mss =
      static_cast<std::uint16_t>(announced_mss(listener, *path) - (handshake.timestamps ? 12 : 0));
  const InitialWindow window = window_for(listener, *path, our_mss, handshake.window_scaling);
  handshake.tuple = in.tuple;
  handshake.iss = iss;
  handshake.irs = irs;
  handshake.snd_una = segment.ack;
  handshake.peer_mss =
      listener.options.max_segment != 0 ? std::min(*mss, listener.options.max_segment) : *mss;
  handshake.rcv_wnd = window.rcv_wnd;
  handshake.rcv_wscale = window.wscale;
  handshake.window_clamp = window.window_clamp;
  handshake.syn_ack_sent_at = kNever;  // nobody remembers
  if (Connection* c = become_connection(listener, handshake, nullptr, now)) {
    tracer.emit(now, Event::kCookieAccepted, subject, iss.value());
    return on_connection_segment(*c, in);
  }
  drop(DropReason::kTcpListenOverflow, subject, now);
}

// ---- errors of delivery ----

ConnectionId Engine::on_delivery_error(const DeliveryError& error, Instant now) {
  State_& s = *state_;
  s.clock = now;
  const auto ref = s.find(error.quoted);
  if (!ref || ref->kind == RecordRef::Kind::kTimeWait) {
    if (!ref) s.drop(DropReason::kIcmpNoFlow, 0, now);
    return {};
  }
  if (ref->kind == RecordRef::Kind::kConnection) {
    Connection& c = *s.connections.at(ref->index);
    const ConnectionId id = s.connections.handle_of(c);
    const bool opening = c.state() == State::kSynSent || c.state() == State::kSynReceived;
    c.on_delivery_error(error, s.env, now);
    // The path MTU has just been learnt: what was too big is cut again and leaves at once (Linux:
    // tcp_v4_mtu_reduced).
    if (error.kind == DeliveryErrorKind::kFragmentationNeeded && c.state() != State::kClosed) {
      on_routes_changed(now);
      s.refresh_path(c, now);
    }
    const bool ended = c.state() == State::kClosed;
    s.settle(c, now);
    return opening && ended ? id : ConnectionId{};
  }
  // Linux: tcp_req_err. Only what quotes our SYN-ACK counts, and only what says that the peer cannot be
  // reached.
  HalfOpen& request = *s.half_opens.at(ref->index);
  if (!error.quoted_seq || *error.quoted_seq != request.iss) {
    s.counters.add(Counter::kTcpExtOutOfWindowIcmps);
    s.drop(DropReason::kIcmpNotInFlight, s.subject_of(request), now);
    return {};
  }
  switch (error.kind) {
    case DeliveryErrorKind::kNetUnreachable:
    case DeliveryErrorKind::kHostUnreachable:
    case DeliveryErrorKind::kTimeExceeded:
    case DeliveryErrorKind::kParameterProblem:
      s.counters.add(Counter::kTcpExtListenDrops);
      s.remove_half_open(request, HalfOpenEnd::kDeliveryError, now);
      break;
    default:
      break;
  }
  return {};
}

bool Engine::quotes_in_flight(const DeliveryError& error) const {
  const auto ref = state_->find(error.quoted);
  if (!ref || ref->kind != RecordRef::Kind::kConnection || !error.quoted_seq) return false;
  return state_->connections.at(ref->index)->in_flight(*error.quoted_seq);
}

}  // namespace tapir::tcp
