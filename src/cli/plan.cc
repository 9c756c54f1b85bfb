// SPDX-License-Identifier: Apache-2.0
#include "cli/plan.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <utility>

namespace tapir::cli {
namespace {

constexpr const char* kDeviceDefault = "tapir0";
constexpr const char* kAddressDefault = "10.0.0.1/24";
// RFC 791: every host forwards 68 bytes; the largest IP packet.
constexpr std::uint32_t kMtuMin = 68;
constexpr std::uint32_t kMtuMax = 65535;

// The kernel's address when none is asked for: the first host of the network that is not ours.
std::optional<IpPrefix> other_host(const IpPrefix& ours) {
  if (ours.length > 31) return std::nullopt;
  const std::uint32_t network = ours.network().address.v4_bits();
  const std::uint32_t first = ours.length == 31 ? network : network + 1;
  const std::uint32_t chosen = ours.address.v4_bits() == first ? first + 1 : first;
  return IpPrefix{IpAddress::v4(chosen), ours.length};
}

class Planner {
 public:
  explicit Planner(const Configured& configured) : configured_(configured), options_(configured.options) {}

  std::expected<Plan, std::string> plan() {
    for (const auto step : {&Planner::device, &Planner::topology, &Planner::addresses, &Planner::peer,
                            &Planner::gateway, &Planner::others})
      if (auto done = (this->*step)(); !done) return std::unexpected(done.error());
    return std::move(plan_);
  }

 private:
  std::unexpected<std::string> wrong(std::string_view option, std::string_view value,
                                     std::string_view what) const {
    return std::unexpected(configured_.origin(option, value) + std::string(what));
  }

  Outcome device() {
    const std::string text = options_.device.value_or(kDeviceDefault);
    return device_of("dev", text, plan_.wire, plan_.device);
  }

  Outcome device_of(std::string_view option, const std::string& text, Wire& wire, std::string& name) const {
    const std::size_t colon = text.find(':');
    const std::string kind = colon == std::string::npos ? "tap" : text.substr(0, colon);
    name = colon == std::string::npos ? text : text.substr(colon + 1);
    if (kind != "tap" && kind != "tun" && kind != "packet")
      return wrong(option, text,
                   fmt::format("'{}' is no device: NAME or tap:NAME makes a TAP interface, tun:NAME a TUN "
                               "interface, packet:NAME uses an interface that is there",
                               text));
    wire = kind == "tap" ? Wire::kTap : kind == "tun" ? Wire::kTun : Wire::kPacket;
    if (name.empty() || name.size() >= IFNAMSIZ || name.find_first_of("/ ") != std::string::npos)
      return wrong(
          option, text,
          fmt::format("'{}' is no name for an interface: it has 1 to 15 characters, no blank and no slash",
                      name));
    return {};
  }

  Outcome topology() {
    if (options_.topology) {
      const std::string& text = *options_.topology;
      if (text != "local" && text != "bridge")
        return wrong(
            "topology", text,
            fmt::format("'{}' is no topology: local makes the kernel the stack's gateway, bridge puts "
                        "the stack in the kernel's place",
                        text));
      if (plan_.wire != Wire::kTap)
        return wrong("topology", text, "it takes a TAP interface (--dev tap:NAME)");
      plan_.topology = text == "local" ? Topology::kLocal : Topology::kBridge;
    }
    if (options_.uplink && plan_.topology != Topology::kBridge)
      return wrong("uplink", *options_.uplink, "it is for --topology bridge");
    if (plan_.topology != Topology::kBridge) return {};
    auto uplink = find_uplink(options_.uplink.value_or(""));
    if (!uplink) return std::unexpected(uplink.error());
    plan_.uplink = std::move(*uplink);
    return {};
  }

  Outcome addresses() {
    std::vector<std::string> texts = options_.addresses;
    if (texts.empty() && plan_.uplink)
      for (const IpPrefix& each : plan_.uplink->addresses) texts.push_back(each.to_string());
    if (texts.empty()) texts.push_back(kAddressDefault);
    for (const std::string& text : texts) {
      const auto address = IpPrefix::parse(text);
      if (!address || !address->address.is_v4())
        return wrong(
            "addr", text,
            fmt::format("'{}' is no IPv4 address with a prefix length, like {}", text, kAddressDefault));
      if (!fits_a_host(*address))
        return wrong("addr", text, fmt::format("{} is no address that a host can have", text));
      for (const IpPrefix& other : plan_.addresses)
        if (other.address == address->address)
          return wrong("addr", text, fmt::format("{} is given twice", text));
      plan_.addresses.push_back(*address);
    }
    return {};
  }

  Outcome peer() {
    if (plan_.topology == Topology::kBridge) {
      if (options_.peer) return wrong("peer", *options_.peer, "on a bridge the kernel has no address");
      return {};
    }
    if (!options_.peer) {
      if (is_tap(plan_.wire)) plan_.peer = other_host(plan_.addresses.front());
      return {};
    }
    const std::string& text = *options_.peer;
    if (text == "none") return {};
    if (plan_.wire == Wire::kPacket)
      return wrong(
          "peer", text,
          "it is the kernel's end of a TAP; what is behind an existing interface has its address already");
    const auto peer = IpPrefix::parse(text);
    if (!peer || !peer->address.is_v4() || !fits_a_host(*peer))
      return wrong("peer", text,
                   fmt::format("'{}' is no IPv4 address with a prefix length, like 10.0.0.2/24", text));
    for (const IpPrefix& address : plan_.addresses)
      if (address.address == peer->address)
        return wrong(
            "peer", text,
            fmt::format("{} is the stack's own address: the kernel needs another one of that network",
                        peer->address.to_string()));
    plan_.peer = peer;
    return {};
  }

