// SPDX-License-Identifier: Apache-2.0
// Options of SOL_IP about multicast: Linux's do_ip_setsockopt and do_ip_getsockopt.
#include <netinet/in.h>

#include "base/bytes.h"
#include "socket/address.h"
#include "socket/option_table.h"

namespace tapir::socket {
namespace {

using State = Sockets::State;

constexpr int kMulticastAll = 49;  // IP_MULTICAST_ALL

// An ip_mreqn, or the ip_mreq at its front. Datagram sockets of IP only: a stream has no groups (EPROTO).
Result<ip_mreqn> load_request(SocketFile& s, const void* value, socklen_t length) {
  if (is_stream(s)) return fail(EPROTO);
  if (length < sizeof(ip_mreq)) return fail(EINVAL);
  if (value == nullptr) return fail(EFAULT);
  ip_mreqn request{};
  std::memcpy(&request, value, length >= sizeof(ip_mreqn) ? sizeof(ip_mreqn) : sizeof(ip_mreq));
  return request;
}

Result<int> join(State& state, SocketFile& s, const IpAddress& group, InterfaceId id, const IpAddress& local,
                 SourceFilter::Mode mode, Instant now) {
  if (!group.is_multicast()) return fail(EINVAL);
  const auto interface = state.group_interface(group, id, local, now);
  if (!interface) return std::unexpected(interface.error());
  const Result<int> joined = state.join_group(datagram(s), *interface, group, mode, now);
  state.finish_call(now);
  return joined;
}

Result<int> add_membership(State& state, SocketFile& s, const void* value, socklen_t length, Instant now) {
  const auto request = load_request(s, value, length);
  if (!request) return std::unexpected(request.error());
  return join(state, s, address_of(request->imr_multiaddr), static_cast<InterfaceId>(request->imr_ifindex),
              address_of(request->imr_address), SourceFilter::Mode::kExclude, now);
}

Result<int> leave(State& state, SocketFile& s, const IpAddress& group, InterfaceId id, const IpAddress& local,
                  Instant now) {
  const auto interface = state.group_interface(group, id, local, now);
  if (!interface) return std::unexpected(interface.error());
  const bool anywhere = id == kNoInterface && local.is_unspecified();
  const Result<int> left = state.leave_group(datagram(s), anywhere ? kNoInterface : *interface, group, now);
  state.finish_call(now);
  return left;
}

Result<int> drop_membership(State& state, SocketFile& s, const void* value, socklen_t length, Instant now) {
  const auto request = load_request(s, value, length);
  if (!request) return std::unexpected(request.error());
  return leave(state, s, address_of(request->imr_multiaddr), static_cast<InterfaceId>(request->imr_ifindex),
               address_of(request->imr_address), now);
}

struct SourceRequest {
  IpAddress group;
  IpAddress source;
  InterfaceId interface = kNoInterface;
  IpAddress local;
};

// What the four calls on sources have in common; who includes a source joins by it.
Result<int> change_source(State& state, SocketFile& s, const SourceRequest& request, SourceFilter::Mode mode,
                          bool add, Instant now) {
  if (is_stream(s)) return fail(EPROTO);
  if (!request.group.is_multicast()) return fail(EINVAL);
  const auto interface = state.group_interface(request.group, request.interface, request.local, now);
  if (!interface) return std::unexpected(interface.error());
  if (mode == SourceFilter::Mode::kInclude && add) {
    const Result<int> joined = state.join_group(datagram(s), *interface, request.group, mode, now);
    if (!joined && joined.error() != Errno{EADDRINUSE}) return joined;
  }
  const Result<int> changed =
      state.change_source(datagram(s), *interface, request.group, request.source, mode, add, now);
  state.finish_call(now);
  return changed;
}

template <SourceFilter::Mode mode, bool add>
Result<int> set_source(State& state, SocketFile& s, const void* value, socklen_t length, Instant now) {
  ip_mreq_source request;
  if (length != sizeof request) return fail(EINVAL);
  if (const auto loaded = load(request, value, length); !loaded) return loaded;
  return change_source(state, s,
                       {address_of(request.imr_multiaddr), address_of(request.imr_sourceaddr), kNoInterface,
                        address_of(request.imr_interface)},
                       mode, add, now);
}

template <SourceFilter::Mode mode, bool add>
Result<int> set_source_by_number(State& state, SocketFile& s, const void* value, socklen_t length,
                                 Instant now) {
  group_source_req request;
  if (length != sizeof request) return fail(EINVAL);
  if (const auto loaded = load(request, value, length); !loaded) return loaded;
  const auto group = address_of(request.gsr_group);
  const auto source = address_of(request.gsr_source);
  if (!group || !source) return fail(EADDRNOTAVAIL);
  return change_source(
      state, s, {*group, *source, static_cast<InterfaceId>(request.gsr_interface), IpAddress::any_v4()}, mode,
      add, now);
}

template <bool joins>
Result<int> set_group(State& state, SocketFile& s, const void* value, socklen_t length, Instant now) {
  if (is_stream(s)) return fail(EPROTO);
  group_req request;
  if (const auto loaded = load(request, value, length); !loaded) return loaded;
  const auto group = address_of(request.gr_group);
  if (!group) return std::unexpected(group.error());
  const auto id = static_cast<InterfaceId>(request.gr_interface);
  if (joins) return join(state, s, *group, id, IpAddress::any_v4(), SourceFilter::Mode::kExclude, now);
  return leave(state, s, *group, id, IpAddress::any_v4(), now);
}

Result<int> get_interface(State&, SocketFile& s, void* value, socklen_t* length, Instant) {
  in_addr address{};
  if (!is_stream(s) && datagram(s).multicast.source.is_v4())
    address.s_addr = to_big_endian(datagram(s).multicast.source.v4_bits());
  return store(&address, sizeof address, value, length);
}

// An ip_mreqn, an ip_mreq or an in_addr; by number, or by an address of ours.
Result<int> set_interface(State& state, SocketFile& s, const void* value, socklen_t length, Instant) {
  if (is_stream(s) || length < sizeof(in_addr)) return fail(EINVAL);
  if (value == nullptr) return fail(EFAULT);
  ip_mreqn request{};
  if (length >= sizeof(ip_mreqn))
    std::memcpy(&request, value, sizeof(ip_mreqn));
  else if (length >= sizeof(ip_mreq))
    std::memcpy(&request, value, sizeof(ip_mreq));
  else
    std::memcpy(&request.imr_address, value, sizeof(in_addr));
  MulticastOptions& options = datagram(s).multicast;
  const IpAddress address = address_of(request.imr_address);
  if (request.imr_ifindex == 0 && address.is_unspecified()) {
    options.interface = kNoInterface;
    options.source = {};
    return 0;
  }
  const ip::Interface* interface =
      request.imr_ifindex != 0 ? state.parts.interfaces.find(static_cast<InterfaceId>(request.imr_ifindex))
                               : state.parts.interfaces.owner_of(address);
  if (interface == nullptr) return fail(EADDRNOTAVAIL);
  if (s.interface != kNoInterface && s.interface != interface->id) return fail(EINVAL);
  options.interface = interface->id;
  options.source = address.is_unspecified() ? IpAddress() : address;
  return 0;
}

constexpr SourceFilter::Mode kInclude = SourceFilter::Mode::kInclude;
constexpr SourceFilter::Mode kExclude = SourceFilter::Mode::kExclude;

constexpr Option kMulticastOptions[] = {
    {IP_MULTICAST_TTL, Sorts::kAll,
     [](State&, SocketFile& s, Instant) -> Result<int> {
       return is_stream(s) ? 1 : static_cast<int>(datagram(s).multicast.hop_limit);
     },
     [](State&, SocketFile& s, int value, Instant) -> Result<int> {
       if (is_stream(s) || value < -1 || value > 255) return fail(EINVAL);
       datagram(s).multicast.hop_limit = static_cast<std::uint8_t>(value == -1 ? 1 : value);
       return 0;
     }},
    {IP_MULTICAST_LOOP, Sorts::kAll,
     [](State&, SocketFile& s, Instant) -> Result<int> { return s.multicast_loop ? 1 : 0; },
     [](State&, SocketFile& s, int value, Instant) -> Result<int> {
       s.multicast_loop = value != 0;
       return 0;
     }},
    {kMulticastAll, Sorts::kDatagram,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       const GroupMemberships* groups = state.groups_of(datagram(s));
       return groups == nullptr || groups->all ? 1 : 0;
     },
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       if (value != 0 && value != 1) return fail(EINVAL);
       if (GroupMemberships* groups = state.groups_of(datagram(s))) groups->all = value != 0;
       return 0;
     }},
    {IP_MULTICAST_IF, Sorts::kAll, nullptr, nullptr, get_interface, set_interface},
    {IP_ADD_MEMBERSHIP, Sorts::kAll, nullptr, nullptr, nullptr, add_membership},
    {IP_DROP_MEMBERSHIP, Sorts::kAll, nullptr, nullptr, nullptr, drop_membership},
    {IP_ADD_SOURCE_MEMBERSHIP, Sorts::kAll, nullptr, nullptr, nullptr, set_source<kInclude, true>},
    {IP_DROP_SOURCE_MEMBERSHIP, Sorts::kAll, nullptr, nullptr, nullptr, set_source<kInclude, false>},
    {IP_BLOCK_SOURCE, Sorts::kAll, nullptr, nullptr, nullptr, set_source<kExclude, true>},
    {IP_UNBLOCK_SOURCE, Sorts::kAll, nullptr, nullptr, nullptr, set_source<kExclude, false>},
    {MCAST_JOIN_GROUP, Sorts::kAll, nullptr, nullptr, nullptr, set_group<true>},
    {MCAST_LEAVE_GROUP, Sorts::kAll, nullptr, nullptr, nullptr, set_group<false>},
    {MCAST_JOIN_SOURCE_GROUP, Sorts::kAll, nullptr, nullptr, nullptr, set_source_by_number<kInclude, true>},
    {MCAST_LEAVE_SOURCE_GROUP, Sorts::kAll, nullptr, nullptr, nullptr, set_source_by_number<kInclude, false>},
    {MCAST_BLOCK_SOURCE, Sorts::kAll, nullptr, nullptr, nullptr, set_source_by_number<kExclude, true>},
    {MCAST_UNBLOCK_SOURCE, Sorts::kAll, nullptr, nullptr, nullptr, set_source_by_number<kExclude, false>},
};

}  // namespace

std::span<const Option> multicast_options() { return kMulticastOptions; }

}  // namespace tapir::socket
