// SPDX-License-Identifier: Apache-2.0
// Whose segment is it? The established table by both ends (connections, half-open and TIME-WAIT records in
// one namespace, as in Linux's ehash), and the listening table by the local end.
#pragma once

#include <cstdint>
#include <optional>

#include "base/keyed_table.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "inet/endpoint.h"
#include "inet/flow_hash.h"
#include "tcp/listener.h"

namespace tapir::tcp {

// What stands behind an entry of the established table, and which one.
struct RecordRef {
  enum class Kind : std::uint8_t { kConnection, kHalfOpen, kTimeWait };
  Kind kind = Kind::kConnection;
  std::uint32_t index = 0;  // in the slab of its kind; < kRecordIndexMax

  constexpr std::uint32_t packed() const { return index << 2 | static_cast<std::uint32_t>(kind); }
  static constexpr RecordRef unpack(std::uint32_t value) {
    return {static_cast<Kind>(value & 3), value >> 2};
  }
  friend constexpr bool operator==(const RecordRef&, const RecordRef&) = default;
};
inline constexpr std::uint32_t kRecordIndexMax = 1U << 29;

class EstablishedTable {
 public:
  EstablishedTable(SipKey key, std::size_t limit, ChargeHook hook) : key_(key), table_(limit, hook) {}

  // The record of this tuple; `is(ref)` says whether a record is of it.
  template <typename Is>
  std::optional<RecordRef> find(const FourTuple& tuple, Is&& is) const {
    const auto value =
        table_.find(four_tuple_hash(key_, tuple), [&](std::uint32_t v) { return is(RecordRef::unpack(v)); });
    return value ? std::optional(RecordRef::unpack(*value)) : std::nullopt;
  }
  // False: no memory, or full. One tuple has one record.
  bool insert(const FourTuple& tuple, RecordRef ref) {
    return table_.insert(four_tuple_hash(key_, tuple), ref.packed());
  }
  // False when it was not there.
  bool erase(const FourTuple& tuple, RecordRef ref) {
    return table_.erase(four_tuple_hash(key_, tuple), ref.packed());
  }
  std::size_t size() const { return table_.size(); }

 private:
  SipKey key_;
  KeyedTable<> table_;
};

class ListeningTable {
 public:
  ListeningTable(SipKey key, std::size_t limit, ChargeHook hook) : key_(key), table_(limit, hook) {}

  bool insert(const Endpoint& local, std::uint32_t index) {
    return table_.insert(endpoint_hash(key_, local), index);
  }
  bool erase(const Endpoint& local, std::uint32_t index) {
    return table_.erase(endpoint_hash(key_, local), index);
  }

  // Who listens for a SYN to `tuple.local` that came over `interface`: the exact address before any, bound to
  // the interface before not (Linux: inet_lookup_listener, compute_score); of a reuse-port group one by the
  // hash of the tuple.
  Listener* lookup(const FourTuple& tuple, InterfaceId interface, Slab<Listener>& listeners) const;
  // The listeners of exactly this end, in the order they began: for conflicts. `visit(Listener&)` answers
  // true to stop.
  template <typename Visit>
  bool any_at(const Endpoint& local, const Slab<Listener>& listeners, Visit&& visit) const {
    return table_
        .find(endpoint_hash(key_, local),
              [&](std::uint32_t index) {
                const Listener* listener = listeners.at(index);
                return listener != nullptr && listener->local == local && visit(*listener);
              })
        .has_value();
  }

 private:
  Listener* best_at(const Endpoint& local, const FourTuple& tuple, InterfaceId interface,
                    Slab<Listener>& listeners) const;

  SipKey key_;
  KeyedTable<> table_;
};

}  // namespace tapir::tcp
