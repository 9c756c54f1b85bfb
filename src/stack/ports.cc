// SPDX-License-Identifier: Apache-2.0
#include "stack/ports.h"

#include <algorithm>
#include <bitset>
#include <memory>
#include <utility>

#include "inet/flow_hash.h"

namespace tapir::stack {

Ports::Ports(SipKey key, Rng rng, const tcp::Knobs& knobs, ChargeHook hook)
    : key_(key),
      connect_key_{rng.next_u64(), rng.next_u64()},
      rng_(rng),
      knobs_(knobs),
      bindings_(kBindingsMax, hook),
      buckets_(2 * 65536, hook),
      table_(2 * 65536, hook) {}

Ports::~Ports() {
  buckets_.for_each([](Bucket& bucket) { bucket.bindings.clear(); });
}

std::uint64_t Ports::hash_of(IpProtocol protocol, std::uint16_t port) const {
  return siphash_1_3(key_, std::array<std::uint64_t, 1>{static_cast<std::uint64_t>(protocol) << 16 | port});
}

Ports::Bucket* Ports::find(IpProtocol protocol, std::uint16_t port) const {
  const auto index = table_.find(hash_of(protocol, port), [&](std::uint32_t i) {
    const Bucket* bucket = buckets_.at(i);
    return bucket->protocol == protocol && bucket->port == port;
  });
  return index ? buckets_.at(*index) : nullptr;
}

Ports::Bucket* Ports::find_or_create(IpProtocol protocol, std::uint16_t port) {
  if (Bucket* bucket = find(protocol, port)) return bucket;
  const Handle<Bucket> handle = buckets_.emplace();
  if (!handle) return nullptr;
  if (!table_.insert(hash_of(protocol, port), handle.index)) {
    buckets_.erase(handle);
    return nullptr;
  }
  Bucket* bucket = buckets_.get(handle);
  bucket->protocol = protocol;
  bucket->port = port;
  return bucket;
}

void Ports::drop_if_unused(Bucket& bucket) {
  if (!bucket.bindings.empty() || bucket.leftovers) return;
  table_.erase(hash_of(bucket.protocol, bucket.port), buckets_.handle_of(bucket).index);
  buckets_.erase(bucket);
}

bool Ports::engine_holds(const tcp::Engine& tcp, const Endpoint& local) {
  struct Search {
    Endpoint local;
    bool found;
  } search{local, false};
  tcp.for_each(
      [](void* context, const tcp::Engine::Row& row) {
        auto& s = *static_cast<Search*>(context);
        // One that has ended is its socket's alone, until that is closed (Linux: inet_put_port).
        if (row.state == tcp::State::kListen || row.state == tcp::State::kClosed ||
            row.tuple.local.port != s.local.port)
          return;
        if (s.local.address.is_unspecified() || s.local.address == row.tuple.local.address) s.found = true;
      },
      &search, Instant{});
  return search.found;
}

// Linux's inet_bind_conflict and udp_lib_lport_inuse.
bool Ports::conflicts(IpProtocol protocol, const Binding& wanted, const Binding& holder, bool port_given) {
  if (wanted.interface != kNoInterface && holder.interface != kNoInterface &&
      wanted.interface != holder.interface)
    return false;
  if (!wanted.address.is_unspecified() && !holder.address.is_unspecified() &&
      wanted.address != holder.address)
    return false;
  const bool both_reuse = wanted.sharing.reuse_address && holder.sharing.reuse_address;
  const bool both_reuse_port =
      wanted.sharing.reuse_port && holder.sharing.reuse_port && wanted.sharing.user == holder.sharing.user;
  if (protocol == IpProtocol::kUdp) return !both_reuse && !(both_reuse_port && port_given);
  // SO_REUSEADDR shares with all but listeners; when any port will do, one that is free is preferred.
  if (both_reuse && !holder.listening) return !port_given;
  return !(both_reuse_port && port_given);
}

bool Ports::conflicts(const Binding& wanted, const Bucket* bucket, bool port_given,
                      const tcp::Engine& tcp) const {
  if (bucket == nullptr) return false;
  for (const Binding& holder : bucket->bindings)
    if (&holder != &wanted && conflicts(bucket->protocol, wanted, holder, port_given)) return true;
  if (!bucket->leftovers || (wanted.sharing.reuse_address && bucket->leftovers_reuse && port_given))
    return false;
  return engine_holds(tcp, {wanted.address, bucket->port});
}

std::expected<Ports::Id, BindError> Ports::take(IpProtocol protocol, std::uint16_t port,
                                                const Binding& wanted) {
  Bucket* bucket = find_or_create(protocol, port);
  if (bucket == nullptr) return std::unexpected(BindError::kOutOfMemory);
  const Id id = bindings_.emplace(wanted);
  if (!id) {
    drop_if_unused(*bucket);
    return std::unexpected(BindError::kOutOfMemory);
  }
  Binding& binding = *bindings_.get(id);
  binding.bucket = bucket;
  bucket->bindings.push_back(binding);
  return id;
}

// Linux's inet_csk_find_open_port: odd ports first (connect() begins with the even ones); with SO_REUSEADDR
// the lower half first.
std::uint16_t Ports::find_open_tcp_port(const Binding& wanted, const tcp::Engine& tcp) {
  const auto low = static_cast<std::uint32_t>(knobs_.ip_local_port_range[0]);
  const auto high = static_cast<std::uint32_t>(knobs_.ip_local_port_range[1]) + 1;
  const std::uint32_t half = low + (((high - low) >> 2) << 1);
  std::array<std::pair<std::uint32_t, std::uint32_t>, 2> ranges{{{low, high}, {0, 0}}};
  if (wanted.sharing.reuse_address && high - low >= 4) ranges = {{{low, half}, {half, high}}};
  for (const auto& [begin, end] : ranges) {
    std::uint32_t remaining = end - begin;
    if (remaining == 0) continue;
    if (remaining > 1) remaining &= ~std::uint32_t{1};
    const auto offset = static_cast<std::uint32_t>(rng_.below(remaining)) | 1;
    for (std::uint32_t parity = 0; parity < 2; ++parity) {
      for (std::uint32_t i = 0; i < remaining; i += 2) {
        const auto port = static_cast<std::uint16_t>(begin + (offset - parity + i) % remaining);
        if (!conflicts(wanted, find(IpProtocol::kTcp, port), false, tcp)) return port;
      }
    }
  }
  return 0;
}

// RFC 6056 §3.3.1: from a random port on.
std::uint16_t Ports::find_open_udp_port(const Binding& wanted, const tcp::Engine& tcp) {
  const auto low = static_cast<std::uint32_t>(knobs_.ip_local_port_range[0]);
  const std::uint32_t count = static_cast<std::uint32_t>(knobs_.ip_local_port_range[1]) + 1 - low;
  const auto start = static_cast<std::uint32_t>(rng_.below(count));
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto port = static_cast<std::uint16_t>(low + (start + i) % count);
    if (!conflicts(wanted, find(IpProtocol::kUdp, port), false, tcp)) return port;
  }
  return 0;
}

