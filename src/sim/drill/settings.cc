// SPDX-License-Identifier: Apache-2.0
#include "sim/drill/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>

namespace tapir::sim::drill {

namespace {

std::optional<std::uint64_t> number(std::string_view text, std::uint64_t low, std::uint64_t high) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high)
    return std::nullopt;
  return value;
}

OptionProblem bad(std::string_view name, std::string_view value, std::string_view wanted) {
  return {false, fmt::format("--{}={}: expected {}", name, value, wanted)};
}

// packetdrill's options that change nothing here: buffers are always kept, and there is no device of another
// name.
constexpr std::string_view kWithoutEffect[] = {"send_omit_free", "verbose",        "code_command",
                                               "init_scripts",   "local_linkaddr", "speed"};
constexpr std::string_view kUnsupported[] = {"mss",
                                             "psp_udp_port",
                                             "is_anyip",
                                             "so_filename",
                                             "so_flags",
                                             "wire_client",
                                             "wire_server",
                                             "non_fatal",
                                             "dry_run",
                                             "udp_encapsulation",
                                             "code_format",
                                             "code_sockopt",
                                             "tolerance_percent",
                                             "wire_client_dev",
                                             "wire_server_dev",
                                             "wire_server_ip",
                                             "wire_server_port"};

template <typename T>
std::optional<OptionProblem> set_number(T& field, std::string_view name, std::string_view value,
                                        std::uint64_t low, std::uint64_t high) {
  const auto parsed = number(value, low, high);
  if (!parsed) return bad(name, value, fmt::format("a number from {} to {}", low, high));
  field = static_cast<T>(*parsed);
  return std::nullopt;
}

std::optional<OptionProblem> set_duration(Duration& field, std::string_view name, std::string_view value) {
  const auto parsed = number(value, 0, 1'000'000'000'000);
  if (!parsed) return bad(name, value, "microseconds");
  field = std::chrono::microseconds(*parsed);
  return std::nullopt;
}

std::optional<OptionProblem> set_address(IpAddress& field, std::string_view name, std::string_view value) {
  const auto parsed = IpAddress::parse(value);
  if (!parsed) return bad(name, value, "an address");
  if (!parsed->is_v4())
    return OptionProblem{true, fmt::format("--{}={}: IPv6 is not interpreted", name, value)};
  field = *parsed;
  return std::nullopt;
}

std::optional<OptionProblem> set_netmask(Settings& settings, std::string_view value) {
  const auto parsed = IpAddress::parse(value);
  if (!parsed || !parsed->is_v4() || !std::has_single_bit(static_cast<std::uint64_t>(~parsed->v4_bits()) + 1))
    return bad("netmask_ip", value, "a netmask");
  settings.prefix_length = static_cast<std::uint8_t>(std::popcount(parsed->v4_bits()));
  return std::nullopt;
}

std::optional<OptionProblem> define(Settings& settings, std::string_view value) {
  const std::size_t equals = value.find('=');
  if (equals == 0 || equals == std::string_view::npos)
    return OptionProblem{false, fmt::format("-D {}: expected NAME=VALUE", value)};
  settings.definitions[std::string(value.substr(0, equals))] = value.substr(equals + 1);
  return std::nullopt;
}

}  // namespace

Settings default_settings() {
  Settings settings;
  settings.definitions = {{"TFO_COOKIE", "3021b9d889017eeb"},
                          {"TFO_COOKIE_ZERO", "b7c12350a90dc8f5"},
                          {"CMSG_LEVEL_IP", "SOL_IP"},
                          {"CMSG_TYPE_RECVERR", "IP_RECVERR"},
                          {"CODE", "host_unreachable"}};
  return settings;
}

std::optional<OptionProblem> apply_option(Settings& settings, std::string_view name, std::string_view value) {
  if (name == "tolerance_usecs") return set_duration(settings.tolerance, name, value);
  if (name == "local_ip") return set_address(settings.local, name, value);
  if (name == "remote_ip") return set_address(settings.remote, name, value);
  if (name == "gateway_ip") return set_address(settings.gateway, name, value);
  if (name == "netmask_ip") return set_netmask(settings, value);
  if (name == "bind_port") return set_number(settings.bind_port, name, value, 1, 65535);
  if (name == "connect_port") return set_number(settings.connect_port, name, value, 1, 65535);
  if (name == "mtu") return set_number(settings.mtu, name, value, 68, 65535);
  if (name == "define") return define(settings, value);
  if (name == "tcp_ts_tick_usecs") {
    settings.timestamp_tick.emplace();
    if (auto problem = set_duration(*settings.timestamp_tick, name, value)) return problem;
    if (*settings.timestamp_tick == Duration{}) settings.timestamp_tick.reset();  // 0: not checked
    return std::nullopt;
  }
  if (name == "strict_segments" || name == "tcp_ts_ecr_scaled") {
    if (!value.empty() && value != "1" && value != "true") return bad(name, value, "no value");
    (name == "strict_segments" ? settings.strict_segments : settings.ecr_scaled) = true;
    return std::nullopt;
  }
  if (name == "tcp_md5_secret") {
    settings.md5_secret = value;
    return std::nullopt;
  }
  if (name == "ip_version") {
    if (value != "ipv4" && value != "ipv6" && value != "ipv4-mapped-ipv6")
      return bad(name, value, "ipv4, ipv6 or ipv4-mapped-ipv6");
    settings.ipv4 = value == "ipv4";
    return settings.ipv4 ? std::nullopt
                         : std::optional(OptionProblem{
                               true, fmt::format("--ip_version={}: only IPv4 is interpreted", value)});
  }
  if (std::find(std::begin(kWithoutEffect), std::end(kWithoutEffect), name) != std::end(kWithoutEffect))
    return std::nullopt;
  if (std::find(std::begin(kUnsupported), std::end(kUnsupported), name) != std::end(kUnsupported))
    return OptionProblem{true, fmt::format("--{} is not interpreted", name)};
  return OptionProblem{false, fmt::format("unknown option --{}", name)};
}

}  // namespace tapir::sim::drill
