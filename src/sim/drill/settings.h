// SPDX-License-Identifier: Apache-2.0
// What a script runs with: packetdrill's options, by its names and defaults.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "inet/ip_address.h"
#include "sim/drill/parser.h"

namespace tapir::sim::drill {

struct Settings {
  Duration tolerance = 4ms;  // --tolerance_usecs
  unsigned tolerance_permille =
      125;  // of the time since the previous event, if that is more (packetdrill: 12.5 %)
  IpAddress local = IpAddress::v4(192, 168, 0, 1);
  IpAddress remote = IpAddress::v4(192, 0, 2, 1);
  IpAddress gateway = IpAddress::v4(192, 168, 0, 2);
  std::uint8_t prefix_length = 16;    // --netmask_ip
  std::uint16_t bind_port = 8080;     // what bind(fd, ..., ...) binds to
  std::uint16_t connect_port = 8080;  // what connect(fd, ..., ...) connects to, at `remote`
  std::uint32_t mtu = 1500;           // bytes
  bool strict_segments = false;  // super-segments are split before they are compared, and nothing is merged
  std::optional<Duration> timestamp_tick;  // --tcp_ts_tick_usecs: outbound TS values are checked against it
  bool ecr_scaled = false;  // --tcp_ts_ecr_scaled: inbound echoes need not be values that were sent
  bool ipv4 = true;         // --ip_version
  std::string md5_secret;   // --tcp_md5_secret: what `md5 valid` is made with
  Definitions definitions;  // -D NAME=VALUE
};

// The settings of the Linux selftests' IPv4 runs: Fast Open cookies of the addresses above, names of IPv4's
// errors.
Settings default_settings();

struct OptionProblem {
  bool unsupported = false;  // packetdrill knows it, this interpreter does not
  std::string message;
};
// Applies one option ("tolerance_usecs", "10000"); nothing when all is well.
std::optional<OptionProblem> apply_option(Settings& settings, std::string_view name, std::string_view value);

}  // namespace tapir::sim::drill
