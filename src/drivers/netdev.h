// SPDX-License-Identifier: Apache-2.0
// The kernel's side of the wire: its interfaces, addresses and routes, in the network namespace of the
// calling thread. What `ip link`, `ip addr` and `ip route` do, by rtnetlink(7). Every failure is one sentence
// that names the object and the cause.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "inet/ip_address.h"
#include "link/device.h"

namespace tapir::drivers {

using NetdevResult = std::expected<void, std::string>;

// `ip link set NAME up | down`.
NetdevResult set_link_up(const std::string& name, bool up = true);
// `ip link set NAME mtu N`; bytes of IP packet.
NetdevResult set_mtu(const std::string& name, std::uint32_t mtu);
std::expected<std::uint32_t, std::string> get_mtu(const std::string& name);
std::expected<link::MacAddress, std::string> get_mac(const std::string& name);
bool link_exists(const std::string& name);
// Whether the kernel takes IPv4 super-segments beyond 65,535 bytes, whose total length is 0, from NAME: it
// does since Linux 6.3, which shows gso_ipv4_max_size in `ip -d link`. False when it cannot be asked.
bool takes_long_super_segments(const std::string& name);
// `ip addr add ADDRESS/LENGTH dev NAME`. "… has it already" when it is taken there.
NetdevResult add_address(const std::string& name, const IpPrefix& address);
// `ip route add DESTINATION via GATEWAY dev NAME`; gateway unspecified = on-link.
NetdevResult add_route(const IpPrefix& destination, const IpAddress& gateway, const std::string& name);
// `ip route replace DESTINATION dev NAME congctl ALGORITHM`: what TCP connections of the kernel over it use.
// `source` unspecified: the kernel's choice.
NetdevResult replace_route_congctl(const IpPrefix& destination, const IpAddress& source,
                                   const std::string& name, const std::string& algorithm);
// `ip addr del ADDRESS/LENGTH dev NAME`.
NetdevResult remove_address(const std::string& name, const IpPrefix& address);
// `ip link add NAME type bridge`, without spanning tree and its delay.
NetdevResult create_bridge(const std::string& name);
// `ip link set NAME master BRIDGE`.
NetdevResult set_master(const std::string& name, const std::string& bridge);
// `ip link add NAME type veth peer name PEER`.
NetdevResult create_veth_pair(const std::string& name, const std::string& peer);
NetdevResult delete_link(const std::string& name);

}  // namespace tapir::drivers
