// SPDX-License-Identifier: Apache-2.0
#include "cli/topology.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <bit>
#include <fstream>
#include <sstream>

#include "drivers/netdev.h"

namespace tapir::cli {
namespace {

constexpr const char* kBridge = "tapirbr0";
constexpr const char* kForwarding = "/proc/sys/net/ipv4/ip_forward";

std::uint32_t bits_of(const sockaddr* address) {
  return ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr);
}

// The kernel's default route: its interface and its gateway. /proc/net/route writes addresses in the byte
// order of the machine.
std::optional<std::pair<std::string, std::optional<IpAddress>>> default_route(const std::string& over) {
  std::ifstream routes("/proc/net/route");
  std::string line;
  std::getline(routes, line);  // the columns' names
  while (std::getline(routes, line)) {
    std::istringstream fields(line);
    std::string name;
    std::uint32_t destination = 0;
    std::uint32_t gateway = 0;
    if (!(fields >> name >> std::hex >> destination >> gateway)) continue;
    if (destination != 0 || (!over.empty() && name != over)) continue;
    std::optional<IpAddress> by;
    if (gateway != 0) by = IpAddress::v4(ntohl(gateway));
    return std::pair(name, by);
  }
  return std::nullopt;
}

std::vector<IpPrefix> addresses_of(const std::string& name) {
  std::vector<IpPrefix> found;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return found;
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET || each->ifa_netmask == nullptr)
      continue;
    if (name != each->ifa_name) continue;
    const auto length = static_cast<std::uint8_t>(std::popcount(bits_of(each->ifa_netmask)));
    found.push_back({IpAddress::v4(bits_of(each->ifa_addr)), length});
  }
  return found;
}

class Local final : public TopologySetup {
 public:
  explicit Local(std::string before) : before_(std::move(before)) {}
  ~Local() override { std::ofstream(kForwarding) << before_; }

 private:
  std::string before_;  // of net.ipv4.ip_forward
};

class Bridge final : public TopologySetup {
 public:
  explicit Bridge(Uplink uplink) : uplink_(std::move(uplink)) {}
  // Each step undone, whatever the others say: as much as can be is as it was.
  ~Bridge() override {
    (void)drivers::delete_link(kBridge);
    for (const IpPrefix& address : removed_) (void)drivers::add_address(uplink_.name, address);
    if (!removed_.empty() && uplink_.gateway)
      (void)drivers::add_route({IpAddress::any_v4(), 0}, *uplink_.gateway, uplink_.name);
  }

  drivers::NetdevResult build(const std::string& tap) {
    if (auto made = drivers::create_bridge(kBridge); !made) return made;
    for (const std::string& port : {uplink_.name, tap})
      if (auto enslaved = drivers::set_master(port, kBridge); !enslaved) return enslaved;
    for (const IpPrefix& address : uplink_.addresses) {
      if (auto removed = drivers::remove_address(uplink_.name, address); !removed) return removed;
      removed_.push_back(address);
    }
    for (const std::string& link : {uplink_.name, tap, std::string(kBridge)})
      if (auto up = drivers::set_link_up(link); !up) return up;
    return {};
  }

 private:
  Uplink uplink_;
  std::vector<IpPrefix> removed_;  // from the uplink
};

}  // namespace

bool in_machines_namespace() {
  struct stat own{};
  struct stat first{};
  if (::stat("/proc/self/ns/net", &own) != 0 || ::stat("/proc/1/ns/net", &first) != 0) return false;
  return own.st_ino == first.st_ino && own.st_dev == first.st_dev;
}

std::expected<Uplink, std::string> find_uplink(const std::string& name) {
  Uplink uplink;
  uplink.name = name;
  const auto route = default_route(name);
  if (uplink.name.empty()) {
    if (!route)
      return std::unexpected(
          "the kernel has no default route here: say with --uplink which interface the bridge shall take");
    uplink.name = route->first;
  }
  if (!drivers::link_exists(uplink.name))
    return std::unexpected(fmt::format("there is no interface '{}' in this network namespace", uplink.name));
  if (route) uplink.gateway = route->second;
  uplink.addresses = addresses_of(uplink.name);
  if (uplink.addresses.empty())
    return std::unexpected(fmt::format("{} has no IPv4 address that the stack could take", uplink.name));
  return uplink;
}

std::expected<std::unique_ptr<TopologySetup>, std::string> set_up_local() {
  std::string before;
  std::ifstream(kForwarding) >> before;
  std::ofstream file(kForwarding);
  file << "1\n" << std::flush;
  if (before.empty() || !file)
    return std::unexpected(
        "the kernel cannot be made to forward: net.ipv4.ip_forward of this network namespace cannot be set");
  return std::make_unique<Local>(before);
}

std::expected<std::unique_ptr<TopologySetup>, std::string> set_up_bridge(const Uplink& uplink,
                                                                         const std::string& tap) {
  if (in_machines_namespace())
    return std::unexpected(
        "a bridge topology takes the address away from the kernel, and this is the machine's own network "
        "namespace: run it in one of its own (ip netns exec, unshare -n)");
  auto bridge = std::make_unique<Bridge>(uplink);
  if (auto built = bridge->build(tap); !built) return std::unexpected(built.error());
  return bridge;
}

}  // namespace tapir::cli
