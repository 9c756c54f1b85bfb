// SPDX-License-Identifier: Apache-2.0
#include "tcp/demux.h"

namespace tapir::tcp {

Listener* ListeningTable::best_at(const Endpoint& local, const FourTuple& tuple, InterfaceId interface,
                                  Slab<Listener>& listeners) const {
  const std::uint64_t hash = endpoint_hash(key_, local);
  const auto score = [&](const Listener& listener) {
    if (listener.local != local) return 0;
    if (listener.bound == kNoInterface) return 1;
    return listener.bound == interface ? 2 : 0;
  };
  Listener* best = nullptr;
  int best_score = 0;
  (void)table_.find(hash, [&](std::uint32_t index) {
    Listener& listener = *listeners.at(index);
    const int s = score(listener);
    if (s > best_score || (s != 0 && s == best_score && listener.order < best->order)) {
      best = &listener;
      best_score = s;
    }
    return false;
  });
  if (best == nullptr || !best->reuse_port) return best;

  // A reuse-port group: all that share this end and binding. Which one depends on the tuple alone.
  const auto in_group = [&](const Listener& listener) {
    return listener.reuse_port && score(listener) == best_score;
  };
  std::uint32_t members = 0;
  (void)table_.find(hash, [&](std::uint32_t index) {
    if (in_group(*listeners.at(index))) ++members;
    return false;
  });
  const auto chosen = static_cast<std::uint32_t>((four_tuple_hash(key_, tuple) >> 32) * members >> 32);
  // The chosen one in the order they began: the table itself has none.
  for (std::uint32_t rank = 0; rank < chosen; ++rank) {
    Listener* next = nullptr;
    (void)table_.find(hash, [&](std::uint32_t index) {
      Listener& listener = *listeners.at(index);
      if (in_group(listener) && listener.order > best->order &&
          (next == nullptr || listener.order < next->order))
        next = &listener;
      return false;
    });
    best = next;
  }
  return best;
}

Listener* ListeningTable::lookup(const FourTuple& tuple, InterfaceId interface,
                                 Slab<Listener>& listeners) const {
  if (Listener* exact = best_at(tuple.local, tuple, interface, listeners)) return exact;
  if (tuple.local.address.is_v4()) {
    if (Listener* any = best_at({IpAddress::any_v4(), tuple.local.port}, tuple, interface, listeners))
      return any;
  }
  return best_at({IpAddress(), tuple.local.port}, tuple, interface, listeners);
}

}  // namespace tapir::tcp
