// SPDX-License-Identifier: Apache-2.0
// How packets get to a destination: what ip/routes answers once, and a connection keeps.
#pragma once

#include <cstdint>

#include "inet/ip_address.h"
#include "inet/protocol.h"

namespace tapir::inline inet {

// What the device below can take over, already reduced to what this path may use.
struct PathOffloads {
  bool checksum = false;           // the device completes transport checksums
  bool tcp_segmentation = false;   // the device (or link/offload below it) splits super-segments
  std::uint32_t gso_max_size = 0;  // bytes of IP packet of the largest super-segment; 0 = no super-segments
  std::uint16_t gso_max_segs = 0;  // how many segments one may be split to

  friend constexpr bool operator==(const PathOffloads&, const PathOffloads&) = default;
};

// What a path is apart from its two ends: alike for many connections.
struct PathProperties {
  IpAddress next_hop;  // the gateway, or the destination when on-link
  InterfaceId interface = kNoInterface;
  std::uint32_t mtu = 1500;            // bytes of the largest IP packet, path MTU discovery included
  std::uint32_t interface_mtu = 1500;  // without path MTU discovery
  std::uint16_t advmss = 0;            // MSS to announce (route's, or from interface_mtu)
  std::uint16_t initcwnd = 10;         // segments (RFC 6928; the route's when set)
  std::uint16_t initrwnd = 0;          // segments; 0 = Linux's default
  std::uint8_t hop_limit = 64;         // TTL (net.ipv4.ip_default_ttl)
  bool local = false;                  // to ourselves, over loopback
  bool mtu_locked = false;             // the route says: do not fragment-test
  PathOffloads offloads;
  std::uint32_t generation = 0;  // of the routes and the path MTU cache when this was answered

  friend constexpr bool operator==(const PathProperties&, const PathProperties&) = default;
};

// A resolved route with all that a sender needs. A value: the hub hands out a new one when `generation`
// moved.
struct Path : PathProperties {
  IpAddress source;  // the address to send from
  IpAddress destination;
};

}  // namespace tapir::inline inet
