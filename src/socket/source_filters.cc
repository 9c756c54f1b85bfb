// SPDX-License-Identifier: Apache-2.0
// IP_MSFILTER and MCAST_MSFILTER (RFC 3678 §4.1, §5.1): the whole source filter of a group at once. Linux's
// ip_mc_msfilter, ip_mc_msfget and ip_mc_gsfget.
#include <netinet/in.h>

#include <cstddef>
#include <cstring>

#include "base/bytes.h"
#include "socket/address.h"
#include "socket/option_table.h"

namespace tapir::socket {
namespace {

using State = Sockets::State;

// Before their lists of sources.
constexpr std::size_t kFilterFront = offsetof(ip_msfilter, imsf_slist);
constexpr std::size_t kGroupFilterFront = offsetof(group_filter, gf_slist);

// The family is the caller's to check.
IpAddress address_in(const sockaddr_storage& name) {
  sockaddr_in in;
  std::memcpy(&in, &name, sizeof in);
  return address_of(in.sin_addr);
}

sockaddr_storage name_of(const IpAddress& address) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = to_big_endian(address.v4_bits());
  sockaddr_storage name{};
  std::memcpy(&name, &in, sizeof in);
  return name;
}

// The group and its interface, as the front of either structure names them.
struct Target {
  IpAddress group;
  InterfaceId interface = kNoInterface;
  IpAddress local;  // unspecified: by number, or where the route goes
};

Target target_of(const ip_msfilter& front) {
  return {address_of(front.imsf_multiaddr), kNoInterface, address_of(front.imsf_interface)};
}
Target target_of(const group_filter& front) {
  return {address_in(front.gf_group), static_cast<InterfaceId>(front.gf_interface), IpAddress::any_v4()};
}

std::optional<SourceFilter::Mode> mode_of(std::uint32_t linux_mode) {
  if (linux_mode == MCAST_INCLUDE) return SourceFilter::Mode::kInclude;
  if (linux_mode == MCAST_EXCLUDE) return SourceFilter::Mode::kExclude;
  return std::nullopt;
}
std::uint32_t linux_mode(SourceFilter::Mode mode) {
  return mode == SourceFilter::Mode::kInclude ? MCAST_INCLUDE : MCAST_EXCLUDE;
}

Result<int> replace(State& state, SocketFile& s, const Target& target, const SourceFilter& filter,
                    Instant now) {
  if (is_stream(s)) return fail(EPROTO);
  if (!target.group.is_multicast()) return fail(EINVAL);
  const auto interface = state.group_interface(target.group, target.interface, target.local, now);
  if (!interface) return std::unexpected(interface.error());
  const Result<int> replaced = state.replace_sources(datagram(s), *interface, target.group, filter, now);
  state.finish_call(now);
  return replaced;
}

Result<const GroupMembership*> membership(State& state, SocketFile& s, const Target& target, Instant now) {
  if (!target.group.is_multicast()) return fail(EINVAL);
  GroupMemberships* groups = is_stream(s) ? nullptr : state.groups_of(datagram(s));
  if (target.interface == kNoInterface && !target.local.is_unspecified() &&
      state.parts.interfaces.owner_of(target.local) == nullptr)
    return fail(ENODEV);
  const auto interface = state.group_interface(target.group, target.interface, target.local, now);
  if (!interface) return std::unexpected(interface.error());
  const GroupMembership* found = groups != nullptr ? groups->find(*interface, target.group) : nullptr;
  if (found == nullptr) return fail(EADDRNOTAVAIL);
  return found;
}

Result<int> set_filter(State& state, SocketFile& s, const void* value, socklen_t length, Instant now) {
  ip_msfilter front;
  if (length < kFilterFront) return fail(EINVAL);
  if (value == nullptr) return fail(EFAULT);
  std::memcpy(&front, value, kFilterFront);
  if (front.imsf_numsrc > state.parts.ip_knobs.igmp_max_msf) return fail(ENOBUFS);
  if (length < kFilterFront + front.imsf_numsrc * sizeof(in_addr)) return fail(EINVAL);
  const auto mode = mode_of(front.imsf_fmode);
  if (!mode) return fail(EINVAL);
  SourceFilter filter;
  filter.mode = *mode;
  for (std::uint32_t i = 0; i < front.imsf_numsrc; ++i) {
    in_addr source;
    std::memcpy(&source, static_cast<const std::uint8_t*>(value) + kFilterFront + i * sizeof source,
                sizeof source);
    (void)filter.add(address_of(source));
  }
  return replace(state, s, target_of(front), filter, now);
}

Result<int> get_filter(State& state, SocketFile& s, void* value, socklen_t* length, Instant now) {
  ip_msfilter front;
  if (*length < kFilterFront) return fail(EINVAL);
  if (value == nullptr) return fail(EFAULT);
  std::memcpy(&front, value, kFilterFront);
  const auto found = membership(state, s, target_of(front), now);
  if (!found) return std::unexpected(found.error());
  const SourceFilter& filter = (*found)->filter;
  const std::uint32_t wanted =
      std::min(front.imsf_numsrc, static_cast<std::uint32_t>((*length - kFilterFront) / sizeof(in_addr)));
  const std::uint32_t told = std::min<std::uint32_t>(wanted, filter.count);
  front.imsf_fmode = linux_mode(filter.mode);
  front.imsf_numsrc = filter.count;
  auto* out = static_cast<std::uint8_t*>(value);
  std::memcpy(out, &front, kFilterFront);
  for (std::uint32_t i = 0; i < told; ++i) {
    const in_addr source{to_big_endian(filter.sources[i].v4_bits())};
    std::memcpy(out + kFilterFront + i * sizeof source, &source, sizeof source);
  }
  *length = static_cast<socklen_t>(kFilterFront + told * sizeof(in_addr));
  return 0;
}

Result<int> set_group_filter(State& state, SocketFile& s, const void* value, socklen_t length, Instant now) {
  group_filter front;
  if (length < kGroupFilterFront) return fail(EINVAL);
  if (value == nullptr) return fail(EFAULT);
  std::memcpy(&front, value, kGroupFilterFront);
  if (front.gf_numsrc > state.parts.ip_knobs.igmp_max_msf) return fail(ENOBUFS);
  if (length < kGroupFilterFront + front.gf_numsrc * sizeof(sockaddr_storage)) return fail(EINVAL);
  const auto mode = mode_of(front.gf_fmode);
  if (!mode || front.gf_group.ss_family != AF_INET) return fail(EINVAL);
  SourceFilter filter;
  filter.mode = *mode;
  for (std::uint32_t i = 0; i < front.gf_numsrc; ++i) {
    sockaddr_storage source;
    std::memcpy(&source, static_cast<const std::uint8_t*>(value) + kGroupFilterFront + i * sizeof source,
                sizeof source);
    if (source.ss_family != AF_INET) return fail(EADDRNOTAVAIL);
    (void)filter.add(address_in(source));
  }
  return replace(state, s, target_of(front), filter, now);
}

Result<int> get_group_filter(State& state, SocketFile& s, void* value, socklen_t* length, Instant now) {
  group_filter front;
  if (*length < kGroupFilterFront) return fail(EINVAL);
  if (value == nullptr) return fail(EFAULT);
  std::memcpy(&front, value, kGroupFilterFront);
  if (front.gf_group.ss_family != AF_INET) return fail(EINVAL);
  const auto found = membership(state, s, target_of(front), now);
  if (!found) return std::unexpected(found.error());
  const SourceFilter& filter = (*found)->filter;
  const std::uint32_t wanted = std::min(
      front.gf_numsrc, static_cast<std::uint32_t>((*length - kGroupFilterFront) / sizeof(sockaddr_storage)));
  const std::uint32_t told = std::min<std::uint32_t>(wanted, filter.count);
  front.gf_fmode = linux_mode(filter.mode);
  front.gf_numsrc = filter.count;
  auto* out = static_cast<std::uint8_t*>(value);
  std::memcpy(out, &front, kGroupFilterFront);
  for (std::uint32_t i = 0; i < told; ++i) {
    const sockaddr_storage source = name_of(filter.sources[i]);
    std::memcpy(out + kGroupFilterFront + i * sizeof source, &source, sizeof source);
  }
  *length = static_cast<socklen_t>(kGroupFilterFront + told * sizeof(sockaddr_storage));
  return 0;
}

constexpr Option kSourceFilterOptions[] = {
    {IP_MSFILTER, Sorts::kAll, nullptr, nullptr, get_filter, set_filter},
    {MCAST_MSFILTER, Sorts::kAll, nullptr, nullptr, get_group_filter, set_group_filter},
};

}  // namespace

std::span<const Option> source_filter_options() { return kSourceFilterOptions; }

}  // namespace tapir::socket
