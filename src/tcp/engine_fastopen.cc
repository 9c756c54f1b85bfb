// SPDX-License-Identifier: Apache-2.0
// Fast Open in the engine: which SYNs begin a connection at once (Linux: tcp_try_fastopen), and how many may
// (RFC 7413 §5.1).
#include <algorithm>
#include <utility>

#include "tcp/engine_state.h"

namespace tapir::tcp {

using trace::Counter;
using trace::DropReason;

// ---- the server ----

void Engine::State_::make_fast_open_key() {
  if (knobs.tcp_fastopen_key) return;
  const std::uint64_t first = env.rng.next_u64();
  knobs.tcp_fastopen_key = FastOpenKeys{{first, env.rng.next_u64()}, std::nullopt};
}

void Engine::State_::drop_first_reset(Listener& listener) {
  ResetEntry& entry = *resets.at(listener.first_reset - 1);
  listener.first_reset = entry.next;
  if (listener.first_reset == 0) listener.last_reset = 0;
  resets.erase(entry);
  --listener.fast_open_pending;
}

// Linux: tcp_fastopen_queue_check.
bool Engine::State_::fast_open_room(Listener& listener, Instant now) {
  if (listener.options.fast_open_queue == 0) return false;
  if (listener.fast_open_pending < listener.options.fast_open_queue) return true;
  if (listener.first_reset == 0 || resets.at(listener.first_reset - 1)->expires > now) {
    counters.add(Counter::kTcpExtTCPFastOpenListenOverflow);
    return false;
  }
  drop_first_reset(listener);
  return true;
}

bool Engine::State_::try_fast_open(Listener& listener, Incoming& in, HalfOpen& request, const Path& path,
                                   std::optional<wire::FastOpenOption>& option) {
  const std::optional<wire::FastOpenOption>& shown = in.segment.options.fast_open;
  if (shown && shown->length == 0) counters.add(Counter::kTcpExtTCPFastOpenCookieReqd);
  const bool asks = shown || !in.segment.payload.empty();
  if ((knobs.tcp_fastopen & kFastOpenServer) == 0 || !asks || !fast_open_room(listener, in.now)) return false;
  if (listener.options.fast_open_no_cookie || (knobs.tcp_fastopen & kFastOpenServerNoCookie) != 0) {
    if (begin_fast_open(listener, in, request, path, std::nullopt)) return true;
  }
  if (!shown) return false;
  make_fast_open_key();
  const FastOpenKeys& keys = listener.fast_open_keys ? *listener.fast_open_keys : *knobs.tcp_fastopen_key;
  const IpAddress& client = in.tuple.remote.address;
  const IpAddress& server = in.tuple.local.address;
  const wire::FastOpenOption fresh = fast_open_cookie(keys.primary, client, server, shown->experimental);
  const int made_with = shown->length == 0 ? 0 : fast_open_cookie_matches(keys, *shown, client, server);
  if (made_with != 0) {
    // A cookie of the old key is good, and replaced.
    if (begin_fast_open(listener, in, request, path, made_with == 2 ? std::optional(fresh) : std::nullopt))
      return true;
  } else if (shown->length != 0) {
    counters.add(Counter::kTcpExtTCPFastOpenPassiveFail);
  }
  option = fresh;
  return false;
}

// Linux: tcp_fastopen_create_child. False: it could not be; the handshake goes on without.
bool Engine::State_::begin_fast_open(Listener& listener, Incoming& in, const HalfOpen& request,
                                     const Path& path, const std::optional<wire::FastOpenOption>& option) {
  FastOpenRequest pending;
  pending.request = request;
  pending.listener = listeners.handle_of(listener);
  pending.option = option;
  Connection* c = make_connection(inherited_options(listener), path);
  if (c != nullptr && (!inherit_key(*c, listener, request.tuple.remote.address) ||
                       !established.insert(request.tuple, ref_of(*c)) ||
                       !listener.enqueue(connections.handle_of(*c), accepts))) {
    established.erase(request.tuple, ref_of(*c));
    erase(*c);
    c = nullptr;
  }
  if (c == nullptr) {
    counters.add(Counter::kTcpExtTCPFastOpenPassiveFail);
    return false;
  }
  trace_born(Event::kConnectionBorn, request.tuple, 1, c->subject(), in.now);
  ++listener.fast_open_pending;
  counters.add(Counter::kTcpPassiveOpens);
  if (c->open_fast(pending, ts_offset(request), path, in.segment, std::move(in.frame), env, in.now)) {
    counters.add(Counter::kTcpExtTCPFastOpenPassive);
  } else {
    // It is in the queue: accept() tells that there was no memory for it.
    --listener.fast_open_pending;
    c->abort(CloseCause::kOutOfMemory, env, in.now);
  }
  touch(listener, kTouchedAccepted | kTouchedReadable);
  const ConnectionId id = connections.handle_of(*c);
  if (settle(*c, in.now)) due = id;
  return true;
}

void Engine::State_::end_fast_open(Connection& c, Instant now) {
  const Connection::FastOpenEnd end = c.take_fast_open_end(env);
  Listener* listener = listeners.get(Handle<Listener>::unpack(end.listener));
  if (listener == nullptr) return;
  if (end.reset_after_accept) {
    const Handle<ResetEntry> entry = resets.emplace(ResetEntry{now + kFastOpenResetTime, 0});
    if (entry) {
      (listener->last_reset == 0 ? listener->first_reset : resets.at(listener->last_reset - 1)->next) =
          entry.index + 1;
      listener->last_reset = entry.index + 1;
      return;  // it counts on
    }
  }
  --listener->fast_open_pending;
}

void Engine::set_fast_open_queue(ListenerId id, int most) {
  Listener* listener = state_->listeners.get(id);
  if (listener == nullptr) return;
  listener->options.fast_open_queue =
      static_cast<std::uint16_t>(std::clamp(std::min(most, state_->knobs.somaxconn), 0, 0xffff));
  state_->make_fast_open_key();
}

void Engine::set_fast_open_keys(ListenerId id, const FastOpenKeys& keys) {
  if (Listener* listener = state_->listeners.get(id)) listener->fast_open_keys = keys;
}

// ---- the client ----

FastOpenClient& Engine::fast_open() { return state_->fast_open; }

void Engine::ask_fast_open(ConnectionId id, bool defer) {
  if (Connection* c = state_->owned(id)) c->ask_fast_open(defer);
}

std::size_t Engine::add_syn_data(ConnectionId id, Bytes data, Instant now) {
  Connection* c = state_->owned(id);
  return c != nullptr ? c->add_syn_data(data, state_->env, now) : 0;
}

void Engine::release_syn(ConnectionId id, Instant now) {
  Connection* c = state_->owned(id);
  if (c == nullptr) return;
  c->release_syn(now);
  state_->settle(*c, now);
}

}  // namespace tapir::tcp
