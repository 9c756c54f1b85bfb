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
    TAPIR_NUMBER("net.ipv4.icmp_echo_ignore_all", 0, 1, ip_knobs, icmp_echo_ignore_all),
    TAPIR_NUMBER("net.ipv4.icmp_echo_ignore_broadcasts", 0, 1, ip_knobs, icmp_echo_ignore_broadcasts),
    TAPIR_NUMBER("net.ipv4.icmp_errors_use_inbound_ifaddr", 0, 1, ip_knobs, icmp_errors_use_inbound_ifaddr),
    TAPIR_NUMBER("net.ipv4.icmp_msgs_burst", 0, kIntMax, ip_knobs, icmp_msgs_burst),
    TAPIR_NUMBER("net.ipv4.icmp_msgs_per_sec", 0, kIntMax, ip_knobs, icmp_msgs_per_sec),
    TAPIR_NUMBER("net.ipv4.icmp_ratelimit", 0, kIntMax, ip_knobs, icmp_ratelimit_ms),
    TAPIR_NUMBER("net.ipv4.icmp_ratemask", 0, kIntMax, ip_knobs, icmp_ratemask),
    TAPIR_NUMBER("net.ipv4.ip_default_ttl", 1, 255, ip_knobs, ip_default_ttl),
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

std::string unknown(std::string_view name) { return "there is no knob " + std::string(name); }

}  // namespace

std::expected<std::string, std::string> Stack::sysctl_get(std::string_view name) const {
  if (const NumberKnob* knob = find_knob(name)) return std::to_string(knob->get(*parts_));
  if (name == kPingGroupRange) {
    const auto& range = parts_->ip_knobs.ping_group_range;
    return std::to_string(range[0]) + '\t' + std::to_string(range[1]);
  }
  if (auto value = tcp::knob_get(parts_->tcp_knobs, name)) return *value;
  return std::unexpected(unknown(name));
}

std::expected<void, std::string> Stack::sysctl_set(std::string_view name, std::string_view value,
                                                   Instant now) {
  parts_->seen_at(now);
  if (name == kPingGroupRange) {
    const auto range = two_numbers(value);
    if (!range) return std::unexpected(std::string(name) + " takes two group numbers, the lowest and the highest");
    // The higher below the lower is Linux's way to say nobody.
    parts_->ip_knobs.ping_group_range = (*range)[1] < (*range)[0] ? std::array<std::uint32_t, 2>{1, 0} : *range;
    return {};
  }
  const NumberKnob* knob = find_knob(name);
  if (knob == nullptr) {
    if (!tcp::knob_get(parts_->tcp_knobs, name)) return std::unexpected(unknown(name));
    return tcp::knob_set(parts_->tcp_knobs, name, value);
  }
  const std::string_view text = trimmed(value);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < knob->least || number > knob->most)
    return std::unexpected(std::string(name) + " takes a number from " + std::to_string(knob->least) +
                           " to " + std::to_string(knob->most) + ", not \"" + std::string(text) + "\"");
  knob->set(*parts_, number);
  return {};
}

std::vector<std::string> Stack::sysctl_names() const {
  std::vector<std::string> names;
  for (const NumberKnob& knob : kKnobs) names.emplace_back(knob.name);
  names.emplace_back(kPingGroupRange);
  for (const std::string_view name : tcp::knob_names()) names.emplace_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace tapir::stack
