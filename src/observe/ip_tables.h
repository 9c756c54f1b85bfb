// SPDX-License-Identifier: Apache-2.0
// Interfaces, routes and neighbours as ip(8) prints them: JSON under iproute2's keys, which crosses a control
// socket as it is, and iproute2's text of that JSON. For whoever holds the stack's lock: reads, changes
// nothing.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/time.h"
#include "stack/stack.h"

namespace tapir::observe {

// How `ip` was asked to tell it.
struct IpView {
  bool brief = false;       // -br: a line each
  bool statistics = false;  // -s: counters
  bool addresses = true;    // `ip addr`; false: `ip link`
};

// {"ifindex", "ifname", "flags", "mtu", "operstate", "link_type", "address", "addr_info": […], "stats64":
// {…}} each.
nlohmann::ordered_json links_json(const stack::Stack& stack);
std::string links_text(const nlohmann::ordered_json& links, const IpView& view);

// {"dst", "gateway", "dev", "protocol", "scope", "prefsrc", "metric", "type"} each, in the order of lookup.
nlohmann::ordered_json routes_json(const stack::Stack& stack);
// Of `ip route get`'s one row.
std::string route_get_text(const nlohmann::ordered_json& rows);
std::string routes_text(const nlohmann::ordered_json& routes);

// {"dst", "dev", "lladdr", "state": […], "probes", "queued", "used", "confirmed", "updated" (seconds ago)}
// each.
nlohmann::ordered_json neighbors_json(const stack::Stack& stack, Instant now);
std::string neighbors_text(const nlohmann::ordered_json& neighbors, bool statistics = false);

// Multicast groups that are listened to: {"ifindex", "ifname", "maddr": [{"family", "address", "users"}]}
// each.
nlohmann::ordered_json groups_json(const stack::Stack& stack);
std::string groups_text(const nlohmann::ordered_json& groups);

// ---- tapip's own tables, of the same JSON ----

// `ifconfig`: each interface with its addresses and counters.
std::string ifconfig_text(const nlohmann::ordered_json& links);
// `route`: route(8)'s columns.
std::string route_table_text(const nlohmann::ordered_json& routes);
// `arpcache`: state, how long ago confirmed, MAC, address.
std::string arpcache_text(const nlohmann::ordered_json& neighbors);

// ---- what the stack holds: `stat` ----

// An array of {"name", "value", "limit"?, "unit", "what"}: frames, sockets, connections, half-open,
// time-wait, neighbours, fragments, bytes of the memory budget … Each comes back to where it was when its
// traffic is over; what does not has leaked.
nlohmann::ordered_json holdings_json(stack::Stack& stack);
std::string holdings_text(const nlohmann::ordered_json& holdings);

}  // namespace tapir::observe