std::expected<Ports::Id, BindError> Ports::bind(IpProtocol protocol, const Endpoint& local,
                                                InterfaceId interface, const Sharing& sharing,
                                                const tcp::Engine& tcp) {
  Binding wanted;
  wanted.address = local.address;
  wanted.interface = interface;
  wanted.sharing = sharing;
  std::uint16_t port = local.port;
  if (port == 0) {
    port = protocol == IpProtocol::kTcp ? find_open_tcp_port(wanted, tcp) : find_open_udp_port(wanted, tcp);
    if (port == 0) return std::unexpected(BindError::kNoneLeft);
  } else if (conflicts(wanted, find(protocol, port), true, tcp)) {
    return std::unexpected(BindError::kInUse);
  }
  return take(protocol, port, wanted);
}

std::expected<Ports::Id, BindError> Ports::bind_to_connect(const FourTuple& tuple, InterfaceId interface,
                                                           const Sharing& sharing, const tcp::Engine& tcp,
                                                           Instant now) {
  if (perturb_.empty()) {
    perturb_.resize(kPerturbSize);
    for (std::uint32_t& word : perturb_) word = rng_.next_u32();
  }
  const auto low = static_cast<std::uint32_t>(knobs_.ip_local_port_range[0]);
  std::uint32_t remaining = static_cast<std::uint32_t>(knobs_.ip_local_port_range[1]) + 1 - low;
  if (remaining > 1) remaining &= ~std::uint32_t{1};
  const auto local = address_words(tuple.local.address);
  const auto remote = address_words(tuple.remote.address);
  const std::uint64_t hash =
      siphash_2_4(connect_key_,
                  std::array<std::uint64_t, 5>{local[0], local[1], remote[0], remote[1], tuple.remote.port});
  std::uint32_t& perturb = perturb_[hash % kPerturbSize];
  const auto first = static_cast<std::uint32_t>((perturb + (hash >> 32)) % remaining) & ~std::uint32_t{1};

  Binding wanted;
  wanted.address = tuple.local.address;
  wanted.interface = interface;
  wanted.sharing = sharing;
  wanted.automatic = true;
  for (std::uint32_t parity = 0; parity < 2 && parity < remaining; ++parity) {
    for (std::uint32_t i = 0; i < remaining; i += 2) {
      const auto port = static_cast<std::uint16_t>(low + (first + parity + i) % remaining);
      if (const Bucket* bucket = find(IpProtocol::kTcp, port)) {
        // What bind() took is not shared with connect() (Linux: tb->fastreuse >= 0).
        const auto bound = [](const Binding& holder) { return !holder.automatic; };
        if (std::any_of(bucket->bindings.begin(), bucket->bindings.end(), bound)) continue;
      }
      FourTuple candidate = tuple;
      candidate.local.port = port;
      if (!tcp.tuple_free(candidate, now)) continue;
      // A little randomness in the next choice, so that one who watches ports cannot count connections.
      perturb += std::max(i, static_cast<std::uint32_t>(rng_.below(8)) * 2) + 2;
      return take(IpProtocol::kTcp, port, wanted);
    }
  }
  return std::unexpected(BindError::kNoneLeft);
}

