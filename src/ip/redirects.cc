// SPDX-License-Identifier: Apache-2.0
#include "ip/redirects.h"

#include <algorithm>

namespace tapir::ip {

std::size_t RedirectCache::set_of(const IpAddress& destination) const {
  return siphash_1_3(key_, destination.bytes()) % kSets * kWays;
}

void RedirectCache::learn(const IpAddress& destination, const IpAddress& gateway, InterfaceId interface,
                          Instant now) {
  const auto first = entries_.begin() + static_cast<std::ptrdiff_t>(set_of(destination));
  auto entry = std::find_if(first, first + kWays, [&](const Entry& each) {
    return each.interface != kNoInterface && each.destination == destination;
  });
  if (entry == first + kWays)
    entry = std::min_element(first, first + kWays,
                             [](const Entry& a, const Entry& b) { return a.expires_at < b.expires_at; });
  *entry = {destination, gateway, interface, later(now, kLifetime)};
  ++generation_;
}

std::optional<IpAddress> RedirectCache::find(const IpAddress& destination, InterfaceId interface,
                                             Instant now) const {
  if (generation_ == 0) return std::nullopt;
  const auto first = entries_.begin() + static_cast<std::ptrdiff_t>(set_of(destination));
  for (auto entry = first; entry != first + kWays; ++entry)
    if (entry->interface == interface && entry->destination == destination && now < entry->expires_at)
      return entry->gateway;
  return std::nullopt;
}

void RedirectCache::clear() {
  entries_.fill({});
  ++generation_;
}

bool RedirectLimit::ask(const IpAddress& address, Instant now) {
  Host& host = hosts_[siphash_1_3(key_, address.bytes()) % kHosts];
  if (host.address != address || now >= later(host.last, kSilence)) host = {address, 0, {}};
  if (host.sent >= kNumber) {
    host.last = now;
    return false;
  }
  if (host.sent != 0 && now < later(host.last, kLoad * (std::int64_t{1} << host.sent))) return false;
  ++host.sent;
  host.last = now;
  return true;
}

}  // namespace tapir::ip
