// SPDX-License-Identifier: Apache-2.0
// Who wants what from a multicast group: source filters (RFC 3376 §2, §3.1) and the groups of one socket.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/intrusive_list.h"
#include "inet/ip_address.h"
#include "inet/protocol.h"

namespace tapir::inline inet {

// Sources of one filter: net.ipv4.igmp_max_msf is 10 in Linux; without a limit a socket makes reports of any
// length.
inline constexpr std::size_t kFilterSourcesMax = 16;

struct SourceFilter {
  enum class Mode : std::uint8_t { kInclude, kExclude };
  Mode mode = Mode::kExclude;  // with no sources: everything
  std::uint8_t count = 0;
  std::array<IpAddress, kFilterSourcesMax> sources{};

  bool lists(const IpAddress& source) const {
    return std::find(sources.begin(), sources.begin() + count, source) != sources.begin() + count;
  }
  bool allows(const IpAddress& source) const { return lists(source) == (mode == Mode::kInclude); }
  // False: it is listed already, or there is no room.
  bool add(const IpAddress& source) {
    if (count == kFilterSourcesMax || lists(source)) return false;
    sources[count++] = source;
    return true;
  }
  // False: it is not listed.
  bool remove(const IpAddress& source) {
    const auto end = sources.begin() + count;
    const auto at = std::find(sources.begin(), end, source);
    if (at == end) return false;
    std::copy(at + 1, end, at);
    --count;
    return true;
  }
  // Would it let nothing through?
  bool shuts_out_all() const { return mode == Mode::kInclude && count == 0; }
  friend bool operator==(const SourceFilter& a, const SourceFilter& b) {
    return a.mode == b.mode && a.count == b.count &&
           std::equal(a.sources.begin(), a.sources.begin() + a.count, b.sources.begin());
  }
};

// One socket in one group on one interface.
struct GroupMembership : ListLink<> {
  InterfaceId interface = kNoInterface;
  IpAddress group;
  SourceFilter filter;
};

// All groups of a socket; the memberships are their owner's.
struct GroupMemberships {
  IntrusiveList<GroupMembership> list;
  bool all = true;  // IP_MULTICAST_ALL: also groups that only others on this host joined

  GroupMembership* find(InterfaceId interface, const IpAddress& group) {
    for (GroupMembership& each : list)
      if (each.interface == interface && each.group == group) return &each;
    return nullptr;
  }
  // Is a datagram from `source` to `group` for this socket? Linux's ip_mc_sf_allow.
  bool allow(InterfaceId interface, const IpAddress& group, const IpAddress& source) const {
    if (!group.is_multicast()) return true;
    for (const GroupMembership& each : list)
      if (each.interface == interface && each.group == group) return each.filter.allows(source);
    return all;
  }
};

}  // namespace tapir::inline inet
