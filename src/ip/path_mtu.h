// SPDX-License-Identifier: Apache-2.0
// What path MTU discovery learnt (RFC 1191): destination -> MTU, for ten minutes. Bounded, keyed, evicted
// oldest first.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/siphash.h"
#include "base/time.h"
#include "inet/ip_address.h"
#include "ip/knobs.h"

namespace tapir::ip {

struct PathMtuEntry {
  IpAddress destination;  // unspecified = free
  std::uint32_t mtu = 0;  // bytes
  bool locked =
      false;  // a router asked for less than min_pmtu: fragment, do not set DF (Linux's rt_mtu_locked)
  Instant learned_at{};
  Instant expires_at = kNever;
};

class PathMtuCache {
 public:
  // Sets of kWays entries; 1024 destinations in all. Without a limit, forged errors fill memory.
  static constexpr std::size_t kSets = 256;
  static constexpr std::size_t kWays = 4;

  PathMtuCache(SipKey key, const Knobs& knobs) : key_(key), knobs_(knobs) {}

  // A router on the way to `destination` can forward `mtu` bytes (0: it did not say). The caller has checked
  // the quoted packet (RFC 5927 §7). `current`: the path's MTU; larger news is no news. True when something
  // changed; then generation() moved.
  bool update(const IpAddress& destination, std::uint32_t mtu, std::uint32_t current, Instant now);
  // What is known and not expired at `now`, or null.
  const PathMtuEntry* find(const IpAddress& destination, Instant now) const;
  void forget(const IpAddress& destination);
  // `ip route flush cache`.
  void clear();

  // When the next entry may expire; on_timeout() removes those due and moves the generation, so that paths
  // try the full MTU again.
  Instant next_timeout() const { return next_expiry_; }
  void on_timeout(Instant now);

  std::uint32_t generation() const { return generation_; }
  std::size_t size() const { return size_; }
  // For `ip route show cache`: calls visit(entry) for each, in the table's order.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const PathMtuEntry& entry : entries_)
      if (entry.mtu != 0) visit(entry);
  }

 private:
  std::size_t set_of(const IpAddress& destination) const;
  PathMtuEntry* find_slot(const IpAddress& destination);

  SipKey key_;
  const Knobs& knobs_;
  std::vector<PathMtuEntry> entries_;  // empty until the first is learnt, then kSets * kWays
  std::size_t size_ = 0;
  Instant next_expiry_ = kNever;  // never later than the earliest expires_at
  std::uint32_t generation_ = 1;
};

}  // namespace tapir::ip
