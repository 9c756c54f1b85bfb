// SPDX-License-Identifier: Apache-2.0
#include "tcp/knobs.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>

#include "base/ascii.h"
#include "tcp/congestion.h"

namespace tapir::tcp {

namespace {

constexpr std::int64_t kIntMin = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t kIntMax = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kUintMax = std::numeric_limits<std::uint32_t>::max();
constexpr std::int64_t kLongMax = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kVectorMax = 3;

// A knob of one to three numbers, in the unit of its text.
struct Row {
  std::string_view name;
  std::int64_t least;
  std::int64_t most;
  std::size_t count;
  std::int64_t (*get)(const Knobs&, std::size_t);
  void (*set)(Knobs&, std::size_t, std::int64_t);
};

template <auto Member>
constexpr Row number(std::string_view name, std::int64_t least, std::int64_t most) {
  return {name,
          least,
          most,
          1,
          [](const Knobs& k, std::size_t) { return static_cast<std::int64_t>(k.*Member); },
          [](Knobs& k, std::size_t, std::int64_t v) {
            k.*Member = static_cast<std::remove_reference_t<decltype(k.*Member)>>(v);
          }};
}
// Linux keeps most switches in a byte.
template <auto Member>
constexpr Row byte(std::string_view name, std::int64_t most = 255) {
  return number<Member>(name, 0, most);
}
template <auto Member>
constexpr Row integer(std::string_view name) {
  return number<Member>(name, kIntMin, kIntMax);
}
template <auto Member>
constexpr Row vector(std::string_view name, std::int64_t least, std::int64_t most) {
  return {name,
          least,
          most,
          std::tuple_size_v<std::remove_cvref_t<decltype(std::declval<Knobs>().*Member)>>,
          [](const Knobs& k, std::size_t i) { return static_cast<std::int64_t>((k.*Member)[i]); },
          [](Knobs& k, std::size_t i, std::int64_t v) {
            (k.*Member)[i] = static_cast<std::remove_reference_t<decltype((k.*Member)[i])>>(v);
          }};
}
template <auto Member, typename Unit>
constexpr Row time(std::string_view name, std::int64_t least, std::int64_t most) {
  return {name,
          least,
          most,
          1,
          [](const Knobs& k, std::size_t) {
            return static_cast<std::int64_t>(std::chrono::duration_cast<Unit>(k.*Member).count());
          },
          [](Knobs& k, std::size_t, std::int64_t v) { k.*Member = Unit(v); }};
}

// Sorted by name. Ranges: Linux's net/ipv4/sysctl_net_ipv4.c and net/core/sysctl_net_core.c.
constexpr Row kRows[] = {
    number<&Knobs::rmem_max>("net.core.rmem_max", 2304, kIntMax),
    number<&Knobs::somaxconn>("net.core.somaxconn", 0, kIntMax),
    number<&Knobs::wmem_max>("net.core.wmem_max", 4608, kIntMax),
    vector<&Knobs::ip_local_port_range>("net.ipv4.ip_local_port_range", 1, 65535),
    number<&Knobs::ip_unprivileged_port_start>("net.ipv4.ip_unprivileged_port_start", 0, 65535),
    byte<&Knobs::tcp_abort_on_overflow>("net.ipv4.tcp_abort_on_overflow"),
    number<&Knobs::tcp_adv_win_scale>("net.ipv4.tcp_adv_win_scale", -31, 31),
    byte<&Knobs::tcp_app_win>("net.ipv4.tcp_app_win", 31),
    byte<&Knobs::tcp_autocorking>("net.ipv4.tcp_autocorking", 1),
    integer<&Knobs::tcp_base_mss>("net.ipv4.tcp_base_mss"),
    integer<&Knobs::tcp_challenge_ack_limit>("net.ipv4.tcp_challenge_ack_limit"),
    time<&Knobs::tcp_comp_sack_delay, std::chrono::nanoseconds>("net.ipv4.tcp_comp_sack_delay_ns", 0,
                                                                kLongMax),
    byte<&Knobs::tcp_comp_sack_nr>("net.ipv4.tcp_comp_sack_nr"),
    time<&Knobs::tcp_comp_sack_slack, std::chrono::nanoseconds>("net.ipv4.tcp_comp_sack_slack_ns", 0,
                                                                kLongMax),
    byte<&Knobs::tcp_dsack>("net.ipv4.tcp_dsack"),
    byte<&Knobs::tcp_early_retrans>("net.ipv4.tcp_early_retrans", 4),
    byte<&Knobs::tcp_ecn>("net.ipv4.tcp_ecn", 2),
    byte<&Knobs::tcp_ecn_fallback>("net.ipv4.tcp_ecn_fallback", 1),
    number<&Knobs::tcp_fastopen>("net.ipv4.tcp_fastopen", kIntMin, kIntMax),
    number<&Knobs::tcp_fastopen_blackhole_timeout_sec>("net.ipv4.tcp_fastopen_blackhole_timeout_sec", 0,
                                                       kIntMax),
    integer<&Knobs::tcp_fin_timeout>("net.ipv4.tcp_fin_timeout"),
    byte<&Knobs::tcp_frto>("net.ipv4.tcp_frto"),
    byte<&Knobs::tcp_grow_segments>("net.ipv4.tcp_grow_segments", 1),
    number<&Knobs::tcp_gso_max_size>("net.ipv4.tcp_gso_max_size", 536, kSuperSegmentMax),
    time<&Knobs::tcp_invalid_ratelimit, std::chrono::milliseconds>("net.ipv4.tcp_invalid_ratelimit", 0,
                                                                   kIntMax),
    integer<&Knobs::tcp_keepalive_intvl>("net.ipv4.tcp_keepalive_intvl"),
    byte<&Knobs::tcp_keepalive_probes>("net.ipv4.tcp_keepalive_probes"),
    integer<&Knobs::tcp_keepalive_time>("net.ipv4.tcp_keepalive_time"),
    number<&Knobs::tcp_limit_output_bytes>("net.ipv4.tcp_limit_output_bytes", kIntMin, kIntMax),
    integer<&Knobs::tcp_max_orphans>("net.ipv4.tcp_max_orphans"),
    integer<&Knobs::tcp_max_reordering>("net.ipv4.tcp_max_reordering"),
    integer<&Knobs::tcp_max_syn_backlog>("net.ipv4.tcp_max_syn_backlog"),
    integer<&Knobs::tcp_max_tw_buckets>("net.ipv4.tcp_max_tw_buckets"),
    vector<&Knobs::tcp_mem>("net.ipv4.tcp_mem", 0, kLongMax),
    byte<&Knobs::tcp_migrate_req>("net.ipv4.tcp_migrate_req", 1),
    number<&Knobs::tcp_min_snd_mss>("net.ipv4.tcp_min_snd_mss", 48, 65535),
    number<&Knobs::tcp_min_tso_segs>("net.ipv4.tcp_min_tso_segs", 1, 255),
    byte<&Knobs::tcp_moderate_rcvbuf>("net.ipv4.tcp_moderate_rcvbuf"),
    number<&Knobs::tcp_mtu_probe_floor>("net.ipv4.tcp_mtu_probe_floor", 48, 32767),
    byte<&Knobs::tcp_mtu_probing>("net.ipv4.tcp_mtu_probing"),
    byte<&Knobs::tcp_no_metrics_save>("net.ipv4.tcp_no_metrics_save"),
    number<&Knobs::tcp_notsent_lowat>("net.ipv4.tcp_notsent_lowat", 0, kUintMax),
    byte<&Knobs::tcp_orphan_retries>("net.ipv4.tcp_orphan_retries"),
    number<&Knobs::tcp_pacing_ca_ratio>("net.ipv4.tcp_pacing_ca_ratio", 0, 1000),
    number<&Knobs::tcp_pacing_ss_ratio>("net.ipv4.tcp_pacing_ss_ratio", 0, 1000),
    number<&Knobs::tcp_paws_window>("net.ipv4.tcp_paws_window", 1, 1000),
    integer<&Knobs::tcp_probe_interval>("net.ipv4.tcp_probe_interval"),
    integer<&Knobs::tcp_probe_threshold>("net.ipv4.tcp_probe_threshold"),
    number<&Knobs::tcp_record_charge>("net.ipv4.tcp_record_charge", 0, 4096),
    byte<&Knobs::tcp_recovery>("net.ipv4.tcp_recovery"),
    integer<&Knobs::tcp_reordering>("net.ipv4.tcp_reordering"),
    byte<&Knobs::tcp_retrans_collapse>("net.ipv4.tcp_retrans_collapse"),
    byte<&Knobs::tcp_retries1>("net.ipv4.tcp_retries1"),
    byte<&Knobs::tcp_retries2>("net.ipv4.tcp_retries2"),
    byte<&Knobs::tcp_rfc1337>("net.ipv4.tcp_rfc1337"),
    vector<&Knobs::tcp_rmem>("net.ipv4.tcp_rmem", 1, kIntMax),
    time<&Knobs::rto_max, std::chrono::milliseconds>("net.ipv4.tcp_rto_max_ms", 1000, 120000),
    time<&Knobs::rto_min, std::chrono::microseconds>("net.ipv4.tcp_rto_min_us", 1, kIntMax),
    byte<&Knobs::tcp_sack>("net.ipv4.tcp_sack"),
    byte<&Knobs::tcp_shrink_window>("net.ipv4.tcp_shrink_window", 1),
    byte<&Knobs::tcp_slow_start_after_idle>("net.ipv4.tcp_slow_start_after_idle"),
    byte<&Knobs::tcp_stdurg>("net.ipv4.tcp_stdurg"),
    byte<&Knobs::tcp_syn_linear_timeouts>("net.ipv4.tcp_syn_linear_timeouts", 127),
    number<&Knobs::tcp_syn_retries>("net.ipv4.tcp_syn_retries", 1, 127),
    byte<&Knobs::tcp_synack_retries>("net.ipv4.tcp_synack_retries"),
    byte<&Knobs::tcp_syncookies>("net.ipv4.tcp_syncookies"),
    byte<&Knobs::tcp_thin_linear_timeouts>("net.ipv4.tcp_thin_linear_timeouts"),
    byte<&Knobs::tcp_timestamps>("net.ipv4.tcp_timestamps"),
    number<&Knobs::tcp_tso_defer_cwnd>("net.ipv4.tcp_tso_defer_cwnd", 0, 255),
    byte<&Knobs::tcp_tso_rtt_log>("net.ipv4.tcp_tso_rtt_log"),
    byte<&Knobs::tcp_tso_win_divisor>("net.ipv4.tcp_tso_win_divisor"),
    byte<&Knobs::tcp_tw_reuse>("net.ipv4.tcp_tw_reuse", 2),
    number<&Knobs::tcp_tw_reuse_delay>("net.ipv4.tcp_tw_reuse_delay", 1, 60000),
    byte<&Knobs::tcp_window_scaling>("net.ipv4.tcp_window_scaling"),
    vector<&Knobs::tcp_wmem>("net.ipv4.tcp_wmem", 1, kIntMax),
    byte<&Knobs::tcp_workaround_signed_windows>("net.ipv4.tcp_workaround_signed_windows"),
    number<&Knobs::cubic_hystart>("tcp_cubic.hystart", 0, 1),
    number<&Knobs::cubic_hystart_detect>("tcp_cubic.hystart_detect", 0, 3),
    number<&Knobs::cubic_hystart_plus_plus>("tcp_cubic.hystart_plus_plus", 0, 1),
};
static_assert(std::ranges::is_sorted(kRows, {}, &Row::name));

// Those that hold a word.
constexpr std::string_view kCongestionControl = "net.ipv4.tcp_congestion_control";
constexpr std::string_view kFastOpenKey = "net.ipv4.tcp_fastopen_key";
constexpr std::string_view kCongestionAvailable = "net.ipv4.tcp_available_congestion_control";
constexpr std::string_view kQueueing = "net.core.default_qdisc";

const Row* find_row(std::string_view name) {
  const auto* row = std::ranges::lower_bound(kRows, name, {}, &Row::name);
  return row != std::end(kRows) && row->name == name ? row : nullptr;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string refusal(const Row& row, std::string_view text) {
  return std::string(row.name) + " takes " +
         (row.count == 1 ? "a number" : std::to_string(row.count) + " numbers") + " from " +
         std::to_string(row.least) + " to " + std::to_string(row.most) + ", not \"" + std::string(text) +
         "\"";
}

// The one property of a device's queue that TCP sees: whether it paces.
std::expected<void, std::string> set_queueing(Knobs& knobs, std::string_view name) {
  if (name != "fq" && name != "pfifo_fast")
    return std::unexpected("there is no queue \"" + std::string(name) + "\"; there is: pfifo_fast fq");
  knobs.fair_queue = name == "fq";
  return {};
}

std::expected<void, std::string> set_congestion_control(Knobs& knobs, std::string_view name) {
  if (!CongestionSlot::known(name))
    return std::unexpected("there is no congestion control \"" + std::string(name) +
                           "\"; there is: " + std::string(CongestionSlot::available()));
  knobs.tcp_congestion_control = name;
  return {};
}

std::expected<void, std::string> set_fast_open_key(Knobs& knobs, std::string_view text) {
  const auto keys = parse_fast_open_keys(text);
  if (!keys)
    return std::unexpected(std::string(kFastOpenKey) +
                           " takes one key or two, parted by a comma, each four groups of hexadecimal digits "
                           "parted by '-', not \"" +
                           std::string(text) + "\"");
  knobs.tcp_fastopen_key = keys;
  return {};
}

}  // namespace

std::expected<std::string, std::string> knob_get(const Knobs& knobs, std::string_view name) {
  if (name == kCongestionControl) return knobs.tcp_congestion_control;
  if (name == kCongestionAvailable) return std::string(CongestionSlot::available());
  if (name == kQueueing) return knobs.fair_queue ? "fq" : "pfifo_fast";
  if (name == kFastOpenKey) return fast_open_keys_text(knobs.tcp_fastopen_key.value_or(FastOpenKeys{}));
  const Row* row = find_row(name);
  if (row == nullptr) return std::unexpected("there is no knob " + std::string(name));
  std::string text;
  for (std::size_t i = 0; i < row->count; ++i) {
    if (i != 0) text += '\t';
    text += std::to_string(row->get(knobs, i));
  }
  return text;
}

std::expected<void, std::string> knob_set(Knobs& knobs, std::string_view name, std::string_view value) {
  const std::string_view text = trimmed(value);
  if (name == kCongestionControl) return set_congestion_control(knobs, text);
  if (name == kQueueing) return set_queueing(knobs, text);
  if (name == kCongestionAvailable) return std::unexpected(std::string(name) + " can only be read");
  if (name == kFastOpenKey) return set_fast_open_key(knobs, text);
  const Row* row = find_row(name);
  if (row == nullptr) return std::unexpected("there is no knob " + std::string(name));

  std::array<std::int64_t, kVectorMax> numbers{};
  std::size_t given = 0;
  for (std::string_view rest = text; !rest.empty(); ++given) {
    if (given == row->count) return std::unexpected(refusal(*row, text));
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), numbers[given]);
    const auto used = static_cast<std::size_t>(end - rest.data());
    if (error != std::errc{} || (used != rest.size() && !is_space(rest[used])) ||
        numbers[given] < row->least || numbers[given] > row->most)
      return std::unexpected(refusal(*row, text));
    rest = trimmed(rest.substr(used));
  }
  if (given == 0) return std::unexpected(refusal(*row, text));
  // The one vector whose numbers must be in order.
  if (row->name == "net.ipv4.ip_local_port_range" && (given != 2 || numbers[0] > numbers[1]))
    return std::unexpected(refusal(*row, text));
  for (std::size_t i = 0; i < given; ++i) row->set(knobs, i, numbers[i]);
  return {};
}

std::vector<std::string_view> knob_names() {
  std::vector<std::string_view> names{kCongestionControl, kCongestionAvailable, kFastOpenKey, kQueueing};
  for (const Row& row : kRows) names.push_back(row.name);
  std::ranges::sort(names);
  return names;
}

}  // namespace tapir::tcp
