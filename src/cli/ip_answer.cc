// SPDX-License-Identifier: Apache-2.0
// The answering side of `tapir ip`: what the words of ip.cc do to a running stack.
#include <fmt/format.h>

#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/answering.h"
#include "observe/ip_tables.h"
#include "stack/administration.h"

namespace tapir::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using Outcome = std::expected<void, std::string>;

std::string text_of(const json& question, const char* key) { return question.value(key, std::string()); }

std::optional<std::uint32_t> number_of(const std::string& text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "10.0.0.0/24", "10.0.0.1" (all bits), "default".
std::optional<IpPrefix> prefix_of(const std::string& text) {
  if (text == "default" || text == "0/0") return IpPrefix{IpAddress::any_v4(), 0};
  if (const auto prefix = IpPrefix::parse(text)) return prefix;
  if (const auto address = IpAddress::parse(text)) return IpPrefix{*address, static_cast<std::uint8_t>(address->is_v4() ? 32 : 128)};
  return std::nullopt;
}

std::string change_error_text(ip::RouteError error) {
  switch (error) {
    case ip::RouteError::kExists:
      return "there is such a route already (File exists)";
    case ip::RouteError::kNotFound:
      return "there is no such route (No such process)";
    case ip::RouteError::kBadGateway:
      return "the gateway is in no network of that interface (Nexthop has invalid gateway)";
    case ip::RouteError::kNoInterface:
      return "no interface leads there: say dev NAME, or a gateway in one of the stack's networks";
    case ip::RouteError::kInterfaceDown:
      return "the interface is down (Network is down)";
    case ip::RouteError::kTooMany:
      return "there are too many routes";
    default:
      return "that route is not possible";
  }
}

// One question, under the lock.
class Acting {
 public:
  Acting(stack::Stack& stack, const json& question, Instant now, std::map<std::string, ip::MemberId>& groups)
      : stack_(stack), parts_(stack.parts()), question_(question), now_(now), groups_(groups) {}

  std::expected<ordered_json, std::string> act() {
    const std::string object = text_of(question_, "object"), action = text_of(question_, "action");
    if (const std::string dev = text_of(question_, "dev"); !dev.empty()) {
      interface_ = parts_.interfaces.find(std::string_view(dev));
      if (interface_ == nullptr) return std::unexpected(fmt::format("the stack has no interface '{}'", dev));
    }
    if (action == "show") return show(object);
    if (object == "route" && action == "get") return route_get();
    Outcome done = std::unexpected(fmt::format("'ip {} {}' is not among what can be done", object, action));
    if (object == "addr") done = addr(action);
    if (object == "link") done = link(action);
    if (object == "route") done = route(action);
    if (object == "neigh") done = neigh(action);
    if (object == "maddr") done = maddr(action);
    if (!done) return std::unexpected(done.error());
    parts_.seen_at(now_);
    return ordered_json();
  }

 private:
  static std::unexpected<std::string> wrong(std::string sentence) { return std::unexpected(std::move(sentence)); }

  std::expected<ordered_json, std::string> show(const std::string& object) {
    const std::string dev = text_of(question_, "dev"), what = text_of(question_, "what");
    if (object == "addr" || object == "link") return filtered(observe::links_json(stack_), "ifname", dev);
    if (object == "route") {
      ordered_json rows = filtered(observe::routes_json(stack_), "dev", dev);
      rows = filtered(rows, "gateway", text_of(question_, "via"));
      return filtered(rows, "dst", what == "0/0" ? "default" : what);
    }
    if (object == "neigh") return filtered(filtered(observe::neighbors_json(stack_, now_), "dev", dev), "dst", what);
    if (object == "maddr") return filtered(observe::groups_json(stack_), "ifname", dev);
    return wrong(fmt::format("'ip {}' is not known", object));
  }
  static ordered_json filtered(const ordered_json& rows, const char* key, const std::string& value) {
    if (value.empty()) return rows;
    ordered_json kept = ordered_json::array();
    for (const ordered_json& row : rows)
      if (row.value(key, "") == value) kept.push_back(row);
    return kept;
  }

  Outcome addr(const std::string& action) {
    if (interface_ == nullptr) return wrong("say which interface: dev NAME");
    const InterfaceId id = interface_->id;
    if (action == "flush") {
      const std::vector<IpPrefix> addresses = interface_->addresses;
      for (const IpPrefix& address : addresses) stack::remove_address(parts_, id, address.address);
      return {};
    }
    const std::string what = text_of(question_, "what");
    const auto prefix = prefix_of(what);
    if (!prefix || !prefix->address.is_v4()) return wrong(fmt::format("'{}' is no IPv4 address with a prefix length, like 10.0.0.9/24", what));
    if (action == "add" || action == "replace") {
      const IpAddress& address = prefix->address;
      if (address.is_unspecified() || address.is_multicast() || address.is_broadcast()) return wrong(fmt::format("{} is no address that a host can have", what));
      if (parts_.interfaces.owner_of(address) == interface_ && action == "replace") return {};
      if (!stack::add_address(parts_, id, *prefix)) return wrong(fmt::format("{} is on {} already (File exists), or it has too many", what, interface_->name));
      return {};
    }
    if (action == "del") {
      if (!stack::remove_address(parts_, id, prefix->address)) return wrong(fmt::format("{} is not on {} (Cannot assign requested address)", what, interface_->name));
      return {};
    }
    return wrong("addr takes show, add, del, replace, flush");
  }

  Outcome link(const std::string& action) {
    if (action != "set") return wrong("link takes show and set: the devices of a running stack are those it began with");
    if (interface_ == nullptr) return wrong("say which interface: ip link set NAME up|down|mtu N");
    const InterfaceId id = interface_->id;
    if (const std::string mtu = text_of(question_, "mtu"); !mtu.empty()) {
      const auto bytes = number_of(mtu);
      const auto* attached = parts_.attached(id);
      if (!bytes || *bytes < 68 || *bytes > attached->device->mtu())
        return wrong(fmt::format("mtu {} is not possible: from 68 to the device's {} bytes", mtu, attached->device->mtu()));
      parts_.interfaces.set_mtu(id, *bytes);
    }
    if (question_.value("up", false)) stack::set_interface_up(parts_, id, true);
    if (question_.value("down", false)) stack::set_interface_up(parts_, id, false);
    return {};
  }

  std::expected<ip::Route, std::string> route_words() {
    ip::Route route;
    const std::string what = text_of(question_, "what");
    const auto prefix = prefix_of(what);
    if (!prefix) return std::unexpected(what.empty() ? "say where to: a network like 10.1.0.0/16, or default" : fmt::format("'{}' is no network, like 10.1.0.0/16 or default", what));
    route.destination = prefix->network();
    if (const std::string via = text_of(question_, "via"); !via.empty()) {
      const auto gateway = IpAddress::parse(via);
      if (!gateway) return std::unexpected(fmt::format("via '{}' is no address", via));
      route.gateway = *gateway;
    }
    if (const std::string src = text_of(question_, "src"); !src.empty()) {
      route.preferred_source = IpAddress::parse(src);
      if (!route.preferred_source || !parts_.interfaces.is_local_address(*route.preferred_source)) return std::unexpected(fmt::format("src '{}' is no address of this stack", src));
    }
    for (const auto& [key, into] : {std::pair{"metric", &route.metric}, {"mtu", &route.attributes.mtu}})
      if (const std::string text = text_of(question_, key); !text.empty()) {
        const auto value = number_of(text);
        if (!value) return std::unexpected(fmt::format("{} '{}' is no number", key, text));
        *into = *value;
      }
    const std::string type = text_of(question_, "type");
    if (type == "unreachable") route.kind = ip::RouteKind::kUnreachable;
    if (type == "prohibit") route.kind = ip::RouteKind::kProhibit;
    if (type == "blackhole") route.kind = ip::RouteKind::kBlackhole;
    if (interface_ != nullptr) route.interface = interface_->id;
    return route;
  }

  Outcome route(const std::string& action) {
    if (action == "flush") return route_flush();
    auto route = route_words();
    if (!route) return wrong(route.error());
    const bool adds = action == "add" || action == "replace";
    if (adds && route->interface == kNoInterface && route->kind == ip::RouteKind::kUnicast && !route->gateway.is_unspecified())
      if (const ip::Route* on = parts_.routes.lookup(route->gateway)) route->interface = on->interface;
    std::expected<void, ip::RouteError> done;
    if (action == "add")
      done = parts_.routes.add(*route);
    else if (action == "replace")
      done = parts_.routes.replace(*route);
    else if (action == "del")
      done = parts_.routes.remove(*route);
    else
      return wrong("route takes show, add, del, replace, flush, get");
    if (!done) return wrong(change_error_text(done.error()));
    return {};
  }

  Outcome route_flush() {
    const std::string what = text_of(question_, "what");
    if (what.empty() && interface_ == nullptr) return wrong("say which: ip route flush dev NAME, flush 10.1.0.0/16, or flush all");
    const auto prefix = prefix_of(what);
    if (!what.empty() && what != "all" && what != "cache" && !prefix) return wrong(fmt::format("'{}' is no network", what));
    if (what == "cache") return {};
    const std::vector<ip::Route> routes(parts_.routes.list().begin(), parts_.routes.list().end());
    for (const ip::Route& route : routes) {
      const bool wanted = (what == "all" || what.empty() || route.destination == prefix->network()) && (interface_ == nullptr || route.interface == interface_->id);
      if (wanted) (void)parts_.routes.remove(route);
    }
    return {};
  }

  std::expected<ordered_json, std::string> route_get() {
    const std::string what = text_of(question_, "what");
    const auto address = IpAddress::parse(what);
    if (!address) return wrong(fmt::format("'{}' is no address", what));
    const auto path = parts_.routes.resolve({.destination = *address, .source = std::nullopt}, now_);
    if (!path) return wrong(fmt::format("there is no way to {} (Network is unreachable)", what));
    ordered_json row;
    if (path->local) row["type"] = "local";
    if (address->is_multicast()) row["type"] = "multicast";
    if (parts_.interfaces.is_broadcast(*address)) row["type"] = "broadcast";
    row["dst"] = what;
    if (!path->next_hop.is_unspecified() && path->next_hop != *address) row["gateway"] = path->next_hop.to_string();
    const ip::Interface* on = parts_.interfaces.find(path->interface);
    row["dev"] = on != nullptr ? on->name : "";
    row["prefsrc"] = path->source.to_string();
    row["flags"] = ordered_json::array();
    row["uid"] = 0;
    row["cache"] = path->local ? ordered_json::array({"local"}) : ordered_json::array();
    if (path->mtu != path->interface_mtu) row["metrics"] = ordered_json::array({{{"mtu", path->mtu}}});
    return ordered_json::array({row});
  }

  Outcome neigh(const std::string& action) {
    if (action == "flush") {
      parts_.neighbors.flush(interface_ != nullptr ? interface_->id : kNoInterface);
      return {};
    }
    const std::string what = text_of(question_, "what");
    const auto address = IpAddress::parse(what);
    if (!address || !address->is_v4()) return wrong(fmt::format("'{}' is no IPv4 address", what));
    if (interface_ == nullptr) return wrong("say which interface: dev NAME");
    if (action == "del") {
      if (!parts_.neighbors.remove(interface_->id, *address)) return wrong(fmt::format("{} is not among the neighbours on {} (No such file or directory)", what, interface_->name));
      return {};
    }
    if (action != "add" && action != "replace") return wrong("neigh takes show, add, del, replace, flush");
    const auto mac = mac_of(text_of(question_, "lladdr"));
    if (!mac) return wrong(fmt::format("lladdr '{}' is no MAC address, like 02:00:00:00:00:01", text_of(question_, "lladdr")));
    if (action == "add" && parts_.neighbors.find(interface_->id, *address)) return wrong(fmt::format("{} is among the neighbours on {} already (File exists)", what, interface_->name));
    if (!parts_.neighbors.set_permanent(interface_->id, *address, *mac, now_)) return wrong("the table of neighbours is full");
    return {};
  }

  // Linux's takes link-layer addresses, and holds them for nobody; here the stack itself is a member of the group.
  Outcome maddr(const std::string& action) {
    const std::string what = text_of(question_, "what");
    const auto group = IpAddress::parse(what);
    if (!group || !group->is_v4() || !group->is_multicast()) return wrong(fmt::format("'{}' is no group, like 239.1.2.3", what));
    if (interface_ == nullptr) return wrong("say which interface: dev NAME");
    const std::string key = interface_->name + ' ' + group->to_string();
    const auto held = groups_.find(key);
    if (action == "add") {
      if (held != groups_.end()) return wrong(fmt::format("{} is on {} already (File exists)", what, interface_->name));
      const ip::MemberId member = parts_.groups.join(interface_->id, *group, SourceFilter{}, now_);
      if (!member) return wrong("the stack is in too many groups");
      groups_.emplace(key, member);
      return {};
    }
    if (action != "del") return wrong("maddr takes show, add, del");
    if (held == groups_.end()) return wrong(fmt::format("{} is not on {} by this command (No such file or directory)", what, interface_->name));
    parts_.groups.leave(held->second, now_);
    groups_.erase(held);
    return {};
  }

  static std::optional<ip::MacAddress> mac_of(const std::string& text) {
    ip::MacAddress mac{};
    if (text.size() != 17) return std::nullopt;
    for (std::size_t i = 0; i < mac.size(); ++i) {
      const char* at = text.data() + 3 * i;
      const auto [end, error] = std::from_chars(at, at + 2, mac[i], 16);
      if (error != std::errc() || end != at + 2 || (i < 5 && *end != ':')) return std::nullopt;
    }
    return mac;
  }

  stack::Stack& stack_;
  stack::Stack::Parts& parts_;
  const json& question_;
  Instant now_;
  std::map<std::string, ip::MemberId>& groups_;  // Running::groups
  const ip::Interface* interface_ = nullptr;  // of `dev`
};

}  // namespace

void answer_ip(Running& running, const json& question, runtime::ControlReply& reply) {
  const auto answer = running.host.with([&](stack::Stack& stack, socket::Sockets&, Instant now) { return Acting(stack, question, now, running.groups).act(); });
  if (!answer) return reply.fail(answer.error());
  // As text: objects keep their order so.
  reply.send(answer->dump(-1, ' ', false, json::error_handler_t::replace));
}

}  // namespace tapir::cli
