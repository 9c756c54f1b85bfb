// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "cli/answering.h"
#include "cli/asking.h"
#include "cli/capture_hub.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/interrupt.h"
#include "cli/services.h"
#include "drivers/netdev.h"
#include "drivers/netns.h"
#include "drivers/packet.h"
#include "drivers/tap.h"
#include "link/capture.h"
#include "link/impair.h"
#include "runtime/control_socket.h"
#include "runtime/entropy.h"
#include "runtime/file_sink.h"
#include "runtime/stack_host.h"

namespace tapir::cli {
namespace {

using Outcome = std::expected<void, std::string>;

constexpr const char* kDeviceDefault = "tapir0";
constexpr const char* kAddressDefault = "10.0.0.1/24";
// RFC 791: every host forwards 68 bytes; the largest IP packet.
constexpr std::uint32_t kMtuMin = 68;
constexpr std::uint32_t kMtuMax = 65535;

enum class Wire : std::uint8_t { kTap, kPacket };

// What was asked for, understood.
struct Plan {
  Wire wire = Wire::kTap;
  std::string device;
  std::vector<IpPrefix> addresses;
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

// A new TAP beside interfaces of the kernel: are its addresses still free there? Otherwise packets would go
// elsewhere, and the kernel would not say so.
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

// The stack and all that is attached to it. Members are destroyed from the last to the first: the control
// socket, the servers, the stack with its device, what the device writes to.
class Instance {
 public:
  explicit Instance(const Plan& plan)
      : plan_(plan),
        epoch_(Duration(static_cast<std::int64_t>(runtime::wall_clock_offset_ns()))),
        captures_(epoch_) {}

  // Each step in turn; error: one sentence.
  Outcome start() {
    for (const auto step :
         {&Instance::enter_namespace, &Instance::open_pcap, &Instance::make_host, &Instance::make_interface,
          &Instance::set_knobs, &Instance::start_services, &Instance::open_control})
      if (auto done = (this->*step)(); !done) return done;
    return {};
  }

  void run() {
    if (services_ && !plan_.services.empty())
      services_->run(interrupted());
    else
      wait_for_interrupt();
  }

  std::string banner() const {
    const IpAddress& address = plan_.addresses.front().address;
    std::vector<std::string> addresses;
    for (const IpPrefix& each : plan_.addresses) addresses.push_back(each.to_string());
    std::string text =
        fmt::format("tapir is up: {} on {} ({}), MTU {}.\n", fmt::join(addresses, ", "), device_name_,
                    plan_.wire == Wire::kTap ? "a TAP interface" : "a packet socket", mtu_);
    if (plan_.peer) text += fmt::format("The kernel's end is {}.\n", plan_.peer->to_string());
    std::string enter;
    if (namespace_) {
      const bool user = *namespace_ == drivers::Namespace::kUserAndNetwork;
      enter = fmt::format("nsenter -t {}{} -n ", ::getpid(), user ? " -U --preserve-credentials" : "");
      text += fmt::format(
          "You have no CAP_NET_ADMIN here, so the interface is in a new {}network namespace; programs get "
          "there with nsenter.\n",
          user ? "user and " : "");
    } else if (plan_.wire == Wire::kTap) {
      text += "The interface is in this network namespace.\n";
    }
    if (plan_.impair)
      text += "Frames are impaired on their way, both those in and those out, as you asked.\n";
    std::vector<std::string> services;
    for (const ServiceSpec& service : plan_.services)
      services.push_back(fmt::format("{} {}{}", to_string(service.kind), service.port,
                                     service.folder.empty() ? "" : fmt::format(" ({})", service.folder)));
    text += services.empty() ? "It serves nothing; try --serve echo:7,http:80=. the next time.\n"
                             : fmt::format("It serves {}.\n", fmt::join(services, ", "));
    const std::string control = plan_.control == default_control_path() ? "" : " --control " + plan_.control;
    std::vector<Hint> hints;
    if (plan_.peer || plan_.wire == Wire::kPacket) {
      hints.push_back({fmt::format("{}ping {}", enter, address.to_string()), "the kernel asks tapir"});
      for (const ServiceSpec& service : plan_.services)
        if (auto hint = hint_of(service, address); !hint.command.empty())
          hints.push_back({enter + hint.command, hint.remark});
    }
    if (plan_.peer)
      hints.push_back(
          {fmt::format("tapir ping{} {}", control, plan_.peer->address.to_string()), "the other way"});
    hints.push_back({"tapir ss -a" + control, "its sockets"});
    hints.push_back({"tapir nstat" + control, "its counters"});
    hints.push_back({"tapir capture" + control, "its packets, live"});
    std::size_t width = 0;
    for (const Hint& hint : hints) width = std::max(width, hint.command.size());
    text += "\nIn another terminal:\n";
    for (const Hint& hint : hints) text += fmt::format("    {:{}}   {}\n", hint.command, width, hint.remark);
    text += fmt::format("\nThe control socket is {}. Ctrl-C ends all of it.\n", plan_.control);
    return text;
  }

