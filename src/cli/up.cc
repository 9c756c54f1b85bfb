// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>
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
#include "cli/plan.h"
#include "cli/services.h"
#include "drivers/netdev.h"
#include "drivers/netns.h"
#include "drivers/packet.h"
#include "drivers/tap.h"
#include "link/capture.h"
#include "link/impair.h"
#include "observe/comment.h"
#include "runtime/clock.h"
#include "runtime/control_socket.h"
#include "runtime/entropy.h"
#include "runtime/file_sink.h"
#include "runtime/stack_host.h"
#include "stack/parts.h"

namespace tapir::cli {
namespace {

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
    for (const auto step : {&Instance::enter_namespace, &Instance::open_pcap, &Instance::make_host,
                            &Instance::make_interface, &Instance::make_others, &Instance::set_up_topology,
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
                    plan_.wire == Wire::kTap   ? "a TAP interface"
                    : plan_.wire == Wire::kTun ? "a TUN interface"
                                               : "a packet socket",
                    mtu_);
    if (plan_.topology == Topology::kLocal) text += "The kernel is its gateway, and forwards.\n";
    if (plan_.uplink)
      text += fmt::format("It has the place of the kernel's stack on {}; the kernel only bridges.\n",
                          plan_.uplink->name);
    if (plan_.peer) text += fmt::format("The kernel's end is {}.\n", plan_.peer->to_string());
    std::string enter;
    if (namespace_) {
      const bool user = *namespace_ == drivers::Namespace::kUserAndNetwork;
      enter = fmt::format("nsenter -t {}{} -n ", ::getpid(), user ? " -U --preserve-credentials" : "");
      text += fmt::format(
          "You have no CAP_NET_ADMIN here, so the interface is in a new {}network namespace; programs get "
          "there with nsenter.\n",
          user ? "user and " : "");
    } else if (is_tap(plan_.wire)) {
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
    if (!is_tap(plan_.wire)) return {};
    if (drivers::has_net_admin()) return plan_.uplink ? Outcome{} : check_addresses_free(plan_);
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
    captures_.record_to(*pcap_);
    return {};
  }

  Outcome make_host() {
    host_.emplace();
    running_.emplace(*host_, captures_, probes_);
    host_->with([this](stack::Stack& stack, socket::Sockets&, Instant) {
      captures_.describe_with([&stack](const FourTuple& tuple) {
        return observe::connection_comment(stack, tuple, runtime::monotonic_now());
      });
    });
    return {};
  }

  Outcome make_interface() {
    auto device = open_device();
    if (!device) return std::unexpected(device.error());
    mtu_ = (*device)->mtu();
    if (plan_.impair)
      *device = std::make_unique<link::Impair>(std::move(*device), *plan_.impair, runtime::random_seed());
    stack::InterfaceConfig config;
    config.name = device_name_;
    config.addresses = plan_.addresses;
    config.vlan = plan_.vlan;
    config.announce = true;
    config.detect_conflicts = plan_.detect_conflicts;
    const InterfaceId id =
        host_->add_interface(std::move(config), captures_.wrap(std::move(*device), device_name_));
    if (id == kNoInterface)
      return std::unexpected(fmt::format(
          "the stack cannot have an interface named {}: choose another name with --dev", device_name_));
    if (is_tap(plan_.wire)) host_->steer_receiver(device_name_);
    if (plan_.gateway && !host_->add_route(IpPrefix{IpAddress::any_v4(), 0}, *plan_.gateway, id))
      return std::unexpected(
          fmt::format("the default route over {} cannot be added", plan_.gateway->to_string()));
    return {};
  }

  Outcome make_others() {
    for (const Plan::Another& another : plan_.also) {
      stack::InterfaceConfig config{.name = another.device, .addresses = {another.address}, .announce = true};
      config.detect_conflicts = plan_.detect_conflicts;
      if (another.vlan != 0) {
        config.vlan = another.vlan;
        if (auto added = add_vlan(another, std::move(config)); !added) return added;
        continue;
      }
      std::string name = another.device;
      auto device = open_wire(another.wire, name, 0);
      if (!device) return std::unexpected(device.error());
      if (is_tap(another.wire))
        if (auto up = drivers::set_link_up(another.device); !up) return up;
      if (host_->add_interface(std::move(config), captures_.wrap(std::move(*device), another.device)) ==
          kNoInterface)
        return std::unexpected(
            fmt::format("the stack cannot have another interface named {}", another.device));
    }
    return {};
  }

  Outcome add_vlan(const Plan::Another& another, stack::InterfaceConfig config) {
    const bool added = host_->with([&](stack::Stack& stack, socket::Sockets&, Instant now) {
      const ip::Interface* parent = stack.parts().interfaces.find(std::string_view(another.trunk));
      return parent != nullptr && stack.add_vlan(std::move(config), parent->id, now) != kNoInterface;
    });
    if (!added)
      return std::unexpected(
          fmt::format("{} cannot be had: {} is no Ethernet interface of this stack, or has VLAN {} already",
                      another.device, another.trunk, another.vlan));
    return {};
  }

  // The driver of a wire, counting its drops into the stack's counters; `name` becomes what the kernel calls
  // it.
  std::expected<std::unique_ptr<link::Device>, std::string> open_wire(Wire wire, std::string& name,
                                                                      std::uint32_t mtu) {
    const auto count_drops = [this](auto& device) {
      host_->with(
          [&](stack::Stack& stack, socket::Sockets&, Instant) { device.count_into(&stack.counters()); });
    };
    if (wire == Wire::kPacket) {
      auto packet = drivers::open_packet({.interface = name});
      if (!packet) return std::unexpected(packet.error());
      count_drops(**packet);
      name = (*packet)->name();
      return std::move(*packet);
    }
    auto tap =
        drivers::open_tap({.type = wire == Wire::kTun ? link::LinkType::kRawIp : link::LinkType::kEthernet,
                           .name = name,
                           .mtu = mtu});
    if (!tap) return std::unexpected(tap.error());
    count_drops(**tap);
    name = (*tap)->name();
    return std::move(*tap);
  }

  Outcome set_up_topology() {
    if (plan_.topology == Topology::kPlain) return {};
    auto made = plan_.uplink ? set_up_bridge(*plan_.uplink, device_name_) : set_up_local();
    if (!made) return std::unexpected(made.error());
    topology_ = std::move(*made);
    return {};
  }

  std::expected<std::unique_ptr<link::Device>, std::string> open_device() {
    if (plan_.wire == Wire::kPacket && plan_.mtu != 0)
      if (auto set = drivers::set_mtu(plan_.device, plan_.mtu); !set) return std::unexpected(set.error());
    device_name_ = plan_.device;
    auto device = open_wire(plan_.wire, device_name_, plan_.mtu);
    if (!device) return device;
    if (plan_.wire == Wire::kPacket) return device;
    if (plan_.peer)
      if (auto added = drivers::add_address(device_name_, *plan_.peer); !added)
        return std::unexpected(added.error());
    if (auto up = drivers::set_link_up(device_name_); !up) return std::unexpected(up.error());
    return device;
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
  std::unique_ptr<TopologySetup> topology_;
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
  const auto plan = make_plan(*configured);
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
