// SPDX-License-Identifier: Apache-2.0
#include "ip/interfaces.h"

#include <algorithm>

namespace tapir::ip {
namespace {

// The lowest address of a net is a broadcast address of old (RFC 1122 §3.3.6), and Linux still takes it for
// one.
// The directed broadcast of a network, or its number (RFC 1122 §3.3.6). Asked of every packet's source.
bool is_broadcast_of(const IpPrefix& net, const IpAddress& address) {
  if (!address.is_v4() || !net.address.is_v4() || net.length > 30) return false;
  const std::uint32_t host_mask = 0xffffffffU >> net.length;
  if (((address.v4_bits() ^ net.address.v4_bits()) & ~host_mask) != 0) return false;
  const std::uint32_t host = address.v4_bits() & host_mask;
  return host == 0 || host == host_mask;
}

bool same_net(const IpPrefix& a, const IpPrefix& b) { return a.network() == b.network(); }

}  // namespace

InterfaceId Interfaces::add(Interface interface) {
  if (interfaces_.size() == kInterfacesMax || find(interface.name) != nullptr) return kNoInterface;
  if (interface.addresses.size() > kAddressesMax) return kNoInterface;
  interface.id = static_cast<InterfaceId>(interfaces_.size() + 1);
  if (interface.kind == LinkKind::kLoopback && loopback_ == kNoInterface) loopback_ = interface.id;
  interfaces_.push_back(std::move(interface));
  ++generation_;
  return interfaces_.back().id;
}

const Interface* Interfaces::find(InterfaceId id) const {
  return id == kNoInterface || id > interfaces_.size() ? nullptr : &interfaces_[id - 1U];
}

Interface* Interfaces::mutable_find(InterfaceId id) {
  return id == kNoInterface || id > interfaces_.size() ? nullptr : &interfaces_[id - 1U];
}

const Interface* Interfaces::find(std::string_view name) const {
  const auto at = std::find_if(interfaces_.begin(), interfaces_.end(),
                               [&](const Interface& i) { return i.name == name; });
  return at == interfaces_.end() ? nullptr : &*at;
}

bool Interfaces::add_address(InterfaceId id, const IpPrefix& address) {
  Interface* interface = mutable_find(id);
  if (interface == nullptr || interface->addresses.size() == kAddressesMax) return false;
  for (const IpPrefix& have : interface->addresses)
    if (have.address == address.address) return false;
  interface->addresses.push_back(address);
  ++generation_;
  return true;
}

bool Interfaces::remove_address(InterfaceId id, const IpAddress& address) {
  Interface* interface = mutable_find(id);
  if (interface == nullptr) return false;
  const auto removed =
      std::erase_if(interface->addresses, [&](const IpPrefix& have) { return have.address == address; });
  if (removed == 0) return false;
  ++generation_;
  return true;
}

bool Interfaces::set_up(InterfaceId id, bool up) {
  Interface* interface = mutable_find(id);
  if (interface == nullptr) return false;
  interface->up = up;
  ++generation_;
  return true;
}

bool Interfaces::set_conf(InterfaceId id, const InterfaceKnobs& conf) {
  Interface* interface = mutable_find(id);
  if (interface == nullptr) return false;
  interface->conf = conf;
  return true;
}

bool Interfaces::set_mtu(InterfaceId id, std::uint32_t mtu) {
  Interface* interface = mutable_find(id);
  if (interface == nullptr) return false;
  interface->mtu = mtu;
  ++generation_;
  return true;
}

bool Interfaces::set_offloads(InterfaceId id, const PathOffloads& offloads) {
  Interface* interface = mutable_find(id);
  if (interface == nullptr) return false;
  interface->offloads = offloads;
  ++generation_;
  return true;
}

AddressKind Interfaces::classify(const IpAddress& address, InterfaceId on) const {
  // The common case first: a packet for the address of the interface it came in on.
  if (const Interface* arrival = find(on))
    for (const IpPrefix& own : arrival->addresses)
      if (own.address == address) return AddressKind::kLocal;
  const std::uint32_t first = address.is_v4() ? address.v4_bits() >> 24 : 0;
  const bool plain = first != 0 && first != 127 && first < 224;
  if (!plain) {
    if (address.is_unspecified()) return AddressKind::kUnspecified;
    if (address.is_multicast()) return AddressKind::kMulticast;
    if (address.is_broadcast()) return AddressKind::kBroadcast;
    if (address.is_loopback()) return AddressKind::kLocal;
  }
  bool broadcast = false;
  for (const Interface& interface : interfaces_)
    for (const IpPrefix& own : interface.addresses) {
      if (own.address == address) return AddressKind::kLocal;
      broadcast = broadcast || is_broadcast_of(own, address);
    }
  if (broadcast) return AddressKind::kBroadcast;
  return !plain && address.is_v4() ? AddressKind::kReserved : AddressKind::kElsewhere;
}

const Interface* Interfaces::owner_of(const IpAddress& address) const {
  for (const Interface& interface : interfaces_)
    for (const IpPrefix& own : interface.addresses)
      if (own.address == address) return &interface;
  return address.is_loopback() ? find(loopback_) : nullptr;
}

bool Interfaces::is_broadcast_on(const IpAddress& address, const Interface& interface) const {
  if (address.is_broadcast()) return true;
  return std::any_of(interface.addresses.begin(), interface.addresses.end(),
                     [&](const IpPrefix& own) { return is_broadcast_of(own, address); });
}

std::optional<IpAddress> Interfaces::source_for(const Interface& interface, const IpAddress& next_hop) const {
  std::optional<IpAddress> first;
  for (const IpPrefix& own : interface.addresses) {
    if (own.address.is_v4() != next_hop.is_v4()) continue;
    if (own.contains(next_hop)) return own.address;
    if (!first) first = own.address;
  }
  if (first) return first;
  for (const Interface& other : interfaces_) {
    if (other.kind == LinkKind::kLoopback || !other.up) continue;
    for (const IpPrefix& own : other.addresses)
      if (own.address.is_v4() == next_hop.is_v4()) return own.address;
  }
  return std::nullopt;
}

IpAddress Interfaces::local_source_for(const IpAddress& own) const {
  for (const Interface& interface : interfaces_) {
    const IpPrefix* match = nullptr;
    for (const IpPrefix& have : interface.addresses)
      if (have.address == own) match = &have;
    // 127.0.0.0/8 is local as a whole.
    if (match == nullptr && interface.kind == LinkKind::kLoopback)
      for (const IpPrefix& have : interface.addresses)
        if (have.contains(own)) return have.address;
    if (match == nullptr) continue;
    for (const IpPrefix& have : interface.addresses)
      if (same_net(have, *match)) return have.address;
  }
  return own;
}

}  // namespace tapir::ip
