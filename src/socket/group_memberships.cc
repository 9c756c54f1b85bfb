// SPDX-License-Identifier: Apache-2.0
// Sockets in multicast groups: Linux's ip_mc_join_group, ip_mc_leave_group, ip_mc_source.
#include <algorithm>

#include "socket/state.h"

namespace tapir::socket {

GroupMemberships* Sockets::State::groups_of(DatagramSocket& s) {
  switch (s.kind) {
    case FileKind::kDatagram: {
      udp::DatagramPort* port = parts.udp.get(s.port);
      return port != nullptr ? &port->groups : nullptr;
    }
    case FileKind::kRaw: {
      raw::RawPort* port = parts.raw_ports.get(static_cast<RawSocket&>(s).port_of_raw);
      return port != nullptr ? &port->groups : nullptr;
    }
    case FileKind::kPing: {
      raw::PingPort* port = parts.ping_ports.get(static_cast<PingSocket&>(s).port_of_ping);
      return port != nullptr ? &port->groups : nullptr;
    }
    default:
      return nullptr;
  }
}

// Linux's ip_mc_find_dev: by number, by an address of ours, or where the route to the group goes.
Result<InterfaceId> Sockets::State::group_interface(const IpAddress& group, InterfaceId id,
                                                    const IpAddress& address, Instant now) const {
  if (id != kNoInterface) {
    if (parts.interfaces.find(id) == nullptr) return fail(ENODEV);
    return id;
  }
  if (!address.is_unspecified()) {
    const ip::Interface* owner = parts.interfaces.owner_of(address);
    if (owner == nullptr) return fail(ENODEV);
    return owner->id;
  }
  const auto path = parts.routes.resolve({.destination = group, .source = std::nullopt}, now);
  if (!path) return fail(ENODEV);
  return path->interface;
}

Result<int> Sockets::State::join_group(DatagramSocket& s, InterfaceId interface, const IpAddress& group,
                                       SourceFilter::Mode mode, Instant now) {
  GroupMemberships* groups = groups_of(s);
  if (groups == nullptr) return fail(EINVAL);
  if (groups->find(interface, group) != nullptr) return fail(EADDRINUSE);
  if (groups->list.size() >= parts.ip_knobs.igmp_max_memberships) return fail(ENOBUFS);
  const auto handle = memberships.emplace();
  Membership* membership = memberships.get(handle);
  if (membership == nullptr) return fail(ENOBUFS);
  membership->interface = interface;
  membership->group = group;
  membership->filter.mode = mode;
  membership->member = parts.groups.join(interface, group, membership->filter, now);
  if (!membership->member) {
    memberships.erase(handle);
    return fail(ENOBUFS);
  }
  groups->list.push_back(*membership);
  return 0;
}

Result<int> Sockets::State::leave_group(DatagramSocket& s, InterfaceId interface, const IpAddress& group,
                                        Instant now) {
  GroupMemberships* groups = groups_of(s);
  GroupMembership* found = nullptr;
  // Without an interface: the first one where it is a member (Linux: any of that group).
  if (groups != nullptr)
    for (GroupMembership& each : groups->list)
      if (found == nullptr && each.group == group &&
          (interface == kNoInterface || each.interface == interface))
        found = &each;
  if (found == nullptr) return fail(EADDRNOTAVAIL);
  auto& membership = static_cast<Membership&>(*found);
  groups->list.erase(membership);
  parts.groups.leave(membership.member, now);
  memberships.erase(membership);
  return 0;
}

void Sockets::State::leave_groups(DatagramSocket& s, Instant now) {
  GroupMemberships* groups = groups_of(s);
  if (groups == nullptr) return;
  while (GroupMembership* first = groups->list.front())
    (void)leave_group(s, first->interface, IpAddress(first->group), now);
}

Result<int> Sockets::State::change_source(DatagramSocket& s, InterfaceId interface, const IpAddress& group,
                                          const IpAddress& source, SourceFilter::Mode mode, bool add,
                                          Instant now) {
  GroupMemberships* groups = groups_of(s);
  GroupMembership* found = groups != nullptr ? groups->find(interface, group) : nullptr;
  if (found == nullptr) return fail(EINVAL);
  auto& membership = static_cast<Membership&>(*found);
  SourceFilter& filter = membership.filter;
  // The mode may change only while no source is listed.
  if (filter.mode != mode && filter.count != 0) return fail(EINVAL);
  filter.mode = mode;
  if (!add) {
    if (!filter.remove(source)) return fail(EADDRNOTAVAIL);
    if (filter.shuts_out_all()) return leave_group(s, interface, group, now);
  } else {
    if (filter.lists(source)) return fail(EADDRNOTAVAIL);
    if (filter.count >= parts.ip_knobs.igmp_max_msf || !filter.add(source)) return fail(ENOBUFS);
  }
  parts.groups.set_filter(membership.member, filter, now);
  return 0;
}

// Linux's ip_mc_msfilter. Nothing included is nothing wanted: it leaves.
Result<int> Sockets::State::replace_sources(DatagramSocket& s, InterfaceId interface, const IpAddress& group,
                                            const SourceFilter& filter, Instant now) {
  if (filter.shuts_out_all()) return leave_group(s, interface, group, now);
  GroupMemberships* groups = groups_of(s);
  GroupMembership* found = groups != nullptr ? groups->find(interface, group) : nullptr;
  if (found == nullptr) return fail(EINVAL);
  auto& membership = static_cast<Membership&>(*found);
  membership.filter = filter;
  parts.groups.set_filter(membership.member, filter, now);
  return 0;
}

}  // namespace tapir::socket