 private:
  // Something to try next.
  struct Hint {
    std::string command;  // empty: nothing
    const char* remark = "";
  };
  static Hint hint_of(const ServiceSpec& service, const IpAddress& address) {
    switch (service.kind) {
      case ServiceKind::kHttp:
        return {fmt::format("curl http://{}{}/", address.to_string(),
                            service.port == 80 ? "" : fmt::format(":{}", service.port)),
                "its files"};
      case ServiceKind::kEcho:
        return {fmt::format("nc {} {}", address.to_string(), service.port), "what you type comes back"};
      case ServiceKind::kDiscard:
      case ServiceKind::kChargen:
        break;
    }
    return {};
  }

  // Before any thread exists: a user namespace cannot be entered after.
  Outcome enter_namespace() {
    if (plan_.wire != Wire::kTap) return {};
    if (drivers::has_net_admin()) return check_addresses_free(plan_);
    auto entered = drivers::enter_private_network_namespace();
    if (!entered) return std::unexpected(entered.error());
    namespace_ = *entered;
    return {};
  }

  Outcome open_pcap() {
    if (!plan_.pcap) return {};
    auto sink = runtime::open_file_sink(*plan_.pcap);
    if (!sink) return std::unexpected(sink.error());
    pcap_sink_ = std::move(*sink);
    pcap_.emplace(*pcap_sink_);
    pcap_->begin();
    return {};
  }

  Outcome make_host() {
    host_.emplace();
    running_.emplace(*host_, captures_, probes_);
    return {};
  }

  Outcome make_interface() {
    auto device = open_device();
    if (!device) return std::unexpected(device.error());
    mtu_ = (*device)->mtu();
    if (plan_.impair)
      *device = std::make_unique<link::Impair>(std::move(*device), *plan_.impair, runtime::random_seed());
    if (pcap_) *device = std::make_unique<link::Capture>(std::move(*device), *pcap_, device_name_, epoch_);
    const InterfaceId id = host_->add_interface({device_name_, plan_.addresses, true},
                                                captures_.wrap(std::move(*device), device_name_));
    if (id == kNoInterface)
      return std::unexpected(fmt::format(
          "the stack cannot have an interface named {}: choose another name with --dev", device_name_));
    if (plan_.gateway && !host_->add_route(IpPrefix{IpAddress::any_v4(), 0}, *plan_.gateway, id))
      return std::unexpected(
          fmt::format("the default route over {} cannot be added", plan_.gateway->to_string()));
    return {};
  }

  std::expected<std::unique_ptr<link::Device>, std::string> open_device() {
    const auto count_drops = [this](auto& device) {
      host_->with(
          [&](stack::Stack& stack, socket::Sockets&, Instant) { device.count_into(&stack.counters()); });
    };
    if (plan_.wire == Wire::kPacket) {
      if (plan_.mtu != 0) {
        if (auto set = drivers::set_mtu(plan_.device, plan_.mtu); !set) return std::unexpected(set.error());
      }
      auto packet = drivers::open_packet({.interface = plan_.device});
      if (!packet) return std::unexpected(packet.error());
      count_drops(**packet);
      device_name_ = (*packet)->name();
      return std::move(*packet);
    }
    auto tap = drivers::open_tap({.name = plan_.device, .mtu = plan_.mtu});
    if (!tap) return std::unexpected(tap.error());
    count_drops(**tap);
    device_name_ = (*tap)->name();
    if (plan_.peer) {
      if (auto added = drivers::add_address(device_name_, *plan_.peer); !added)
        return std::unexpected(added.error());
    }
    if (auto up = drivers::set_link_up(device_name_); !up) return std::unexpected(up.error());
    return std::move(*tap);
  }

  Outcome set_knobs() {
    for (const Plan::Sysctl& sysctl : plan_.sysctls)
      if (auto set = host_->sysctl_set(sysctl.name, sysctl.value); !set)
        return std::unexpected(sysctl.origin + set.error());
    return {};
  }

  Outcome start_services() {
    services_.emplace(*host_);
    for (const ServiceSpec& service : plan_.services)
      if (auto added = services_->add(service); !added) return added;
    return {};
  }

  Outcome open_control() {
    auto control = runtime::ControlServer::open(plan_.control, control_handlers(*running_));
    if (!control) return std::unexpected(control.error());
    control_ = std::move(*control);
    return {};
  }

  const Plan& plan_;
  const Duration epoch_;                         // from Instants to the time since 1970
  std::optional<drivers::Namespace> namespace_;  // the one that was made; none: the caller's
  std::string device_name_;
  std::uint32_t mtu_ = 0;
  std::unique_ptr<runtime::FileSink> pcap_sink_;
  std::optional<link::PcapngWriter> pcap_;
  CaptureHub captures_;
  trace::TeeProbe probes_;
  std::optional<runtime::StackHost> host_;
  std::optional<Running> running_;
  std::optional<Services> services_;
  std::unique_ptr<runtime::ControlServer> control_;
};

}  // namespace

int up_main(const UpOptions& options) {
  const auto configured = with_config(options);
  if (!configured) return complain("up", configured.error(), 2);
  const auto plan = Planner(*configured).plan();
  if (!plan) return complain("up", plan.error(), 2);

  catch_interrupts();
  {
    Instance instance(*plan);
    if (const auto started = instance.start(); !started) return complain("up", started.error());
    fmt::print("{}", instance.banner());
    std::fflush(stdout);
    instance.run();
  }
  fmt::print("tapir is down ({}).\n", interrupted() == SIGTERM ? "SIGTERM" : "SIGINT");
  return 0;
}

}  // namespace tapir::cli