  Outcome gateway() {
    if (!options_.gateway) {
      if (plan_.topology == Topology::kLocal && plan_.peer) plan_.gateway = plan_.peer->address;
      if (plan_.uplink) plan_.gateway = plan_.uplink->gateway;
      return {};
    }
    const auto gateway = IpAddress::parse(*options_.gateway);
    if (!gateway || !gateway->is_v4())
      return wrong("gateway", *options_.gateway, fmt::format("'{}' is no IPv4 address", *options_.gateway));
    bool reached = false;
    for (const IpPrefix& address : plan_.addresses) {
      if (address.address == *gateway)
        return wrong("gateway", *options_.gateway,
                     fmt::format("{} is the stack's own address", *options_.gateway));
      reached = reached || address.contains(*gateway);
    }
    if (!reached)
      return wrong("gateway", *options_.gateway,
                   fmt::format("{} is in none of the stack's networks", *options_.gateway));
    plan_.gateway = gateway;
    return {};
  }

  // "tap0.42": VLAN 42 of an interface that was named before.
  bool is_vlan(const std::string& device, Plan::Another& another) const {
    const std::size_t dot = device.rfind('.');
    if (dot == std::string::npos) return false;
    const std::string trunk = device.substr(0, dot);
    const bool known =
        trunk == plan_.device ||
        std::ranges::any_of(plan_.also, [&](const Plan::Another& each) { return each.device == trunk; });
    std::uint16_t id = 0;
    const auto [end, error] = std::from_chars(device.data() + dot + 1, device.data() + device.size(), id);
    if (!known || error != std::errc() || end != device.data() + device.size() || id == 0 || id > 4094)
      return false;
    another.device = device;
    another.trunk = trunk;
    another.vlan = id;
    return true;
  }

  Outcome others() {
    if (options_.mtu) {
      const std::string text = std::to_string(*options_.mtu);
      if (*options_.mtu < kMtuMin || *options_.mtu > kMtuMax)
        return wrong(
            "mtu", text,
            fmt::format("{} is no MTU: it is a number of bytes from {} to {}", text, kMtuMin, kMtuMax));
      plan_.mtu = *options_.mtu;
    }
    for (const std::string& text : options_.also) {
      const std::size_t equals = text.find('=');
      const auto address =
          equals == std::string::npos ? std::nullopt : IpPrefix::parse(text.substr(equals + 1));
      if (!address || !address->address.is_v4() || !fits_a_host(*address))
        return wrong("also", text,
                     fmt::format("'{}' is no DEVICE=ADDRESS/LENGTH, like tapB=10.2.0.1/24", text));
      Plan::Another another;
      another.address = *address;
      if (!is_vlan(text.substr(0, equals), another))
        if (auto named = device_of("also", text.substr(0, equals), another.wire, another.device); !named)
          return named;
      plan_.also.push_back(std::move(another));
    }
    if (options_.vlan) {
      const std::string text = std::to_string(*options_.vlan);
      if (*options_.vlan == 0 || *options_.vlan > 4094 || plan_.wire == Wire::kTun)
        return wrong("vlan", text, "a VLAN has a number from 1 to 4094, and is on Ethernet");
      plan_.vlan = static_cast<std::uint16_t>(*options_.vlan);
    }
    plan_.detect_conflicts = options_.detect_conflicts;
    for (const std::string& text : options_.serve) {
      auto service = parse_service(text);
      if (!service) return wrong("serve", text, service.error());
      plan_.services.push_back(std::move(*service));
    }
    if (options_.impair) {
      const auto impair = link::parse_impair(*options_.impair);
      if (!impair) return wrong("impair", *options_.impair, impair.error());
      plan_.impair = *impair;
    }
    for (const std::string& text : options_.sysctls) {
      const std::size_t equals = text.find('=');
      if (equals == std::string::npos || equals == 0)
        return wrong("sysctl", text, fmt::format("'{}' is no NAME=VALUE, like net.ipv4.tcp_sack=0", text));
      plan_.sysctls.push_back(
          {text.substr(0, equals), text.substr(equals + 1), configured_.origin("sysctl", text)});
    }
    plan_.pcap = options_.pcap;
    plan_.control = options_.control.value_or(default_control_path());
    return {};
  }

  static bool fits_a_host(const IpPrefix& prefix) {
    const IpAddress& address = prefix.address;
    if (address.is_unspecified() || address.is_multicast() || address.is_broadcast() ||
        address.is_loopback() || prefix.length == 0)
      return false;
    if (prefix.length >= 31) return true;
    return address != prefix.network().address && address != prefix.broadcast();
  }

  const Configured& configured_;
  const UpOptions& options_;
  Plan plan_;
};

}  // namespace

std::expected<Plan, std::string> make_plan(const Configured& configured) {
  return Planner(configured).plan();
}

Outcome check_addresses_free(const Plan& plan) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET || each->ifa_netmask == nullptr)
      continue;
    const auto bits = [](const sockaddr* address) {
      return ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr);
    };
    const std::uint32_t taken = bits(each->ifa_addr);
    const std::uint32_t mask = bits(each->ifa_netmask);
    const auto complaint = [&](const IpPrefix& wanted) {
      return std::unexpected(fmt::format(
          "{} is taken: {} of this network namespace has {}; choose others with --addr and --peer",
          wanted.to_string(), each->ifa_name, IpAddress::v4(taken).to_string()));
    };
    for (const IpPrefix& address : plan.addresses) {
      const bool overlaps =
          (address.address.v4_bits() & mask) == (taken & mask) || address.contains(IpAddress::v4(taken));
      if (overlaps) return complaint(address);
    }
    if (plan.peer && plan.peer->address.v4_bits() == taken) return complaint(*plan.peer);
  }
  return {};
}

}  // namespace tapir::cli
