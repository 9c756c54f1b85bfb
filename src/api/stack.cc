// SPDX-License-Identifier: Apache-2.0
#include "tapir/stack.hpp"

#include <optional>
#include <variant>
#include <vector>

#include "inet/ip_address.h"
#include "runtime/host_pipe.h"
#include "runtime/stack_host.h"

namespace tapir {

// ---- cables
// --------------------------------------------------------------------------------------------------------

struct CableEnd::Device {
  std::unique_ptr<link::Device> device;
};

CableEnd::CableEnd(std::unique_ptr<Device> device) : device_(std::move(device)) {}
CableEnd::CableEnd(CableEnd&&) noexcept = default;
CableEnd& CableEnd::operator=(CableEnd&&) noexcept = default;
CableEnd::~CableEnd() = default;

std::pair<CableEnd, CableEnd> make_cable(std::uint32_t mtu) {
  auto [one, other] = runtime::make_host_pipe({.mtu = mtu});
  return {CableEnd(std::make_unique<CableEnd::Device>(std::move(one))),
          CableEnd(std::make_unique<CableEnd::Device>(std::move(other)))};
}

// ---- the stack
// -----------------------------------------------------------------------------------------------------

Stack::Stack(std::unique_ptr<runtime::StackHost> host) : host_(std::move(host)) {}
Stack::Stack(Stack&&) noexcept = default;
Stack& Stack::operator=(Stack&&) noexcept = default;
Stack::~Stack() = default;

std::expected<std::string, std::string> Stack::sysctl(std::string_view name) const {
  return host_->sysctl_get(name);
}
std::expected<void, std::string> Stack::set_sysctl(std::string_view name, std::string_view value) {
  return host_->sysctl_set(name, value);
}

// ---- the builder
// ---------------------------------------------------------------------------------------------------

struct PlannedRoute {
  std::string prefix;
  std::string gateway;
};

struct PlannedDevice {
  enum class Kind : unsigned char { kTap, kPacket, kCable } kind;
  std::string name;  // of the kernel's interface
  std::unique_ptr<link::Device> cable;
  std::uint32_t mtu = 0;
  std::vector<std::string> addresses;
  std::vector<PlannedRoute> routes;
};

struct StackBuilder::Plan {
  std::vector<PlannedDevice> devices;
  std::vector<std::pair<std::string, std::string>> sysctls;
  std::uint64_t seed = 0;
  std::size_t memory_limit = stack::StackConfig().memory_limit;
  std::string misuse;  // what was said in the wrong place, first

  // What was named last; null, and a note of the misuse, when nothing was.
  PlannedDevice* last(const char* what) {
    if (!devices.empty()) return &devices.back();
    if (misuse.empty()) misuse = std::string(what) + " belongs to a device: name the device first";
    return nullptr;
  }
};

namespace {

std::expected<InterfaceId, std::string> add_device(runtime::StackHost& host, PlannedDevice& planned,
                                                   std::size_t number) {
  stack::InterfaceConfig interface;
  for (const std::string& text : planned.addresses) {
    const auto prefix = IpPrefix::parse(text);
    if (!prefix)
      return std::unexpected("'" + text + "' is no address with a prefix length, such as 10.0.0.1/24");
    interface.addresses.push_back(*prefix);
  }
  switch (planned.kind) {
    case PlannedDevice::Kind::kTap:
      return host.add_tap({.name = planned.name, .mtu = planned.mtu}, std::move(interface));
    case PlannedDevice::Kind::kPacket:
      return host.add_packet({.interface = planned.name}, std::move(interface));
    case PlannedDevice::Kind::kCable:
      break;
  }
  interface.name = "cable" + std::to_string(number);
  return host.add_interface(std::move(interface), std::move(planned.cable));
}

std::expected<void, std::string> add_route(runtime::StackHost& host, InterfaceId interface,
                                           const PlannedRoute& route) {
  const auto prefix = IpPrefix::parse(route.prefix);
  if (!prefix) return std::unexpected("'" + route.prefix + "' is no prefix, such as 10.1.0.0/16");
  const auto gateway = route.gateway.empty() ? IpAddress() : IpAddress::parse(route.gateway);
  if (!gateway) return std::unexpected("'" + route.gateway + "' is no address of a gateway");
  if (!host.add_route(*prefix, *gateway, interface))
    return std::unexpected("the route to " + route.prefix +
                           " cannot be added: it is there already, or its gateway is not on the link");
  return {};
}

}  // namespace

StackBuilder::StackBuilder() : plan_(std::make_unique<Plan>()) {}
StackBuilder::StackBuilder(StackBuilder&&) noexcept = default;
StackBuilder& StackBuilder::operator=(StackBuilder&&) noexcept = default;
StackBuilder::~StackBuilder() = default;

StackBuilder& StackBuilder::tap(std::string name) {
  plan_->devices.push_back({.kind = PlannedDevice::Kind::kTap,
                            .name = std::move(name),
                            .cable = {},
                            .addresses = {},
                            .routes = {}});
  return *this;
}
StackBuilder& StackBuilder::packet(std::string interface) {
  plan_->devices.push_back({.kind = PlannedDevice::Kind::kPacket,
                            .name = std::move(interface),
                            .cable = {},
                            .addresses = {},
                            .routes = {}});
  return *this;
}
StackBuilder& StackBuilder::cable(CableEnd end) {
  plan_->devices.push_back({.kind = PlannedDevice::Kind::kCable,
                            .name = {},
                            .cable = std::move(end.device_->device),
                            .addresses = {},
                            .routes = {}});
  return *this;
}
StackBuilder& StackBuilder::address(std::string prefix) {
  if (PlannedDevice* device = plan_->last("an address")) device->addresses.push_back(std::move(prefix));
  return *this;
}
StackBuilder& StackBuilder::mtu(std::uint32_t bytes) {
  if (PlannedDevice* device = plan_->last("an MTU")) device->mtu = bytes;
  return *this;
}
StackBuilder& StackBuilder::gateway(std::string address) { return route("0.0.0.0/0", std::move(address)); }
StackBuilder& StackBuilder::route(std::string prefix, std::string gateway) {
  if (PlannedDevice* device = plan_->last("a route"))
    device->routes.push_back({std::move(prefix), std::move(gateway)});
  return *this;
}
StackBuilder& StackBuilder::sysctl(std::string name, std::string value) {
  plan_->sysctls.emplace_back(std::move(name), std::move(value));
  return *this;
}
StackBuilder& StackBuilder::seed(std::uint64_t seed) {
  plan_->seed = seed;
  return *this;
}
StackBuilder& StackBuilder::memory_limit(std::size_t bytes) {
  plan_->memory_limit = bytes;
  return *this;
}

std::expected<Stack, std::string> StackBuilder::build() {
  if (!plan_->misuse.empty()) return std::unexpected(plan_->misuse);
  runtime::HostConfig config;
  config.stack.seed = plan_->seed;
  config.stack.memory_limit = plan_->memory_limit;
  auto host = std::make_unique<runtime::StackHost>(config);
  for (const auto& [name, value] : plan_->sysctls)
    if (auto set = host->sysctl_set(name, value); !set) return std::unexpected(set.error());
  for (std::size_t i = 0; i < plan_->devices.size(); ++i) {
    PlannedDevice& planned = plan_->devices[i];
    const auto interface = add_device(*host, planned, i);
    if (!interface) return std::unexpected(interface.error());
    for (const PlannedRoute& route : planned.routes)
      if (auto added = add_route(*host, *interface, route); !added) return std::unexpected(added.error());
  }
  return Stack(std::move(host));
}

}  // namespace tapir
