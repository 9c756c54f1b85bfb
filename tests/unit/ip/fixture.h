// SPDX-License-Identifier: Apache-2.0
// A host with lo and one Ethernet interface, 10.0.0.1/24 on tap0, and packets to throw at it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "frame/frame_pool.h"
#include "ip/fragments.h"
#include "ip/icmp.h"
#include "ip/input.h"
#include "ip/interfaces.h"
#include "ip/neighbors.h"
#include "ip/output.h"
#include "ip/path_mtu.h"
#include "ip/routes.h"
#include "wire/ipv4.h"

namespace tapir::ip {

inline constexpr Instant kStart = Instant{} + 1000s;
inline constexpr SipKey kKey{0x0123456789abcdef, 0xfedcba9876543210};
inline constexpr IpAddress kUs = IpAddress::v4(10, 0, 0, 1);
inline constexpr IpAddress kPeer = IpAddress::v4(10, 0, 0, 2);
inline constexpr IpAddress kGateway = IpAddress::v4(10, 0, 0, 254);
inline constexpr IpAddress kFar = IpAddress::v4(192, 0, 2, 7);
inline constexpr MacAddress kOurMac{2, 0, 0, 0, 0, 1};
inline constexpr MacAddress kPeerMac{2, 0, 0, 0, 0, 2};
inline constexpr MacAddress kOtherMac{2, 0, 0, 0, 0, 9};

using Data = std::vector<std::uint8_t>;

inline Data pattern(std::size_t size, unsigned seed = 1) {
  Data data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::uint8_t>(i * 7 + i / 251 + seed);
  return data;
}

inline IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }
inline IpAddress address(const char* text) { return *IpAddress::parse(text); }

// An IPv4 packet; total_length follows from the payload unless the header says one.
inline Data packet_of(wire::Ipv4Header header, const Data& payload) {
  const std::size_t header_size = wire::ipv4_header_length(header);
  if (header.total_length == 0)
    header.total_length = static_cast<std::uint16_t>(header_size + payload.size());
  Data bytes(header_size + payload.size());
  wire::emit_ipv4(header, bytes);
  std::copy(payload.begin(), payload.end(), bytes.begin() + static_cast<std::ptrdiff_t>(header_size));
  return bytes;
}

inline wire::Ipv4Header header_from_peer(IpProtocol protocol = IpProtocol::kUdp) {
  wire::Ipv4Header header;
  header.src = kPeer;
  header.dst = kUs;
  header.protocol = protocol;
  header.id = 77;
  return header;
}

// The whole packet as it would lie on the wire.
inline Data flat(const OutgoingFrame& frame) {
  Data bytes(frame.size());
  frame.copy_to(bytes);
  return bytes;
}
inline Data flat(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

struct Host {
  MemoryBudget budget{std::size_t{64} << 20};
  FramePool pool{budget};
  trace::Counters counters;
  trace::Tracer tracer;
  Knobs knobs;
  Interfaces interfaces;
  InterfaceId lo;
  InterfaceId tap;
  PathMtuCache path_mtu{kKey, knobs};
  Routes routes{interfaces, path_mtu, knobs};

  Host() {
    Interface loopback;
    loopback.name = "lo";
    loopback.kind = LinkKind::kLoopback;
    loopback.mtu = 65536;
    loopback.addresses = {prefix("127.0.0.1/8")};
    lo = interfaces.add(loopback);
    Interface ethernet;
    ethernet.name = "tap0";
    ethernet.mac = kOurMac;
    ethernet.addresses = {prefix("10.0.0.1/24")};
    tap = interfaces.add(ethernet);
    EXPECT_TRUE(routes.add_connected(tap, prefix("10.0.0.1/24")).has_value());
  }

  Frame frame(const Data& bytes, InterfaceId on) {
    Frame made = pool.copy(bytes);
    made.meta().interface = on;
    made.meta().received_at = kStart;
    return made;
  }
  Frame frame(const Data& bytes) { return frame(bytes, tap); }

  void add_default_route() {
    Route route;
    route.destination = prefix("0.0.0.0/0");
    route.gateway = kGateway;
    route.interface = tap;
    ASSERT_TRUE(routes.add(route).has_value());
  }
  std::expected<Path, RouteError> path_to(const IpAddress& destination, Instant now = kStart) const {
    RouteQuery query;
    query.destination = destination;
    return routes.resolve(query, now);
  }
  std::uint64_t count(trace::Counter counter) const { return counters.get(counter); }
  std::uint64_t dropped(trace::DropReason reason) const { return counters.dropped(reason); }
};

}  // namespace tapir::ip