bool Ports::start_listening(Id id, const tcp::Engine& tcp) {
  Binding* binding = bindings_.get(id);
  if (binding == nullptr) return false;
  binding->listening = true;
  binding->automatic = false;
  if (!conflicts(*binding, binding->bucket, true, tcp)) return true;
  binding->listening = false;
  return false;
}

void Ports::stop_listening(Id id) {
  if (Binding* binding = bindings_.get(id)) binding->listening = false;
}

void Ports::set_address(Id id, const IpAddress& address) {
  if (Binding* binding = bindings_.get(id)) binding->address = address;
}

void Ports::set_sharing(Id id, const Sharing& sharing) {
  if (Binding* binding = bindings_.get(id)) binding->sharing = sharing;
}

void Ports::set_interface(Id id, InterfaceId interface) {
  if (Binding* binding = bindings_.get(id)) binding->interface = interface;
}

std::uint16_t Ports::port_of(Id id) const {
  const Binding* binding = bindings_.get(id);
  return binding != nullptr ? binding->bucket->port : std::uint16_t{0};
}

void Ports::note_accepted(Id id, Instant now) {
  Binding* binding = bindings_.get(id);
  if (binding == nullptr) return;
  Bucket& bucket = *binding->bucket;
  if (!bucket.leftovers) {
    bucket.leftovers = bucket.leftovers_reuse = true;
    ++leftover_buckets_;
    if (sweep_at_ == kNever) sweep_at_ = later(now, kSweepInterval);
  }
  bucket.leftovers_reuse = bucket.leftovers_reuse && binding->sharing.reuse_address;
}

void Ports::release(Id id, bool leaves_connections, Instant now) {
  Binding* binding = bindings_.get(id);
  if (binding == nullptr) return;
  if (leaves_connections) note_accepted(id, now);
  Bucket& bucket = *binding->bucket;
  bucket.bindings.erase(*binding);
  bindings_.erase(id);
  drop_if_unused(bucket);
}

void Ports::on_timeout(const tcp::Engine& tcp, Instant now) {
  if (now < sweep_at_) return;
  const auto held = std::make_unique<std::bitset<65536>>();
  tcp.for_each(
      [](void* context, const tcp::Engine::Row& row) {
        if (row.state != tcp::State::kListen)
          static_cast<std::bitset<65536>*>(context)->set(row.tuple.local.port);
      },
      held.get(), now);
  buckets_.for_each([&](Bucket& bucket) {
    if (!bucket.leftovers || held->test(bucket.port)) return;
    bucket.leftovers = false;
    --leftover_buckets_;
    drop_if_unused(bucket);
  });
  sweep_at_ = leftover_buckets_ == 0 ? kNever : later(now, kSweepInterval);
}

}  // namespace tapir::stack
