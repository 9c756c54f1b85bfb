// SPDX-License-Identifier: Apache-2.0
#include "ip/groups.h"

#include <algorithm>
#include <array>
#include <utility>

#include "inet/flow_hash.h"
#include "wire/checksum.h"
#include "wire/ipv4.h"

namespace tapir::ip {
namespace {

using wire::IgmpRecordKind;
using wire::IgmpType;

constexpr IpAddress kAllHosts = IpAddress::v4(224, 0, 0, 1);
constexpr IpAddress kAllRouters = IpAddress::v4(224, 0, 0, 2);
constexpr IpAddress kAllIgmpV3Routers = IpAddress::v4(224, 0, 0, 22);
// RFC 2113: every router on the way shall look. IGMP carries it (RFC 2236 §2, RFC 3376 §4).
constexpr std::array<std::uint8_t, 4> kRouterAlert = {148, 4, 0, 0};
// RFC 3376 §4: internetwork control.
constexpr std::uint8_t kIgmpTos = 0xc0;
// Linux's IGMP_V1_ROUTER_PRESENT_TIMEOUT and IGMP_V2_ROUTER_PRESENT_TIMEOUT (RFC 3376 §8.12).
constexpr Duration kOlderRouterPresent = 400s;
// Between the copies of an unsolicited report, at random up to (RFC 2236 §8.10, RFC 3376 §8.11).
constexpr Duration kUnsolicitedV2 = 10s;
constexpr Duration kUnsolicitedV3 = 1s;
// Bytes of one version 3 report: what Ethernet carries less an IP header with its option.
constexpr std::size_t kReportBytesMax = 1476;

// RFC 791 §3.2: what every link carries.
constexpr std::uint32_t kMtuMin = 68;

bool is_link_local(const IpAddress& group) { return group.v4_bits() >> 8 == 0xe00000; }

// The record that asks for all of a group, whoever sends.
std::size_t put_whole_group(const IpAddress& group, bool change, MutableBytes out) {
  out[0] = static_cast<std::uint8_t>(change ? IgmpRecordKind::kToExclude : IgmpRecordKind::kIsExclude);
  out[1] = 0;
  store_be<std::uint16_t>(out, 2, 0);
  store_be<std::uint32_t>(out, 4, group.v4_bits());
  return wire::kIgmpRecordLength;
}

}  // namespace

Groups::Groups(const Interfaces& interfaces, FramePool& pool, SipKey key, Rng rng, const Knobs& knobs,
               ChargeHook hook)
    : interfaces_(interfaces),
      pool_(pool),
      key_(key),
      rng_(rng),
      knobs_(knobs),
      groups_(kGroupsMax, hook),
      members_(kMembersMax, hook),
      table_(kGroupsMax, hook) {}

Groups::~Groups() {
  for (Group& group : order_) group.members.clear();
  order_.clear();
}

std::uint64_t Groups::hash_of(InterfaceId interface, const IpAddress& address) const {
  return endpoint_hash(key_, Endpoint{address, interface});
}

Groups::Group* Groups::find(InterfaceId interface, const IpAddress& address) const {
  if (table_.empty()) return nullptr;
  const auto index = table_.find(hash_of(interface, address), [&](std::uint32_t at) {
    const Group& group = *groups_.at(at);
    return group.interface == interface && group.address == address;
  });
  return index ? groups_.at(*index) : nullptr;
}

Groups::Group* Groups::find_or_create(InterfaceId interface, const IpAddress& address) {
  if (Group* group = find(interface, address)) return group;
  const Handle<Group> handle = groups_.emplace();
  Group* group = groups_.get(handle);
  if (group == nullptr) return nullptr;
  group->hash = hash_of(interface, address);
  if (!table_.insert(group->hash, handle.index)) {
    groups_.erase(*group);
    return nullptr;
  }
  group->interface = interface;
  group->address = address;
  group->filter.mode = SourceFilter::Mode::kInclude;  // of nobody: nothing
  order_.push_back(*group);
  return group;
}

Groups::Link& Groups::link(InterfaceId interface) {
  if (interface >= links_.size()) links_.resize(interface + 1U);
  return links_[interface];
}

std::uint8_t Groups::version(InterfaceId interface, Instant now) const {
  if (const Interface* on = interfaces_.find(interface))
    if (const std::uint8_t forced = forced_igmp_version(knobs_, on->conf); forced != 0) return forced;
  if (interface >= links_.size()) return 3;
  if (now < links_[interface].v1_until) return 1;
  return now < links_[interface].v2_until ? 2 : 3;
}

// RFC 3376 §3.2. When the sources are more than a filter holds, everything is asked for.
SourceFilter Groups::merged(const Group& group) {
  SourceFilter all;
  const bool excludes = std::any_of(group.members.begin(), group.members.end(), [](const Member& each) {
    return each.filter.mode == SourceFilter::Mode::kExclude;
  });
  if (!excludes) {
    all.mode = SourceFilter::Mode::kInclude;
    for (const Member& each : group.members)
      for (std::uint8_t i = 0; i < each.filter.count; ++i)
        if (!all.lists(each.filter.sources[i]) && !all.add(each.filter.sources[i])) return SourceFilter{};
    return all;
  }
  // What everybody who excludes excludes, and nobody includes.
  bool first = true;
  for (const Member& each : group.members) {
    if (each.filter.mode != SourceFilter::Mode::kExclude) continue;
    if (std::exchange(first, false)) all = each.filter;
    for (std::uint8_t i = all.count; i-- > 0;)
      if (!each.filter.lists(all.sources[i])) all.remove(IpAddress(all.sources[i]));
  }
  for (const Member& each : group.members)
    if (each.filter.mode == SourceFilter::Mode::kInclude)
      for (std::uint8_t i = 0; i < each.filter.count; ++i) all.remove(each.filter.sources[i]);
  return all;
}

bool Groups::is_reported(const Group& group) const {
  if (group.address == kAllHosts) return false;
  if (is_link_local(group.address) && !knobs_.igmp_link_local_mcast_reports) return false;
  const Interface* interface = interfaces_.find(group.interface);
  return interface != nullptr && interface->up && interface->kind != LinkKind::kLoopback &&
         interface->mtu >= kMtuMin;
}

// The members changed: tells the routers, at once and again, when what is wanted did.
void Groups::changed(Group& group, Instant now) {
  const SourceFilter filter = merged(group);
  if (filter == group.filter) return forget_if_done(group);
  group.filter = filter;
  group.changes_left = is_reported(group) ? knobs_.igmp_qrv : std::uint8_t{0};
  group.change_at = group.changes_left != 0 ? now : kNever;
  if (group.changes_left != 0) arm(now);
  forget_if_done(group);
}

void Groups::forget_if_done(Group& group) {
  if (!group.members.empty() || group.changes_left != 0) return;
  order_.erase(group);
  table_.erase(group.hash, groups_.handle_of(group).index);
  groups_.erase(group);
}

MemberId Groups::join(InterfaceId interface, const IpAddress& address, const SourceFilter& filter,
                      Instant now) {
  Group* group = find_or_create(interface, address);
  if (group == nullptr) return {};
  const MemberId id = members_.emplace();
  Member* member = members_.get(id);
  if (member != nullptr) {
    member->filter = filter;
    member->group = groups_.handle_of(*group).index;
    group->members.push_back(*member);
  }
  changed(*group, now);
  return id;
}

void Groups::set_filter(MemberId id, const SourceFilter& filter, Instant now) {
  Member* member = members_.get(id);
  if (member == nullptr) return;
  member->filter = filter;
  changed(*groups_.at(member->group), now);
}

void Groups::leave(MemberId id, Instant now) {
  Member* member = members_.get(id);
  if (member == nullptr) return;
  Group& group = *groups_.at(member->group);
  group.members.erase(*member);
  members_.erase(*member);
  changed(group, now);
}

void Groups::announce(InterfaceId interface, Instant now) {
  for (Group& group : order_) {
    if (group.interface != interface || group.members.empty() || !is_reported(group)) continue;
    group.changes_left = knobs_.igmp_qrv;
    group.change_at = now;
    arm(now);
  }
}

bool Groups::joined(InterfaceId interface, const IpAddress& address) const {
  const Group* group = find(interface, address);
  return group != nullptr && !group->members.empty();
}

bool Groups::accepts(InterfaceId interface, const IpAddress& address, const IpAddress& source,
                     IpProtocol protocol) const {
  if (address == kAllHosts) return true;
  const Group* group = find(interface, address);
  if (group == nullptr || group->members.empty()) return false;
  return protocol == IpProtocol::kIgmp || group->filter.allows(source);
}

Duration Groups::random_up_to(Duration limit) {
  return Duration(static_cast<Duration::rep>(rng_.below(static_cast<std::uint64_t>(limit.count()) + 1)));
}

std::optional<trace::DropReason> Groups::input(const Datagram& datagram, Instant now) {
  const auto message = wire::parse_igmp(datagram.frame.bytes());
  if (!message || wire::internet_checksum(datagram.frame.bytes()) != 0) return trace::DropReason::kIgmp;
  switch (message->type) {
    case IgmpType::kQuery:
      if (!message->group.is_unspecified() && !message->group.is_multicast()) return trace::DropReason::kIgmp;
      query(*message, datagram.interface, now);
      return std::nullopt;
    case IgmpType::kReportV1:
    case IgmpType::kReportV2:
      // Somebody else told the routers: need not we (RFC 2236 §3).
      if (Group* group = find(datagram.interface, message->group);
          group != nullptr && version(datagram.interface, now) < 3) {
        group->answer_due = false;
        group->answer_at = kNever;
        group->reported = false;
      }
      return std::nullopt;
    default:
      return trace::DropReason::kIgmp;  // leaves and version 3 reports are for routers
  }
}

void Groups::query(const wire::IgmpMessage& message, InterfaceId interface, Instant now) {
  Link& heard = link(interface);
  if (message.version == 1) heard.v1_until = later(now, kOlderRouterPresent);
  if (message.version == 2) heard.v2_until = later(now, kOlderRouterPresent);
  const Duration wait = std::chrono::milliseconds(std::max<std::uint32_t>(message.max_response_ms, 1));
  const bool general = message.group.is_unspecified();
  if (general && version(interface, now) == 3) {
    const Instant at = later(now, random_up_to(wait));
    heard.answer_at = heard.answer_due ? std::min(heard.answer_at, at) : at;
    heard.answer_due = true;
    return arm(heard.answer_at);
  }
  for (Group& group : order_) {
    if (group.interface != interface || group.members.empty() || !is_reported(group)) continue;
    if (!general && group.address != message.group) continue;
    bool wanted = message.sources.size() == 0;
    for (std::size_t i = 0; i < message.sources.size() && !wanted; ++i)
      wanted = group.filter.allows(message.sources[i]);
    if (!wanted) continue;
    const Instant at = later(now, random_up_to(wait));
    group.answer_at = group.answer_due ? std::min(group.answer_at, at) : at;
    group.answer_due = true;
    arm(group.answer_at);
  }
}

void Groups::on_timeout(Instant now) {
  if (now < next_) return;
  for (InterfaceId id = 0; id < links_.size(); ++id) {
    Link& each = links_[id];
    if (!each.answer_due || each.answer_at > now) continue;
    each.answer_due = false;
    for (Group& group : order_) {
      if (group.interface != id || group.members.empty() || !is_reported(group)) continue;
      group.answer_due = true;
      group.answer_at = now;
    }
  }
}

void Groups::rearm() {
  next_ = kNever;
  for (const Link& each : links_)
    if (each.answer_due) arm(each.answer_at);
  for (const Group& group : order_) {
    arm(group.change_at);
    if (group.answer_due) arm(group.answer_at);
  }
}

std::optional<Reply> Groups::poll_report(Instant now) {
  if (now < next_) return std::nullopt;
  for (Group* group = order_.front(); group != nullptr;) {
    Group* const following = order_.next(*group);
    const bool change = group->changes_left != 0 && group->change_at <= now;
    const bool answer = group->answer_due && group->answer_at <= now;
    if (change || answer) {
      const InterfaceId interface = group->interface;
      const std::uint8_t spoken = version(interface, now);
      if (spoken == 3) return report_v3(interface, now);
      const bool gone = group->members.empty();
      group->answer_due = false;
      group->answer_at = kNever;
      if (change) {
        // A leave is said once, and not in version 1.
        group->changes_left = gone ? std::uint8_t{0} : static_cast<std::uint8_t>(group->changes_left - 1);
        group->change_at = group->changes_left != 0 ? later(now, random_up_to(kUnsolicitedV2)) : kNever;
      }
      std::optional<Reply> reply;
      if (!gone)
        reply = report_v2(*group, spoken == 1 ? IgmpType::kReportV1 : IgmpType::kReportV2, group->address,
                          interface);
      else if (spoken == 2 && group->reported)
        reply = report_v2(*group, IgmpType::kLeave, kAllRouters, interface);
      group->reported = !gone;
      forget_if_done(*group);
      if (reply) return reply;
    }
    group = following;
  }
  rearm();
  return std::nullopt;
}

std::optional<Reply> Groups::report_v2(Group& group, IgmpType type, const IpAddress& to,
                                       InterfaceId interface) {
  Frame frame = pool_.allocate(wire::kIgmpLength);
  if (!frame) return std::nullopt;
  wire::emit_igmp(type, 0, group.address, frame.mutable_bytes());
  return reply_to(interface, to, std::move(frame));
}

std::size_t Groups::put_record(const Group& group, IgmpRecordKind kind, MutableBytes out) const {
  const std::size_t size = wire::kIgmpRecordLength + std::size_t{group.filter.count} * 4;
  if (out.size() < size) return 0;
  out[0] = static_cast<std::uint8_t>(kind);
  out[1] = 0;
  store_be<std::uint16_t>(out, 2, group.filter.count);
  store_be<std::uint32_t>(out, 4, group.address.v4_bits());
  for (std::size_t i = 0; i < group.filter.count; ++i)
    store_be<std::uint32_t>(out, wire::kIgmpRecordLength + i * 4, group.filter.sources[i].v4_bits());
  return size;
}

// Everything due on the interface that one packet holds; the rest at the next call.
std::optional<Reply> Groups::report_v3(InterfaceId interface, Instant now) {
  std::array<std::uint8_t, kReportBytesMax> bytes{};
  const Interface* on = interfaces_.find(interface);
  const std::size_t room =
      std::min<std::size_t>(kReportBytesMax, on->mtu - wire::kIpv4HeaderMin - kRouterAlert.size());
  const MutableBytes out = MutableBytes(bytes).first(room);
  std::size_t at = wire::kIgmpReportV3Length;
  std::uint16_t records = 0;
  for (Group* group = order_.front(); group != nullptr;) {
    Group* const following = order_.next(*group);
    const bool change = group->changes_left != 0 && group->change_at <= now;
    const bool answer = group->answer_due && group->answer_at <= now;
    if (group->interface == interface && (change || answer)) {
      const bool exclude = group->filter.mode == SourceFilter::Mode::kExclude;
      const IgmpRecordKind kind = change
                                      ? (exclude ? IgmpRecordKind::kToExclude : IgmpRecordKind::kToInclude)
                                      : (exclude ? IgmpRecordKind::kIsExclude : IgmpRecordKind::kIsInclude);
      std::size_t size = put_record(*group, kind, out.subspan(at));
      if (size == 0 && records != 0) break;
      // More sources than one packet of this MTU names: all of the group is asked for.
      if (size == 0) size = put_whole_group(group->address, change, out.subspan(at));
      at += size;
      ++records;
      if (change) {
        --group->changes_left;
        group->change_at = group->changes_left != 0 ? later(now, random_up_to(kUnsolicitedV3)) : kNever;
      }
      group->answer_due = false;  // a change says what an answer would
      group->answer_at = kNever;
      group->reported = true;
      forget_if_done(*group);
    }
    group = following;
  }
  out[0] = static_cast<std::uint8_t>(IgmpType::kReportV3);
  store_be<std::uint16_t>(out, 6, records);
  store_be<std::uint16_t>(out, 2, wire::internet_checksum(out.first(at)));
  Frame frame = pool_.copy(out.first(at));
  if (!frame) return std::nullopt;
  return reply_to(interface, kAllIgmpV3Routers, std::move(frame));
}

std::optional<Reply> Groups::reply_to(InterfaceId interface, const IpAddress& to, Frame frame) {
  const Interface* on = interfaces_.find(interface);
  if (on == nullptr) return std::nullopt;
  Reply reply;
  reply.frame = std::move(frame);
  reply.path.destination = reply.path.next_hop = to;
  reply.path.source = interfaces_.source_for(*on, to).value_or(IpAddress::any_v4());
  reply.path.interface = interface;
  reply.path.mtu = reply.path.interface_mtu = on->mtu;
  reply.path.hop_limit = 1;
  reply.fields.protocol = IpProtocol::kIgmp;
  reply.fields.tos = kIgmpTos;
  reply.fields.hop_limit = 1;
  reply.fields.discovery = PathMtuDiscovery::kDo;  // as Linux: DF
  reply.fields.loop = false;                       // it is for routers
  reply.fields.options = Bytes(kRouterAlert);
  return reply;
}

std::vector<GroupInfo> Groups::list() const {
  std::vector<GroupInfo> all;
  for (const Group& group : order_) {
    GroupInfo info;
    info.interface = group.interface;
    info.group = group.address;
    info.members = group.members.size();
    info.filter = group.filter;
    all.push_back(info);
  }
  return all;
}

}  // namespace tapir::ip
