// SPDX-License-Identifier: Apache-2.0
// `tapir drill`: packetdrill scripts against a stack in this process, on virtual time.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace tapir::cli {

struct DrillOptions {
  std::vector<std::string> paths;    // scripts, and folders that are searched for *.pkt
  unsigned jobs = 1;                 // scripts run at the same time; the output's order does not depend on it
  bool verbose = false;              // -v: each event with its time
  bool diff = false;                 // --diff: of a failure only expected and got
  bool json = false;                 // --json: one object, with a verdict per script
  std::string family = "ipv4";       // ipv4; of others (ipv6, mapped) every script is skipped
  std::vector<std::string> defines;  // -D NAME=VALUE
  // packetdrill's options, which win over a script's own.
  std::optional<std::string> tolerance_usecs;
  std::optional<std::string> mtu;
  std::optional<std::string> local_ip;
  std::optional<std::string> remote_ip;
  std::optional<std::string> gateway_ip;
  std::optional<std::string> ip_version;
  std::optional<std::string> tcp_ts_tick_usecs;
  bool strict_segments = false;
};

// Prints "PASS path", "FAIL path:LINE reason" or "SKIP path reason" per script, and last "N passed, N failed,
// N skipped". Returns 0 when no script failed, 1 when one did, 2 when there was nothing to run or an option
// means nothing.
int drill_main(const DrillOptions& options);

}  // namespace tapir::cli
