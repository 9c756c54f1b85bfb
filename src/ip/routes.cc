// SPDX-License-Identifier: Apache-2.0
#include "ip/routes.h"

#include <algorithm>
#include <tuple>

namespace tapir::ip {
namespace {

// Bytes of IPv4 and TCP header, which an MSS does not count.
constexpr std::uint32_t kHeaders = 40;

auto order_of(const Route& route) {
  return std::tuple(!route.destination.address.is_v4(), 255 - route.destination.length,
                    route.destination.address, route.metric);
}

bool goes_somewhere(const Route& route) { return route.kind == RouteKind::kUnicast; }

}  // namespace

std::expected<void, RouteError> Routes::check(Route& route) const {
  route.destination = route.destination.network();
  if (route.attributes.congctl.size() > kCongctlNameMax) route.attributes.congctl.resize(kCongctlNameMax);
  if (!goes_somewhere(route)) return {};
  if (!route.gateway.is_unspecified()) {
    // The gateway itself must be reached without a gateway (Linux's fib_check_nh).
    const Route* to_gateway = lookup(route.gateway, route.interface);
    if (to_gateway == nullptr || !goes_somewhere(*to_gateway) || !to_gateway->gateway.is_unspecified())
      return std::unexpected(RouteError::kBadGateway);
    if (interfaces_.is_local_address(route.gateway)) return std::unexpected(RouteError::kBadGateway);
    route.interface = to_gateway->interface;
  }
  if (interfaces_.find(route.interface) == nullptr) return std::unexpected(RouteError::kNoInterface);
  if (route.preferred_source && !interfaces_.is_local_address(*route.preferred_source))
    return std::unexpected(RouteError::kBadSource);
  return {};
}

void Routes::changed() {
  ++generation_;
  redirects_.clear();
  runs_.clear();
  for (std::uint32_t i = 0; i < routes_.size(); ++i) {
    const IpPrefix& prefix = routes_[i].destination;
    if (runs_.empty() || runs_.back().length != prefix.length || runs_.back().v4 != prefix.address.is_v4())
      runs_.push_back({prefix.length, prefix.address.is_v4(), i, i});
    runs_.back().end = i + 1;
  }
}

std::expected<void, RouteError> Routes::add(Route route) {
  if (auto checked = check(route); !checked) return checked;
  if (routes_.size() == kRoutesMax) return std::unexpected(RouteError::kTooMany);
  const auto at = std::lower_bound(routes_.begin(), routes_.end(), route,
                                   [](const Route& a, const Route& b) { return order_of(a) < order_of(b); });
  if (at != routes_.end() && order_of(*at) == order_of(route)) return std::unexpected(RouteError::kExists);
  routes_.insert(at, std::move(route));
  changed();
  return {};
}

std::expected<void, RouteError> Routes::replace(Route route) {
  if (auto checked = check(route); !checked) return checked;
  for (Route& have : routes_)
    if (order_of(have) == order_of(route)) {
      have = std::move(route);
      changed();
      return {};
    }
  return add(std::move(route));
}

std::expected<void, RouteError> Routes::remove(const Route& like) {
  const IpPrefix prefix = like.destination.network();
  const auto at = std::find_if(routes_.begin(), routes_.end(), [&](const Route& have) {
    return have.destination == prefix && have.kind == like.kind &&
           (like.metric == 0 || have.metric == like.metric) &&
           (like.gateway.is_unspecified() || have.gateway == like.gateway) &&
           (like.interface == kNoInterface || have.interface == like.interface);
  });
  if (at == routes_.end()) return std::unexpected(RouteError::kNotFound);
  routes_.erase(at);
  changed();
  return {};
}

std::expected<void, RouteError> Routes::add_connected(InterfaceId id, const IpPrefix& address) {
  const Interface* interface = interfaces_.find(id);
  if (interface == nullptr) return std::unexpected(RouteError::kNoInterface);
  const std::uint8_t whole = address.address.is_v4() ? 32 : 128;
  if (interface->kind == LinkKind::kLoopback || address.length >= whole) return {};
  Route route;
  route.destination = address.network();
  route.interface = id;
  route.preferred_source = address.address;
  route.connected = true;
  auto added = add(std::move(route));
  // A second address of the same net has nothing to add.
  if (!added && added.error() == RouteError::kExists) return {};
  return added;
}

void Routes::remove_interface(InterfaceId id) {
  if (std::erase_if(routes_, [&](const Route& route) { return route.interface == id; }) != 0) changed();
}

void Routes::remove_address(InterfaceId id, const IpPrefix& address) {
  const auto goes = [&](const Route& route) {
    return route.interface == id && route.preferred_source == address.address;
  };
  if (std::erase_if(routes_, goes) != 0) changed();
}

const Route* Routes::lookup(const IpAddress& destination, InterfaceId bound_interface) const {
  const bool v4 = destination.is_v4();
  for (const Run& run : runs_) {
    if (run.v4 != v4) continue;
    const IpAddress net = IpPrefix{destination, run.length}.network().address;
    const auto end = routes_.begin() + run.end;
    auto at = std::lower_bound(
        routes_.begin() + run.begin, end, net,
        [](const Route& route, const IpAddress& wanted) { return route.destination.address < wanted; });
    for (; at != end && at->destination.address == net; ++at) {
      if (!goes_somewhere(*at)) return &*at;
      if (bound_interface != kNoInterface && at->interface != bound_interface) continue;
      const Interface* interface = interfaces_.find(at->interface);
      if (interface != nullptr && interface->up) return &*at;
    }
  }
  return nullptr;
}

std::expected<Path, RouteError> Routes::resolve(const RouteQuery& query, Instant now) const {
  RouteQuery asked = query;
  if (asked.source && asked.source->is_unspecified()) asked.source.reset();
  const Interface* bound = nullptr;
  if (asked.bound_interface != kNoInterface) {
    bound = interfaces_.find(asked.bound_interface);
    if (bound == nullptr) return std::unexpected(RouteError::kNoInterface);
    if (!bound->up) return std::unexpected(RouteError::kInterfaceDown);
  }
  if (asked.source && !asked.source_may_be_foreign && !interfaces_.is_local_address(*asked.source))
    return std::unexpected(RouteError::kBadSource);
  if (asked.destination.is_unspecified())
    asked.destination = asked.source ? *asked.source : IpAddress::v4(127, 0, 0, 1);

  const IpAddress& destination = asked.destination;
  const Interface* loopback = interfaces_.find(interfaces_.loopback());
  const Route* route = nullptr;
  switch (interfaces_.classify(destination, asked.bound_interface)) {
    case AddressKind::kLocal: {
      const Interface* owner = interfaces_.owner_of(destination);
      if (bound == nullptr || bound == owner || bound == loopback) {
        if (loopback == nullptr || !loopback->up) return std::unexpected(RouteError::kNetUnreachable);
        return finish(asked, *loopback, nullptr, now);
      }
      if (destination.is_loopback()) return std::unexpected(RouteError::kNetUnreachable);
      break;
    }
    case AddressKind::kBroadcast: {
      // Whether the sender may is asked when there is a way to go.
      const auto allowed = [&](const Interface& over) -> std::expected<Path, RouteError> {
        if (!asked.allow_broadcast) return std::unexpected(RouteError::kBroadcast);
        return finish(asked, over, nullptr, now);
      };
      if (bound != nullptr) return allowed(*bound);
      for (const Interface& interface : interfaces_.list())
        if (!destination.is_broadcast() && interface.up &&
            interfaces_.is_broadcast_on(destination, interface))
          return allowed(interface);
      // A source of ours names the device (Linux: ip_route_output_key, for senders that only bind).
      if (asked.source)
        if (const Interface* owner = interfaces_.owner_of(*asked.source)) return allowed(*owner);
      if (lookup(destination) != nullptr && !asked.allow_broadcast)
        return std::unexpected(RouteError::kBroadcast);
      break;
    }
    case AddressKind::kMulticast:
      if (bound != nullptr) return finish(asked, *bound, nullptr, now);
      if (asked.source)
        if (const Interface* owner = interfaces_.owner_of(*asked.source))
          return finish(asked, *owner, nullptr, now);
      break;
    case AddressKind::kUnspecified:
    case AddressKind::kReserved:
      if (destination.is_v4() && destination.v4_bits() >> 24 == 0)
        return std::unexpected(RouteError::kBlackhole);
      break;
    case AddressKind::kElsewhere:
      break;
  }
  // A broadcast or multicast from a chosen address leaves where that address lives (Linux's
  // ip_route_output_key_hash_rcu).
  if (destination.is_multicast() || destination.is_broadcast())
    if (const Interface* owner = asked.source ? interfaces_.owner_of(*asked.source) : nullptr;
        owner != nullptr && owner->up)
      return finish(asked, *owner, nullptr, now);

  route = lookup(destination, asked.bound_interface);
  if (route == nullptr) {
    // "Apparently, routing tables are wrong. Assume that the destination is on link": only for those bound to
    // a device.
    if (bound != nullptr && bound != loopback) return finish(asked, *bound, nullptr, now);
    return std::unexpected(RouteError::kNetUnreachable);
  }
  switch (route->kind) {
    case RouteKind::kUnicast:
      break;
    case RouteKind::kUnreachable:
      return std::unexpected(RouteError::kHostUnreachable);
    case RouteKind::kProhibit:
      return std::unexpected(RouteError::kProhibited);
    case RouteKind::kBlackhole:
      return std::unexpected(RouteError::kBlackhole);
  }
  return finish(asked, *interfaces_.find(route->interface), route, now);
}

std::expected<Path, RouteError> Routes::finish(const RouteQuery& query, const Interface& interface,
                                               const Route* route, Instant now) const {
  // Never destroyed: packets may still be sent when the program has begun to end.
  static const auto* const kNone = new RouteAttributes;
  const RouteAttributes& attributes = route != nullptr ? route->attributes : *kNone;
  const bool group = query.destination.is_multicast() || query.destination.is_broadcast();
  Path path;
  path.destination = query.destination;
  const bool via = route != nullptr && !route->gateway.is_unspecified() && !group;
  path.next_hop = via ? route->gateway : query.destination;
  if (route != nullptr && !group)
    if (const auto better = redirects_.find(query.destination, interface.id, now)) path.next_hop = *better;
  path.interface = interface.id;
  path.local = interface.kind == LinkKind::kLoopback;
  if (query.source) {
    path.source = *query.source;
  } else if (path.local) {
    path.source = interfaces_.local_source_for(query.destination);
  } else if (route != nullptr && route->preferred_source) {
    path.source = *route->preferred_source;
  } else if (const auto chosen = interfaces_.source_for(interface, path.next_hop)) {
    path.source = *chosen;
  } else if (query.allow_broadcast && group) {
    path.source = IpAddress::any_v4();  // a host that looks for its address (BOOTP)
  } else {
    return std::unexpected(RouteError::kNetUnreachable);
  }

  path.interface_mtu = std::min(attributes.mtu != 0 ? attributes.mtu : interface.mtu, kPacketMax);
  path.mtu = path.interface_mtu;
  path.mtu_locked = attributes.mtu != 0 && attributes.mtu_locked;
  if (!path.mtu_locked) {
    const PathMtuEntry* learnt = path_mtu_.find(query.destination, now);
    if (learnt != nullptr && learnt->mtu < path.mtu) {
      path.mtu = learnt->mtu;
      path.mtu_locked = learnt->locked;
    }
  }
  const std::uint32_t from_mtu = std::max(path.mtu > kHeaders ? path.mtu - kHeaders : 0, knobs_.min_adv_mss);
  path.advmss = attributes.advmss != 0
                    ? attributes.advmss
                    : static_cast<std::uint16_t>(std::min(from_mtu, kPacketMax - kHeaders));
  if (attributes.initcwnd != 0) path.initcwnd = attributes.initcwnd;
  path.initrwnd = attributes.initrwnd;
  path.hop_limit = attributes.hop_limit != 0 ? attributes.hop_limit : knobs_.ip_default_ttl;
  if (query.destination.is_multicast()) path.hop_limit = 1;
  path.offloads = interface.offloads;
  path.generation = generation();
  return path;
}

std::string_view Routes::congestion_control(const Path& path) const {
  if (path.local) return {};
  const Route* route = lookup(path.destination);
  return route != nullptr ? std::string_view(route->attributes.congctl) : std::string_view();
}

}  // namespace tapir::ip
