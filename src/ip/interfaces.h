// SPDX-License-Identifier: Apache-2.0
// The stack's interfaces as IP sees them: names, addresses, who is local, which source address to use.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inet/ip_address.h"
#include "inet/path.h"
#include "inet/protocol.h"
#include "ip/knobs.h"
#include "wire/ethernet.h"

namespace tapir::ip {

using wire::MacAddress;

// What is below IP.
enum class LinkKind : std::uint8_t {
  kEthernet,  // needs neighbours' MAC addresses
  kRawIp,     // frames begin with the IP header; nobody to resolve
  kLoopback,  // comes back to ourselves
};

struct Interface {
  InterfaceId id = kNoInterface;  // given by Interfaces::add
  std::string name;               // "lo", "tap0"
  LinkKind kind = LinkKind::kEthernet;
  MacAddress mac{};          // all zero without Ethernet
  std::uint32_t mtu = 1500;  // bytes of IP packet
  bool up = true;
  std::vector<IpPrefix> addresses;  // address with its net; the first of a net is the primary one
  PathOffloads offloads;            // what the device below (wrapped or not) can do
  InterfaceKnobs conf;              // net.ipv4.conf.NAME.*
};

// What an address is to this stack.
enum class AddressKind : std::uint8_t {
  kUnspecified,  // 0.0.0.0
  kLocal,        // one of ours, or 127.0.0.0/8
  kBroadcast,    // 255.255.255.255, or the broadcast or network address of one of our nets
  kMulticast,    // 224.0.0.0/4
  kReserved,     // 0.0.0.0/8 and 240.0.0.0/4 without 255.255.255.255
  kElsewhere,    // somebody else's
};

class Interfaces {
 public:
  // Most interfaces of one stack: found by linear search.
  static constexpr std::size_t kInterfacesMax = 64;
  // Most addresses of one interface (linear search per received packet).
  static constexpr std::size_t kAddressesMax = 256;

  // Adds `interface` and gives it the next id; kNoInterface when there are too many or the name is taken.
  InterfaceId add(Interface interface);
  // Null when there is none.
  const Interface* find(InterfaceId id) const;
  const Interface* find(std::string_view name) const;
  std::span<const Interface> list() const { return interfaces_; }
  // The loopback interface, or kNoInterface while there is none.
  InterfaceId loopback() const { return loopback_; }

  // False when the interface or address does not exist, or (add) exists already.
  bool add_address(InterfaceId id, const IpPrefix& address);
  bool remove_address(InterfaceId id, const IpAddress& address);
  bool set_up(InterfaceId id, bool up);
  bool set_mtu(InterfaceId id, std::uint32_t mtu);
  bool set_offloads(InterfaceId id, const PathOffloads& offloads);
  bool set_conf(InterfaceId id, const InterfaceKnobs& conf);

  // Linux's inet_addr_type. `on`: where a packet for it arrived; its nets are looked at first.
  AddressKind classify(const IpAddress& address, InterfaceId on = kNoInterface) const;
  bool is_local_address(const IpAddress& address) const { return classify(address) == AddressKind::kLocal; }
  // The interface that owns `address` (127.0.0.0/8 belongs to loopback), or null.
  const Interface* owner_of(const IpAddress& address) const;
  // True when `address` is 255.255.255.255, or the broadcast or network address of one of our nets.
  bool is_broadcast(const IpAddress& address) const {
    return address.is_broadcast() || classify(address) == AddressKind::kBroadcast;
  }
  // True when `address` is a broadcast of this interface's nets, or 255.255.255.255 (Linux's inet_ifa_match
  // on brd).
  bool is_broadcast_on(const IpAddress& address, const Interface& interface) const;
  // Source address to reach `next_hop` over `interface`: the primary address of the net that contains it,
  // else the interface's first, else any other interface's first that is not loopback (Linux's
  // inet_select_addr). Nothing when the stack has no address.
  std::optional<IpAddress> source_for(const Interface& interface, const IpAddress& next_hop) const;
  // What a local destination is answered from: the primary address of its net; 127.0.0.1 for 127.0.0.0/8.
  IpAddress local_source_for(const IpAddress& own) const;

  // Moves with every change; part of Path::generation.
  std::uint32_t generation() const { return generation_; }

 private:
  Interface* mutable_find(InterfaceId id);

  std::vector<Interface> interfaces_;  // index = id - 1
  InterfaceId loopback_ = kNoInterface;
  std::uint32_t generation_ = 1;
};

}  // namespace tapir::ip
