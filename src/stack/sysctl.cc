// SPDX-License-Identifier: Apache-2.0
// Knobs by their Linux names. tcp/ has a table of its own; the rest is here.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "stack/parts.h"
#include "tcp/knobs.h"

namespace tapir::stack {
namespace {

using Parts = Stack::Parts;

// A knob of one number. Units are those of the name's text form.
struct NumberKnob {
  std::string_view name;
  std::int64_t least;
  std::int64_t most;
  std::int64_t (*get)(const Parts&);
  void (*set)(Parts&, std::int64_t);
};

constexpr std::int64_t kIntMax = std::numeric_limits<std::int32_t>::max();

// Linux's inet_forward_change: the one switch sets all the others.
std::int64_t get_forwarding(const Parts& parts) { return parts.ip_knobs.ip_forward ? 1 : 0; }
void set_forwarding(Parts& parts, std::int64_t on) {
  parts.ip_knobs.ip_forward = parts.ip_knobs.conf_default.forwarding = on != 0;
  for (const ip::Interface& interface : parts.interfaces.list()) {
    ip::InterfaceKnobs conf = interface.conf;
    conf.forwarding = on != 0;
    parts.interfaces.set_conf(interface.id, conf);
  }
}

// ---- net.ipv4.conf.INTERFACE.* ----

struct InterfaceKnob {
  std::string_view name;
  std::int64_t most;
  std::int64_t (*get)(const ip::InterfaceKnobs&);
  void (*set)(ip::InterfaceKnobs&, std::int64_t);
};

#define TAPIR_CONF(member, high)                                                                     \
  InterfaceKnob {                                                                                    \
    #member, high, [](const ip::InterfaceKnobs& k) { return static_cast<std::int64_t>(k.member); },  \
        [](ip::InterfaceKnobs& k, std::int64_t v) { k.member = static_cast<decltype(k.member)>(v); } \
  }
const InterfaceKnob kInterfaceKnobs[] = {
    TAPIR_CONF(accept_redirects, 1), TAPIR_CONF(arp_notify, 1), TAPIR_CONF(force_igmp_version, 3),
    TAPIR_CONF(forwarding, 1),       TAPIR_CONF(proxy_arp, 1),  TAPIR_CONF(rp_filter, 2),
    TAPIR_CONF(send_redirects, 1),
};
#undef TAPIR_CONF

constexpr std::string_view kConf = "net.ipv4.conf.";
constexpr std::string_view kDefault = "default";

// "net.ipv4.conf.tap0.rp_filter", taken apart. An interface's name may have dots (tap0.42).
struct InterfaceKnobName {
  const InterfaceKnob* knob = nullptr;   // null: there is no such knob, or no such interface
  InterfaceId interface = kNoInterface;  // kNoInterface: of new ones
};

InterfaceKnobName interface_knob(const Parts& parts, std::string_view name) {
  if (!name.starts_with(kConf)) return {};
  name.remove_prefix(kConf.size());
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {};
  const auto* knob = std::find_if(std::begin(kInterfaceKnobs), std::end(kInterfaceKnobs),
                                  [&](const InterfaceKnob& k) { return k.name == name.substr(dot + 1); });
  if (knob == std::end(kInterfaceKnobs)) return {};
  if (name.substr(0, dot) == kDefault) return {knob, kNoInterface};
  const ip::Interface* interface = parts.interfaces.find(name.substr(0, dot));
  if (interface == nullptr) return {};
  return {knob, interface->id};
}

const ip::InterfaceKnobs& conf_of(const Parts& parts, InterfaceId interface) {
  return interface == kNoInterface ? parts.ip_knobs.conf_default : parts.interfaces.find(interface)->conf;
}

// One table row: the knob `member` of Parts' member `group`, counted in `unit`.
#define TAPIR_NUMBER(text, low, high, group, member)                                                \
  NumberKnob {                                                                                      \
    text, low, high, [](const Parts& p) { return static_cast<std::int64_t>(p.group.member); },      \
        [](Parts& p, std::int64_t v) { p.group.member = static_cast<decltype(p.group.member)>(v); } \
  }
#define TAPIR_TIME(text, low, high, group, member, unit)                                              \
  NumberKnob {                                                                                        \
    text, low, high, [](const Parts& p) { return static_cast<std::int64_t>(p.group.member / unit); }, \
        [](Parts& p, std::int64_t v) { p.group.member = v * unit; }                                   \
  }

// By name.
const NumberKnob kKnobs[] = {
    TAPIR_NUMBER("net.core.rmem_default", 2304, kIntMax, knobs, rmem_default),
    TAPIR_NUMBER("net.core.wmem_default", 4608, kIntMax, knobs, wmem_default),
    TAPIR_NUMBER("net.ipv4.conf.all.accept_redirects", 0, 1, ip_knobs, accept_redirects),
    TAPIR_NUMBER("net.ipv4.conf.all.arp_notify", 0, 1, ip_knobs, arp_notify),
    TAPIR_NUMBER("net.ipv4.conf.all.force_igmp_version", 0, 3, ip_knobs, force_igmp_version),
    {"net.ipv4.conf.all.forwarding", 0, 1, get_forwarding, set_forwarding},
    TAPIR_NUMBER("net.ipv4.conf.all.proxy_arp", 0, 1, ip_knobs, proxy_arp),
    TAPIR_NUMBER("net.ipv4.conf.all.rp_filter", 0, 2, ip_knobs, rp_filter),
    TAPIR_NUMBER("net.ipv4.conf.all.send_redirects", 0, 1, ip_knobs, send_redirects),
    TAPIR_NUMBER("net.ipv4.icmp_echo_ignore_all", 0, 1, ip_knobs, icmp_echo_ignore_all),
    TAPIR_NUMBER("net.ipv4.icmp_echo_ignore_broadcasts", 0, 1, ip_knobs, icmp_echo_ignore_broadcasts),
    TAPIR_NUMBER("net.ipv4.icmp_errors_use_inbound_ifaddr", 0, 1, ip_knobs, icmp_errors_use_inbound_ifaddr),
    TAPIR_NUMBER("net.ipv4.icmp_msgs_burst", 0, kIntMax, ip_knobs, icmp_msgs_burst),
    TAPIR_NUMBER("net.ipv4.icmp_msgs_per_sec", 0, kIntMax, ip_knobs, icmp_msgs_per_sec),
    TAPIR_NUMBER("net.ipv4.icmp_ratelimit", 0, kIntMax, ip_knobs, icmp_ratelimit_ms),
    TAPIR_NUMBER("net.ipv4.icmp_ratemask", 0, kIntMax, ip_knobs, icmp_ratemask),
    TAPIR_NUMBER("net.ipv4.igmp_link_local_mcast_reports", 0, 1, ip_knobs, igmp_link_local_mcast_reports),
    TAPIR_NUMBER("net.ipv4.igmp_max_memberships", 0, kIntMax, ip_knobs, igmp_max_memberships),
    TAPIR_NUMBER("net.ipv4.igmp_max_msf", 0, static_cast<std::int64_t>(kFilterSourcesMax), ip_knobs,
                 igmp_max_msf),
    TAPIR_NUMBER("net.ipv4.igmp_qrv", 1, 255, ip_knobs, igmp_qrv),
    TAPIR_NUMBER("net.ipv4.ip_default_ttl", 1, 255, ip_knobs, ip_default_ttl),
    {"net.ipv4.ip_forward", 0, 1, get_forwarding, set_forwarding},
    TAPIR_NUMBER("net.ipv4.ip_no_pmtu_disc", 0, 1, ip_knobs, ip_no_pmtu_disc),
    TAPIR_NUMBER("net.ipv4.ip_nonlocal_bind", 0, 1, knobs, ip_nonlocal_bind),
    TAPIR_NUMBER("net.ipv4.ipfrag_high_thresh", 0, kIntMax, ip_knobs, ipfrag_high_thresh),
    TAPIR_TIME("net.ipv4.ipfrag_time", 0, kIntMax / 1000, ip_knobs, ipfrag_time, 1s),
    TAPIR_TIME("net.ipv4.neigh.default.base_reachable_time_ms", 1, kIntMax, ip_knobs,
               neighbor.base_reachable_time, 1ms),
    TAPIR_TIME("net.ipv4.neigh.default.delay_first_probe_time", 0, kIntMax / 1000, ip_knobs,
               neighbor.delay_first_probe_time, 1s),
    TAPIR_TIME("net.ipv4.neigh.default.gc_stale_time", 0, kIntMax / 1000, ip_knobs, neighbor.gc_stale_time,
               1s),
    TAPIR_NUMBER("net.ipv4.neigh.default.gc_thresh1", 0, kIntMax, ip_knobs, neighbor.gc_thresh1),
    TAPIR_NUMBER("net.ipv4.neigh.default.gc_thresh2", 0, kIntMax, ip_knobs, neighbor.gc_thresh2),
    TAPIR_NUMBER("net.ipv4.neigh.default.gc_thresh3", 0, kIntMax, ip_knobs, neighbor.gc_thresh3),
    TAPIR_NUMBER("net.ipv4.neigh.default.mcast_solicit", 0, kIntMax, ip_knobs, neighbor.mcast_solicit),
    TAPIR_TIME("net.ipv4.neigh.default.retrans_time_ms", 1, kIntMax, ip_knobs, neighbor.retrans_time, 1ms),
    TAPIR_NUMBER("net.ipv4.neigh.default.ucast_solicit", 0, kIntMax, ip_knobs, neighbor.ucast_solicit),
    TAPIR_NUMBER("net.ipv4.neigh.default.unres_qlen_bytes", 0, kIntMax, ip_knobs, neighbor.unres_qlen_bytes),
    TAPIR_NUMBER("net.ipv4.route.min_adv_mss", 0, kIntMax, ip_knobs, min_adv_mss),
    TAPIR_NUMBER("net.ipv4.route.min_pmtu", 68, kIntMax, ip_knobs, min_pmtu),
    TAPIR_TIME("net.ipv4.route.mtu_expires", 0, kIntMax / 1000, ip_knobs, mtu_expires, 1s),
};
#undef TAPIR_NUMBER
#undef TAPIR_TIME

constexpr std::string_view kPingGroupRange = "net.ipv4.ping_group_range";

const NumberKnob* find_knob(std::string_view name) {
  const auto* knob =
      std::find_if(std::begin(kKnobs), std::end(kKnobs), [&](const NumberKnob& k) { return k.name == name; });
  return knob == std::end(kKnobs) ? nullptr : knob;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\n'))
    text.remove_suffix(1);
  return text;
}

// "LOW HIGH" with white space between.
std::optional<std::array<std::uint32_t, 2>> two_numbers(std::string_view text) {
  std::array<std::uint32_t, 2> numbers{};
  for (std::uint32_t& number : numbers) {
    text = trimmed(text);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
  if (!trimmed(text).empty()) return std::nullopt;
  return numbers;
}

std::optional<std::int64_t> number_in(std::string_view value, std::int64_t least, std::int64_t most) {
  const std::string_view text = trimmed(value);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < least || number > most)
    return std::nullopt;
  return number;
}

std::unexpected<std::string> wants_number(std::string_view name, std::string_view value, std::int64_t least,
                                          std::int64_t most) {
  return std::unexpected(std::string(name) + " takes a number from " + std::to_string(least) + " to " +
                         std::to_string(most) + ", not \"" + std::string(trimmed(value)) + "\"");
}

std::string unknown(std::string_view name) { return "there is no knob " + std::string(name); }

}  // namespace

std::expected<std::string, std::string> Stack::sysctl_get(std::string_view name) const {
  if (const NumberKnob* knob = find_knob(name)) return std::to_string(knob->get(*parts_));
  if (name == kPingGroupRange) {
    const auto& range = parts_->ip_knobs.ping_group_range;
    return std::to_string(range[0]) + '\t' + std::to_string(range[1]);
  }
  if (const InterfaceKnobName found = interface_knob(*parts_, name); found.knob != nullptr)
    return std::to_string(found.knob->get(conf_of(*parts_, found.interface)));
  if (auto value = tcp::knob_get(parts_->tcp_knobs, name)) return *value;
  return std::unexpected(unknown(name));
}

std::expected<void, std::string> Stack::sysctl_set(std::string_view name, std::string_view value,
                                                   Instant now) {
  parts_->seen_at(now);
  if (name == kPingGroupRange) {
    const auto range = two_numbers(value);
    if (!range)
      return std::unexpected(std::string(name) + " takes two group numbers, the lowest and the highest");
    // The higher below the lower is Linux's way to say nobody.
    parts_->ip_knobs.ping_group_range =
        (*range)[1] < (*range)[0] ? std::array<std::uint32_t, 2>{1, 0} : *range;
    return {};
  }
  if (const InterfaceKnobName found = interface_knob(*parts_, name); found.knob != nullptr) {
    const auto number = number_in(value, 0, found.knob->most);
    if (!number) return wants_number(name, value, 0, found.knob->most);
    ip::InterfaceKnobs conf = conf_of(*parts_, found.interface);
    found.knob->set(conf, *number);
    if (found.interface == kNoInterface)
      parts_->ip_knobs.conf_default = conf;
    else
      parts_->interfaces.set_conf(found.interface, conf);
    return {};
  }
  const NumberKnob* knob = find_knob(name);
  if (knob == nullptr) {
    if (!tcp::knob_get(parts_->tcp_knobs, name)) return std::unexpected(unknown(name));
    return tcp::knob_set(parts_->tcp_knobs, name, value);
  }
  const auto number = number_in(value, knob->least, knob->most);
  if (!number) return wants_number(name, value, knob->least, knob->most);
  knob->set(*parts_, *number);
  return {};
}

std::vector<std::string> Stack::sysctl_names() const {
  std::vector<std::string> names;
  for (const NumberKnob& knob : kKnobs) names.emplace_back(knob.name);
  names.emplace_back(kPingGroupRange);
  const auto add_conf = [&](std::string_view interface) {
    for (const InterfaceKnob& knob : kInterfaceKnobs)
      names.push_back(std::string(kConf) + std::string(interface) + '.' + std::string(knob.name));
  };
  add_conf(kDefault);
  for (const ip::Interface& interface : parts_->interfaces.list()) add_conf(interface.name);
  for (const std::string_view name : tcp::knob_names()) names.emplace_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace tapir::stack
