// SPDX-License-Identifier: Apache-2.0
// Signed segments (RFC 2385; Linux: tcp_inbound_md5_hash, tcp_v4_md5_hash_skb): whose key applies, what is
// let in, and the digest of what leaves.
#include <algorithm>

#include "tcp/engine_state.h"

namespace tapir::tcp {

using trace::Counter;
using trace::DropReason;

namespace {

// The option stands first, behind two no-operations, a kind and a length.
constexpr std::size_t kDigestOffset = wire::kTcpHeaderMin + 4;

}  // namespace

// ---- in ----

const Md5Key* Engine::State_::key_of(const RecordRef& ref) const {
  switch (ref.kind) {
    case RecordRef::Kind::kConnection:
      return md5_keys.first(connections.at(ref.index)->md5_keys);
    case RecordRef::Kind::kHalfOpen: {
      const HalfOpen& request = *half_opens.at(ref.index);
      return md5_keys.find(listeners.at(request.listener)->md5_keys, request.tuple.remote.address);
    }
    case RecordRef::Kind::kTimeWait:
      return md5_keys.of_owner(time_wait_keys, ref.index);
  }
  return nullptr;
}

bool Engine::State_::signed_by(const Md5Key& key, const wire::TcpSegment& segment, Bytes bytes,
                               const Arrival& arrival) const {
  const Bytes payload = bytes.subspan(segment.header_length);
  return *segment.options.md5 == md5_signature(arrival.source, arrival.destination,
                                               bytes.first(segment.header_length), {&payload, 1}, key);
}

bool Engine::State_::check_signature(const wire::TcpSegment& segment, Bytes bytes, const Arrival& arrival,
                                     const FourTuple& tuple, const std::optional<RecordRef>& ref,
                                     const Md5Key*& key, Instant now) {
  // A SYN may be for the listener though something is left of an old connection.
  const bool left = ref && ref->kind == RecordRef::Kind::kTimeWait;
  const bool opens = !ref || (left && segment.has(wire::kSyn) && !segment.has(wire::kAck));
  const Listener* const listener = opens ? listening.lookup(tuple, arrival.interface, listeners) : nullptr;
  const bool digest = segment.options.md5.has_value();
  if (!ref && listener == nullptr) {
    // Nobody's. A RST to a peer that signs wants a signature, too: by the key of a listener that has the
    // peer's port, as in Linux.
    if (!digest) return true;
    const Listener* const keeper = listening.lookup({{arrival.destination, segment.src_port}, tuple.remote},
                                                    arrival.interface, listeners);
    key = keeper == nullptr ? nullptr : md5_keys.find(keeper->md5_keys, arrival.source);
    if (key != nullptr && signed_by(*key, segment, bytes, arrival)) return true;
    drop(DropReason::kTcpMd5Unexpected, 0, now);
    return false;
  }
  key = listener == nullptr ? key_of(*ref) : md5_keys.find(listener->md5_keys, arrival.source);
  // What is left of a connection answers whoever is out of place; its answers are signed.
  if (left && listener == nullptr) return true;
  const auto refuse = [&](Counter counter, DropReason reason) {
    counters.add(counter);
    drop(reason, 0, now);
    return false;
  };
  if (key == nullptr)
    return digest ? refuse(Counter::kTcpExtTCPMD5Unexpected, DropReason::kTcpMd5Unexpected) : true;
  if (!digest) return refuse(Counter::kTcpExtTCPMD5NotFound, DropReason::kTcpMd5NotFound);
  if (!signed_by(*key, segment, bytes, arrival))
    return refuse(Counter::kTcpExtTCPMD5Failure, DropReason::kTcpMd5Failure);
  return true;
}

// ---- out ----

void Engine::State_::sign(OutgoingFrame& out, const FourTuple& tuple, const Md5Key& key) const {
  const MutableBytes header = out.mutable_header();
  const Md5Digest digest =
      md5_signature(tuple.local.address, tuple.remote.address, header, out.payload(), key);
  std::copy(digest.begin(), digest.end(), header.begin() + kDigestOffset);
}

wire::TcpSegment Engine::State_::with_signature(wire::TcpSegment segment, const FourTuple& tuple,
                                                const Md5Key* key) const {
  if (key == nullptr) return segment;
  segment.options.md5.emplace();
  std::array<std::uint8_t, wire::kTcpHeaderMin + wire::kTcpOptionBytesMax> header{};
  const std::size_t length = wire::emit_tcp(segment, header);
  segment.options.md5 =
      md5_signature(tuple.local.address, tuple.remote.address, Bytes(header).first(length), {}, *key);
  return segment;
}

// ---- whose keys ----

bool Engine::State_::inherit_key(Connection& c, const Listener& listener, const IpAddress& peer) {
  const Md5Key* const key = md5_keys.find(listener.md5_keys, peer);
  return key == nullptr || md5_keys.set(c.md5_keys, Md5Key(*key));
}

bool Engine::set_md5_key(ListenerId id, const Md5Key& key) {
  Listener* listener = state_->listeners.get(id);
  return listener != nullptr && state_->md5_keys.set(listener->md5_keys, key);
}

void Engine::remove_md5_key(ListenerId id, const IpAddress& address, std::uint8_t prefix_length) {
  if (Listener* listener = state_->listeners.get(id))
    (void)state_->md5_keys.remove(listener->md5_keys, address, prefix_length);
}

bool Engine::sign_with(ConnectionId id, const Md5Key* key, Instant now) {
  State_& s = *state_;
  s.clock = now;
  Connection* c = s.owned(id);
  if (c == nullptr) return true;
  s.md5_keys.clear(c->md5_keys);
  const bool kept = key == nullptr || s.md5_keys.set(c->md5_keys, *key);
  c->on_signing_changed(s.env);
  s.settle(*c, now);
  return kept;
}

const Md5Key* Engine::signing_key(ConnectionId id) const {
  const Connection* c = state_->connections.get(id);
  return c == nullptr ? nullptr : state_->md5_keys.first(c->md5_keys);
}

}  // namespace tapir::tcp
