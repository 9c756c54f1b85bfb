// SPDX-License-Identifier: Apache-2.0
// What `tapir up` and `tapir run` were asked for, understood and checked.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "cli/config.h"
#include "cli/services.h"
#include "cli/topology.h"
#include "inet/ip_address.h"
#include "link/impair.h"

namespace tapir::cli {

using Outcome = std::expected<void, std::string>;

enum class Wire : std::uint8_t { kTap, kTun, kPacket };

// Interfaces of the kernel's making, of which we hold the other end.
inline bool is_tap(Wire wire) { return wire != Wire::kPacket; }

// What was asked for, understood.
struct Plan {
  Wire wire = Wire::kTap;
  std::string device;
  std::vector<IpPrefix> addresses;
  struct Another {
    Wire wire = Wire::kTap;
    std::string device;
    IpPrefix address;
    std::string trunk;       // of a VLAN: the interface whose device it shares
    std::uint16_t vlan = 0;  // 0: it has a device of its own
  };
  std::vector<Another> also;
  Topology topology = Topology::kPlain;
  std::optional<Uplink> uplink;  // of kBridge
  std::uint16_t vlan = 0;
  bool detect_conflicts = false;
  std::optional<IpPrefix> peer;  // the kernel's end; none: it is left alone
  std::optional<IpAddress> gateway;
  std::uint32_t mtu = 0;  // 0 = the device's
  std::vector<ServiceSpec> services;
  std::optional<std::string> pcap;
  std::optional<link::ImpairConfig> impair;
  struct Sysctl {
    std::string name, value;
    std::string origin;  // how a complaint begins
  };
  std::vector<Sysctl> sysctls;
  std::string control;
};

// Errors are one sentence that names the option, or the file and line, it is about.
std::expected<Plan, std::string> make_plan(const Configured& configured);
// A new TAP beside interfaces of the kernel: are its addresses still free there? Otherwise packets would go
// elsewhere, and the kernel would not say so.
Outcome check_addresses_free(const Plan& plan);

}  // namespace tapir::cli
