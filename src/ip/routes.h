// SPDX-License-Identifier: Apache-2.0
// The routing table: longest prefix, then lowest metric; and what a sender needs of the answer, as one Path.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "inet/path.h"
#include "ip/interfaces.h"
#include "ip/knobs.h"
#include "ip/path_mtu.h"
#include "ip/redirects.h"

namespace tapir::ip {

// `ip route`'s per-route metrics. Zero means "not set" everywhere.
struct RouteAttributes {
  std::uint32_t mtu = 0;       // bytes
  bool mtu_locked = false;     // "mtu lock N": path MTU discovery neither asks nor learns
  std::uint16_t advmss = 0;    // bytes
  std::uint16_t initcwnd = 0;  // segments
  std::uint16_t initrwnd = 0;  // segments
  std::uint8_t hop_limit = 0;
  std::string congctl;  // name of a congestion control, at most 15 characters
  friend bool operator==(const RouteAttributes&, const RouteAttributes&) = default;
};

enum class RouteKind : std::uint8_t {
  kUnicast,
  kUnreachable,  // EHOSTUNREACH
  kProhibit,     // EACCES
  kBlackhole,    // EINVAL, silently
};

struct Route {
  IpPrefix destination;                  // host bits clear; length 0 is the default route
  IpAddress gateway;                     // unspecified (of any version) = on-link
  InterfaceId interface = kNoInterface;  // kNoInterface only for the kinds that go nowhere
  std::uint32_t metric = 0;              // lower wins among equal prefixes
  RouteKind kind = RouteKind::kUnicast;
  std::optional<IpAddress> preferred_source;
  bool connected = false;  // made for an interface's address ("proto kernel scope link")
  RouteAttributes attributes;
  friend bool operator==(const Route&, const Route&) = default;
};

// Why there is no path; beside it, what Linux's connect(2) says.
enum class RouteError : std::uint8_t {
  kNetUnreachable,   // no route (ENETUNREACH)
  kHostUnreachable,  // an `unreachable` route (EHOSTUNREACH)
  kProhibited,       // a `prohibit` route (EACCES)
  kBlackhole,        // a `blackhole` route (EINVAL)
  kBroadcast,        // a broadcast address, and the sender may not (EACCES)
  kBadSource,        // the source is not ours (ENETUNREACH)
  kNoInterface,      // the bound interface is gone (ENODEV) …
  kInterfaceDown,    // … or down, or without address (ENETUNREACH)
  kBadGateway,       // add: the gateway is not on-link (ENETUNREACH)
  kExists,           // add: the same prefix and metric is there (EEXIST)
  kNotFound,         // remove: nothing like it (ESRCH)
  kTooMany,          // add: kRoutesMax (ENOBUFS)
};

// What is asked.
struct RouteQuery {
  IpAddress destination;                       // unspecified = ourselves (Linux: connect to 0.0.0.0)
  std::optional<IpAddress> source;             // bound address; unspecified counts as none
  InterfaceId bound_interface = kNoInterface;  // SO_BINDTODEVICE
  bool allow_broadcast = false;                // SO_BROADCAST
  bool source_may_be_foreign = false;  // IP_TRANSPARENT, IP_HDRINCL; also answers to packets (no check)
};

class Routes {
 public:
  // Most routes: a full table costs about 150 bytes each.
  static constexpr std::size_t kRoutesMax = 65536;
  // Linux's TCP_CA_NAME_MAX - 1.
  static constexpr std::size_t kCongctlNameMax = 15;
  // Linux's IP_MAX_MTU: no IPv4 packet is longer, whatever the interface's MTU.
  static constexpr std::uint32_t kPacketMax = 65535;

  Routes(const Interfaces& interfaces, PathMtuCache& path_mtu, const Knobs& knobs, SipKey redirects_key = {})
      : interfaces_(interfaces), path_mtu_(path_mtu), knobs_(knobs), redirects_(redirects_key) {}

  // `ip route add | replace | del`. The prefix's host bits are cleared. del: matches prefix, and metric,
  // gateway and interface where given.
  std::expected<void, RouteError> add(Route route);
  std::expected<void, RouteError> replace(Route route);
  std::expected<void, RouteError> remove(const Route& like);
  // The connected route of an interface address ("10.0.0.1/24" -> 10.0.0.0/24, source 10.0.0.1); none for /32
  // and for loopback.
  std::expected<void, RouteError> add_connected(InterfaceId interface, const IpPrefix& address);
  // Removes every route over `interface` (it went down).
  void remove_interface(InterfaceId interface);
  // Removes what an address brought: its connected route, and routes that prefer it as source.
  void remove_address(InterfaceId interface, const IpPrefix& address);
  // In the order of lookup.
  std::span<const Route> list() const { return routes_; }

  // The route that packets to `destination` take (local and broadcast addresses are not looked at), or null.
  const Route* lookup(const IpAddress& destination, InterfaceId bound_interface = kNoInterface) const;
  // The path to send by, everything filled in. Linux's ip_route_output_key.
  std::expected<Path, RouteError> resolve(const RouteQuery& query, Instant now) const;
  // A redirect that was believed: `destination` goes by `gateway` for a while (not shown in list()).
  void learn_redirect(const IpAddress& destination, const IpAddress& gateway, InterfaceId interface,
                      Instant now) {
    redirects_.learn(destination, gateway, interface, now);
  }
  // The route's congestion control for `path` ("" = the default).
  std::string_view congestion_control(const Path& path) const;

  // Moves whenever an answer may have changed: routes, interfaces, or the path MTU cache. A Path with another
  // one is to be asked for anew.
  std::uint32_t generation() const {
    return generation_ + interfaces_.generation() + path_mtu_.generation() + redirects_.generation();
  }

 private:
  // Routes of one prefix length: routes_[begin, end).
  struct Run {
    std::uint8_t length;
    bool v4;
    std::uint32_t begin;
    std::uint32_t end;
  };
  std::expected<void, RouteError> check(Route& route) const;
  void changed();
  std::expected<Path, RouteError> finish(const RouteQuery& query, const Interface& interface,
                                         const Route* route, Instant now) const;

  const Interfaces& interfaces_;
  PathMtuCache& path_mtu_;
  const Knobs& knobs_;
  RedirectCache redirects_;
  std::vector<Route> routes_;  // sorted: version, length (longest first), prefix, metric
  std::vector<Run> runs_;
  std::uint32_t generation_ = 1;
};

}  // namespace tapir::ip
