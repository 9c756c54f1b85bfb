// SPDX-License-Identifier: Apache-2.0
#include "ip/path_mtu.h"

#include <algorithm>

namespace tapir::ip {

std::size_t PathMtuCache::set_of(const IpAddress& destination) const {
  return siphash_1_3(key_, destination.bytes()) % kSets;
}

PathMtuEntry* PathMtuCache::find_slot(const IpAddress& destination) {
  if (entries_.empty()) return nullptr;
  const std::size_t first = set_of(destination) * kWays;
  for (std::size_t i = first; i < first + kWays; ++i)
    if (entries_[i].mtu != 0 && entries_[i].destination == destination) return &entries_[i];
  return nullptr;
}

const PathMtuEntry* PathMtuCache::find(const IpAddress& destination, Instant now) const {
  if (size_ == 0) return nullptr;
  const PathMtuEntry* entry = const_cast<PathMtuCache*>(this)->find_slot(destination);
  return entry != nullptr && now < entry->expires_at ? entry : nullptr;
}

bool PathMtuCache::update(const IpAddress& destination, std::uint32_t mtu, std::uint32_t current,
                          Instant now) {
  if (mtu > current) return false;
  bool locked = false;
  if (mtu < knobs_.min_pmtu) {
    locked = true;
    mtu = std::min(current, knobs_.min_pmtu);
  }
  PathMtuEntry* entry = find_slot(destination);
  const bool known = entry != nullptr && now < entry->expires_at;
  if (!known && mtu == current && !locked) return false;
  const bool same = known && entry->mtu == mtu && entry->locked == locked;
  if (entry == nullptr) {
    if (entries_.empty()) entries_.resize(kSets * kWays);
    const auto first = entries_.begin() + static_cast<std::ptrdiff_t>(set_of(destination) * kWays);
    // A free one, else the one learnt longest ago.
    entry = &*std::min_element(first, first + kWays, [](const PathMtuEntry& a, const PathMtuEntry& b) {
      if ((a.mtu == 0) != (b.mtu == 0)) return a.mtu == 0;
      return a.learned_at < b.learned_at;
    });
    if (entry->mtu == 0) ++size_;
  }
  *entry = {destination, mtu, locked, now, later(now, knobs_.mtu_expires)};
  next_expiry_ = std::min(next_expiry_, entry->expires_at);
  if (!same) ++generation_;
  return !same;
}

void PathMtuCache::forget(const IpAddress& destination) {
  PathMtuEntry* entry = find_slot(destination);
  if (entry == nullptr) return;
  *entry = {};
  --size_;
  ++generation_;
}

void PathMtuCache::clear() {
  if (size_ == 0) return;
  entries_.clear();
  entries_.shrink_to_fit();
  size_ = 0;
  next_expiry_ = kNever;
  ++generation_;
}

void PathMtuCache::on_timeout(Instant now) {
  if (now < next_expiry_) return;
  next_expiry_ = kNever;
  bool expired = false;
  for (PathMtuEntry& entry : entries_) {
    if (entry.mtu == 0) continue;
    if (now < entry.expires_at) {
      next_expiry_ = std::min(next_expiry_, entry.expires_at);
      continue;
    }
    entry = {};
    --size_;
    expired = true;
  }
  if (expired) ++generation_;
}

}  // namespace tapir::ip
