// SPDX-License-Identifier: Apache-2.0
// How the stack of `tapir up` stands to the kernel's: beside it, routed by it, or on a bridge in its place.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "inet/ip_address.h"

namespace tapir::cli {

enum class Topology : std::uint8_t {
  kPlain,   // the kernel has the other end of the wire, and does nothing else
  kLocal,   // and forwards what the stack sends further: it is the stack's gateway
  kBridge,  // the kernel gives its address and its wire away, and only bridges
};

// The kernel's interface whose place the stack takes.
struct Uplink {
  std::string name;
  std::vector<IpPrefix> addresses;
  std::optional<IpAddress> gateway;  // of the kernel's default route over it
};

// `name` empty: the interface of the default route. One sentence when there is none, or it has no address.
std::expected<Uplink, std::string> find_uplink(const std::string& name);

// What was changed in this network namespace; the destructor undoes it.
class TopologySetup {
 public:
  virtual ~TopologySetup() = default;
};

// kLocal: the kernel forwards (net.ipv4.ip_forward) while this lives.
std::expected<std::unique_ptr<TopologySetup>, std::string> set_up_local();
// kBridge: a bridge of `uplink` and `tap`; the uplink's addresses, and so its routes, are the kernel's again
// afterwards. Refused in the machine's own namespace, which would lose its network.
std::expected<std::unique_ptr<TopologySetup>, std::string> set_up_bridge(const Uplink& uplink,
                                                                         const std::string& tap);
// Is this the network namespace of the machine's first process?
bool in_machines_namespace();

}  // namespace tapir::cli
