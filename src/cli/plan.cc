// SPDX-License-Identifier: Apache-2.0
#include "cli/plan.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

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
    for (const auto step :
         {&Planner::device, &Planner::addresses, &Planner::peer, &Planner::gateway, &Planner::others})
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
    const std::size_t colon = text.find(':');
    const std::string kind = colon == std::string::npos ? "tap" : text.substr(0, colon);
    plan_.device = colon == std::string::npos ? text : text.substr(colon + 1);
    if (kind != "tap" && kind != "packet")
      return wrong("dev", text,
                   fmt::format("'{}' is no device: NAME or tap:NAME makes a TAP interface, packet:NAME uses "
                               "an interface that is there",
                               text));
    plan_.wire = kind == "tap" ? Wire::kTap : Wire::kPacket;
    if (plan_.device.empty() || plan_.device.size() >= IFNAMSIZ ||
        plan_.device.find_first_of("/ ") != std::string::npos)
      return wrong(
          "dev", text,
          fmt::format("'{}' is no name for an interface: it has 1 to 15 characters, no blank and no slash",
                      plan_.device));
    return {};
  }

  Outcome addresses() {
    std::vector<std::string> texts = options_.addresses;
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
    if (!options_.peer) {
      if (plan_.wire == Wire::kTap) plan_.peer = other_host(plan_.addresses.front());
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
    if (!options_.gateway) return {};
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

  Outcome others() {
    if (options_.mtu) {
      const std::string text = std::to_string(*options_.mtu);
      if (*options_.mtu < kMtuMin || *options_.mtu > kMtuMax)
        return wrong(
            "mtu", text,
            fmt::format("{} is no MTU: it is a number of bytes from {} to {}", text, kMtuMin, kMtuMax));
      plan_.mtu = *options_.mtu;
    }
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
