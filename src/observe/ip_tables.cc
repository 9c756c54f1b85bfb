// SPDX-License-Identifier: Apache-2.0
#include "observe/ip_tables.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "observe/columns.h"
#include "observe/json_row.h"
#include "stack/parts.h"

namespace tapir::observe {
namespace {

using Json = nlohmann::ordered_json;

std::string interface_name(const stack::Stack::Parts& parts, InterfaceId id) {
  const ip::Interface* interface = parts.interfaces.find(id);
  return interface != nullptr ? interface->name : "";
}

// Whose device a VLAN uses; of others an empty text (as JSON: none).
Json trunk_name(const stack::Stack::Parts& parts, InterfaceId id) {
  const auto* attached = parts.attached(id);
  return attached == nullptr || attached->parent == kNoInterface
             ? Json()
             : Json(interface_name(parts, attached->parent));
}

// "tap0.42@tap0".
std::string full_name(const Json& link) {
  const std::string trunk = get(link, "link");
  return get(link, "ifname") + (trunk.empty() ? "" : "@" + trunk);
}

const char* link_name(ip::LinkKind kind) {
  switch (kind) {
    case ip::LinkKind::kEthernet:
      return "ether";
    case ip::LinkKind::kRawIp:
      return "none";
    case ip::LinkKind::kLoopback:
      return "loopback";
  }
  return "?";
}

const char* route_kind(ip::RouteKind kind) {
  switch (kind) {
    case ip::RouteKind::kUnicast:
      return "unicast";
    case ip::RouteKind::kUnreachable:
      return "unreachable";
    case ip::RouteKind::kProhibit:
      return "prohibit";
    case ip::RouteKind::kBlackhole:
      return "blackhole";
  }
  return "?";
}

// <BROADCAST,MULTICAST,UP,LOWER_UP>, in iproute2's order.
std::vector<std::string> flags_of(const ip::Interface& interface) {
  std::vector<std::string> flags;
  if (interface.kind == ip::LinkKind::kLoopback) flags.push_back("LOOPBACK");
  if (interface.kind == ip::LinkKind::kEthernet) flags.insert(flags.end(), {"BROADCAST", "MULTICAST"});
  if (interface.kind == ip::LinkKind::kRawIp)
    flags.insert(flags.end(), {"POINTOPOINT", "MULTICAST", "NOARP"});
  if (interface.up) flags.insert(flags.end(), {"UP", "LOWER_UP"});
  return flags;
}

Json address_json(const ip::Interface& interface, const IpPrefix& prefix) {
  Json json{{"family", "inet"}, {"local", prefix.address.to_string()}, {"prefixlen", prefix.length}};
  if (interface.kind == ip::LinkKind::kEthernet && prefix.length < 31)
    json["broadcast"] = prefix.broadcast()->to_string();
  json["scope"] = interface.kind == ip::LinkKind::kLoopback ? "host" : "global";
  json["label"] = interface.name;
  return json;
}

Json stats_json(const stack::InterfaceCounters& c) {
  return {
      {"rx", {{"bytes", c.rx_bytes}, {"packets", c.rx_packets}, {"errors", 0}, {"dropped", c.dropped}}},
      {"tx", {{"bytes", c.tx_bytes}, {"packets", c.tx_packets}, {"errors", 0}, {"dropped", c.tx_refused}}}};
}

std::string joined(const Json& array) {
  return fmt::format("{}", fmt::join(array.get<std::vector<std::string>>(), ","));
}

// The four lines of `ip -s`.
std::string stats_text(const Json& stats) {
  std::string text;
  for (const char* way : {"rx", "tx"}) {
    const Json& c = stats.at(way);
    const bool in = way[0] == 'r';
    text += fmt::format(
        "    {}:  bytes packets errors dropped {:>7} {:>7}\n    {:>10} {:>7} {:>6} {:>7} {:>7} {:>7}\n",
        in ? "RX" : "TX", in ? "missed" : "carrier", in ? "mcast" : "collsns", number(c, "bytes"),
        number(c, "packets"), number(c, "errors"), number(c, "dropped"), 0, 0);
  }
  return text;
}

std::string brief_line(const Json& link, const IpView& view) {
  std::string line = fmt::format("{:<16} {:<14} ", full_name(link), get(link, "operstate"));
  if (!view.addresses) return line + fmt::format("{} <{}>", get(link, "address"), joined(link.at("flags")));
  for (const Json& address : link.at("addr_info"))
    line += fmt::format("{}/{} ", get(address, "local"), number(address, "prefixlen"));
  return line;
}

// "255.255.255.0".
std::string netmask(std::uint64_t length) {
  return IpAddress::v4(length == 0 ? 0 : ~std::uint32_t{0} << (32 - length)).to_string();
}

std::int64_t seconds(Instant then, Instant now) {
  return now > then ? std::chrono::duration_cast<std::chrono::seconds>(now - then).count() : 0;
}

}  // namespace

// ---- interfaces ----

Json links_json(const stack::Stack& stack) {
  const stack::Stack::Parts& parts = stack.parts();
  Json json = Json::array();
  for (const ip::Interface& interface : parts.interfaces.list()) {
    Json addresses = Json::array();
    for (const IpPrefix& address : interface.addresses) addresses.push_back(address_json(interface, address));
    Json row{
        {"ifindex", interface.id},
        {"ifname", interface.name},
        {"link", trunk_name(parts, interface.id)},
        {"flags", flags_of(interface)},
        {"mtu", interface.mtu},
        {"qdisc", "noqueue"},
        {"operstate", interface.up ? (interface.kind == ip::LinkKind::kLoopback ? "UNKNOWN" : "UP") : "DOWN"},
        {"group", "default"},
        {"link_type", link_name(interface.kind)}};
    if (interface.kind != ip::LinkKind::kRawIp) {
      row["address"] = wire::to_string(interface.mac);
      row["broadcast"] =
          interface.kind == ip::LinkKind::kLoopback ? "00:00:00:00:00:00" : "ff:ff:ff:ff:ff:ff";
    }
    if (row["link"].empty()) row.erase("link");
    row["addr_info"] = std::move(addresses);
    if (const auto* attached = parts.attached(interface.id)) row["stats64"] = stats_json(attached->counters);
    json.push_back(std::move(row));
  }
  return json;
}

std::string links_text(const Json& links, const IpView& view) {
  std::string text;
  for (const Json& row : links) {
    if (view.brief) {
      text += brief_line(row, view) + '\n';
      continue;
    }
    text += fmt::format("{}: {}: <{}> mtu {} qdisc {} state {}{} group {} qlen 1000\n    link/{}",
                        number(row, "ifindex"), full_name(row), joined(row.at("flags")), number(row, "mtu"),
                        get(row, "qdisc"), get(row, "operstate"), view.addresses ? "" : " mode DEFAULT",
                        get(row, "group"), get(row, "link_type"));
    if (row.contains("address"))
      text += fmt::format(" {} brd {}", get(row, "address"), get(row, "broadcast"));
    text += '\n';
    if (view.addresses)
      for (const Json& address : row.at("addr_info")) {
        text += fmt::format("    inet {}/{}", get(address, "local"), number(address, "prefixlen"));
        if (address.contains("broadcast")) text += " brd " + get(address, "broadcast");
        text += fmt::format(" scope {} {}\n       valid_lft forever preferred_lft forever\n",
                            get(address, "scope"), get(address, "label"));
      }
    if (view.statistics && row.contains("stats64")) text += stats_text(row.at("stats64"));
  }
  return text;
}

// ---- routes ----

Json routes_json(const stack::Stack& stack) {
  const stack::Stack::Parts& parts = stack.parts();
  Json json = Json::array();
  for (const ip::Route& route : parts.routes.list()) {
    Json row;
    if (route.kind != ip::RouteKind::kUnicast) row["type"] = route_kind(route.kind);
    // iproute2 leaves a host route's length out.
    const bool host = route.destination.length == (route.destination.address.is_v4() ? 32 : 128);
    row["dst"] = route.destination.length == 0 ? "default"
                 : host                        ? route.destination.address.to_string()
                                               : route.destination.to_string();
    if (!route.gateway.is_unspecified()) row["gateway"] = route.gateway.to_string();
    if (route.interface != kNoInterface) row["dev"] = interface_name(parts, route.interface);
    if (route.connected) row["protocol"] = "kernel";
    if (route.kind == ip::RouteKind::kUnicast && route.gateway.is_unspecified()) row["scope"] = "link";
    if (route.preferred_source) row["prefsrc"] = route.preferred_source->to_string();
    if (route.metric != 0) row["metric"] = route.metric;
    if (route.attributes.mtu != 0) row["mtu"] = route.attributes.mtu;
    if (!route.attributes.congctl.empty()) row["congctl"] = route.attributes.congctl;
    row["flags"] = Json::array();
    json.push_back(std::move(row));
  }
  return json;
}

std::string routes_text(const Json& routes) {
  std::string text;
  for (const Json& row : routes) {
    if (row.contains("type")) text += get(row, "type") + ' ';
    text += get(row, "dst");
    for (const auto& [key, word] : {std::pair{"gateway", "via"},
                                    {"dev", "dev"},
                                    {"protocol", "proto"},
                                    {"scope", "scope"},
                                    {"prefsrc", "src"},
                                    {"congctl", "congctl"}})
      if (row.contains(key)) text += fmt::format(" {} {}", word, get(row, key));
    for (const char* key : {"metric", "mtu"})
      if (row.contains(key)) text += fmt::format(" {} {}", key, number(row, key));
    text += '\n';
  }
  return text;
}

std::string route_get_text(const Json& rows) {
  std::string text;
  for (const Json& row : rows) {
    if (row.contains("type")) text += get(row, "type") + ' ';
    text += get(row, "dst");
    for (const auto& [key, word] : {std::pair{"gateway", "via"}, {"dev", "dev"}, {"prefsrc", "src"}})
      if (row.contains(key)) text += fmt::format(" {} {}", word, get(row, key));
    text += fmt::format(" uid {}\n    cache", number(row, "uid"));
    for (const Json& mark : row.at("cache")) text += fmt::format(" <{}>", mark.get<std::string>());
    if (row.contains("metrics")) text += fmt::format(" mtu {}", number(row.at("metrics").at(0), "mtu"));
    text += '\n';
  }
  return text;
}

// ---- neighbours ----

Json neighbors_json(const stack::Stack& stack, Instant now) {
  const stack::Stack::Parts& parts = stack.parts();
  Json json = Json::array();
  for (const ip::NeighborInfo& neighbor : parts.neighbors.list()) {
    Json row{{"dst", neighbor.address.to_string()}, {"dev", interface_name(parts, neighbor.interface)}};
    if (!wire::is_zero(neighbor.mac)) row["lladdr"] = wire::to_string(neighbor.mac);
    row["state"] = {ip::to_string(neighbor.state)};
    row["used"] = seconds(neighbor.used_at, now);
    row["confirmed"] = seconds(neighbor.confirmed_at, now);
    row["updated"] = seconds(neighbor.updated_at, now);
    row["probes"] = neighbor.probes;
    row["queued"] = neighbor.parked;
    json.push_back(std::move(row));
  }
  return json;
}

std::string neighbors_text(const Json& neighbors, bool statistics) {
  std::string text;
  for (const Json& row : neighbors) {
    text += fmt::format("{} dev {}", get(row, "dst"), get(row, "dev"));
    if (row.contains("lladdr")) text += " lladdr " + get(row, "lladdr");
    if (statistics)
      text += fmt::format(" used {}/{}/{} probes {}", number(row, "used"), number(row, "confirmed"),
                          number(row, "updated"), number(row, "probes"));
    text += fmt::format(" {}\n", joined(row.at("state")));
  }
  return text;
}

// ---- multicast groups ----

Json groups_json(const stack::Stack& stack) {
  const stack::Stack::Parts& parts = stack.parts();
  const auto all_systems = IpAddress::v4(224, 0, 0, 1).to_string();
  Json json = Json::array();
  for (const ip::Interface& interface : parts.interfaces.list()) {
    // Everybody is in 224.0.0.1, without joining (RFC 1112 §4).
    Json addresses = Json::array({Json{{"family", "inet"}, {"address", all_systems}}});
    for (const ip::GroupInfo& group : parts.groups.list())
      if (group.interface == interface.id && group.group.to_string() != all_systems)
        addresses.push_back(
            {{"family", "inet"}, {"address", group.group.to_string()}, {"users", group.members}});
    json.push_back({{"ifindex", interface.id}, {"ifname", interface.name}, {"maddr", std::move(addresses)}});
  }
  return json;
}

std::string groups_text(const Json& groups) {
  std::string text;
  for (const Json& row : groups) {
    text += fmt::format("{}:\t{}\n", number(row, "ifindex"), get(row, "ifname"));
    for (const Json& address : row.at("maddr")) {
      text += fmt::format("\tinet  {}", get(address, "address"));
      if (const std::uint64_t users = number(address, "users"); users > 1)
        text += fmt::format(" users {}", users);
      text += '\n';
    }
  }
  return text;
}

// ---- tapip's tables ----

std::string ifconfig_text(const Json& links) {
  std::string text;
  for (const Json& link : links) {
    const std::string flags = joined(link.at("flags"));
    text += fmt::format("{}: flags=<{}>  mtu {}\n", get(link, "ifname"), flags, number(link, "mtu"));
    for (const Json& address : link.at("addr_info")) {
      text += fmt::format("        inet {}  netmask {}", get(address, "local"),
                          netmask(number(address, "prefixlen")));
      if (address.contains("broadcast")) text += "  broadcast " + get(address, "broadcast");
      text += '\n';
    }
    text += get(link, "link_type") == "ether" ? fmt::format("        ether {}\n", get(link, "address"))
                                              : fmt::format("        {}\n", get(link, "link_type"));
    if (!link.contains("stats64")) continue;
    for (const char* way : {"rx", "tx"}) {
      const Json& c = link.at("stats64").at(way);
      const char* name = way[0] == 'r' ? "RX" : "TX";
      text += fmt::format("        {} packets {}  bytes {}\n        {} errors {}  dropped {}\n", name,
                          number(c, "packets"), number(c, "bytes"), name, number(c, "errors"),
                          number(c, "dropped"));
    }
  }
  return text;
}

std::string route_table_text(const Json& routes) {
  Columns columns({"Destination", "Gateway", "Genmask", "Flags", "Metric", "Iface"}, {4});
  for (const Json& row : routes) {
    const std::string destination = get(row, "dst");
    const auto prefix = destination == "default" ? std::optional(IpPrefix{IpAddress::any_v4(), 0})
                                                 : IpPrefix::parse(destination);
    if (!prefix || !prefix->address.is_v4()) continue;
    const bool host = prefix->length == 32, gateway = row.contains("gateway"), reject = row.contains("type");
    columns.add({prefix->address.to_string(), get(row, "gateway", std::string("0.0.0.0")),
                 netmask(prefix->length),
                 fmt::format("{}{}{}", reject ? "!" : "U", gateway ? "G" : "", host ? "H" : ""),
                 fmt::to_string(number(row, "metric")), reject ? "-" : get(row, "dev")});
  }
  return columns.text();
}

std::string arpcache_text(const Json& neighbors) {
  Columns columns({"State", "Age(s)", "HWaddress", "Address", "Iface"}, {1});
  for (const Json& row : neighbors)
    columns.add({joined(row.at("state")), fmt::to_string(number(row, "confirmed")),
                 get(row, "lladdr", std::string("-")), get(row, "dst"), get(row, "dev")});
  return columns.text();
}

// ---- what the stack holds ----

Json holdings_json(stack::Stack& stack) {
  stack::Stack::Parts& parts = stack.parts();
  const tcp::Engine::Gauges tcp = parts.tcp.gauges();
  Json rows = Json::array();
  const auto add = [&](const char* name, std::size_t value, const char* unit, const char* what,
                       std::size_t limit = 0) {
    Json row{{"name", name}, {"value", value}, {"unit", unit}, {"what", what}};
    if (limit != 0) row["limit"] = limit;
    rows.push_back(std::move(row));
  };
  add("frames", parts.frames.in_use(), "frames", "received, and not read or answered yet");
  add("frames kept", parts.frames.free_count(), "frames", "free, for reuse");
  add("connections", tcp.connections, "", "TCP, with all their states");
  add("orphans", tcp.orphans, "", "connections that no program holds");
  add("half-open", tcp.half_open, "", "SYN answered, waits for the ACK");
  add("time-wait", tcp.time_wait, "", "TIME-WAIT, and FIN-WAIT-2 without a program");
  add("listeners", tcp.listeners, "", "TCP sockets that accept");
  add("transmissions", tcp.transmissions, "", "TCP segments under way, or waiting to be sent");
  add("send chunks", tcp.chunks, "", "pieces of TCP send buffers");
  add("udp ports", parts.udp.size(), "", "UDP sockets");
  add("bound ports", parts.ports.bindings(), "", "sockets that hold a port");
  add("neighbours", parts.neighbors.size(), "", "entries of the ARP cache",
      parts.ip_knobs.neighbor.gc_thresh3);
  add("parked", parts.neighbors.parked_bytes(), "bytes", "packets that wait for a neighbour's answer");
  add("datagrams in pieces", parts.fragments.datagrams(), "", "whose fragments are not all here");
  add("fragments", parts.fragments.fragments(), "", "of those");
  add("reassembly", parts.fragments.bytes(), "bytes", "of memory, with their frames");
  add("replies", parts.replies.size(), "", "answers that wait for a device");
  add("budget", parts.budget.used(), "bytes", "of memory, all of the above together", parts.budget.limit());
  add("budget peak", parts.budget.peak(), "bytes", "the most there was");
  return rows;
}

std::string holdings_text(const Json& holdings) {
  Columns columns({"Holds", "Count", "Limit", "What"}, {1, 2});
  for (const Json& row : holdings) {
    const std::string unit = get(row, "unit") == "bytes" ? " bytes" : "";
    columns.add({get(row, "name") + unit, fmt::to_string(number(row, "value")),
                 row.contains("limit") ? fmt::to_string(number(row, "limit")) : "-", get(row, "what")});
  }
  return columns.text();
}

}  // namespace tapir::observe
