// SPDX-License-Identifier: Apache-2.0
#include "cli/demo_wire.h"

#include <fmt/format.h>

#include "drivers/netdev.h"
#include "drivers/netns.h"
#include "runtime/host_pipe.h"

namespace tapir::cli {

namespace {

using Made = std::expected<void, std::string>;

constexpr const char* kTapName = "tap0";
constexpr const char* kKernelVeth = "veth-kernel";
constexpr const char* kOurVeth = "veth-tapir";

Made give_address(const std::string& interface) {
  if (auto added = drivers::add_address(interface, kDemoPeers); !added) return added;
  return drivers::set_link_up(interface);
}

Made make_tap(DemoPlace& place) {
  auto id = place.host->add_tap({.name = kTapName}, {.name = kTapName, .addresses = {kDemoOurs}});
  if (!id) return std::unexpected(id.error());
  return give_address(kTapName);
}

Made make_packet(DemoPlace& place) {
  if (auto made = drivers::create_veth_pair(kKernelVeth, kOurVeth); !made) return made;
  if (auto up = drivers::set_link_up(kOurVeth); !up) return up;
  if (auto given = give_address(kKernelVeth); !given) return given;
  auto id = place.host->add_packet({.interface = kOurVeth}, {.name = kOurVeth, .addresses = {kDemoOurs}});
  if (!id) return std::unexpected(id.error());
  return {};
}

void make_memory(DemoPlace& place) {
  auto [left, right] = runtime::make_host_pipe();
  place.peer_host = std::make_unique<runtime::StackHost>();
  place.host->add_interface({.name = "pipe0", .addresses = {kDemoOurs}}, std::move(left));
  place.peer_host->add_interface({.name = "pipe0", .addresses = {kDemoPeers}}, std::move(right));
}

}  // namespace

const char* to_string(DemoWire wire) {
  switch (wire) {
    case DemoWire::kAuto:
      return "auto";
    case DemoWire::kTap:
      return "tap";
    case DemoWire::kPacket:
      return "packet";
    case DemoWire::kMemory:
      return "memory";
  }
  return "?";
}

std::expected<DemoPlace, std::string> make_demo_place(DemoWire wanted) {
  DemoPlace place;
  bool with_kernel = wanted != DemoWire::kMemory;
  if (with_kernel) {
    const auto entered = drivers::enter_private_network_namespace();
    if (!entered && wanted != DemoWire::kAuto) return std::unexpected(entered.error());
    if (!entered) {
      with_kernel = false;
      place.told = entered.error() + ". ";
    } else {
      place.told = *entered == drivers::Namespace::kNetwork
                       ? "In a network namespace of its own: "
                       : "In a user and a network namespace of its own: ";
    }
  }
  place.host = std::make_unique<runtime::StackHost>();

  const auto attempt = [&](DemoWire wire, Made (*make)(DemoPlace&), const char* told) -> Made {
    Made made = make(place);
    if (made) {
      place.wire = wire;
      place.told += told;
    }
    return made;
  };
  bool done = false;
  if (with_kernel && (wanted == DemoWire::kAuto || wanted == DemoWire::kTap)) {
    const Made made =
        attempt(DemoWire::kTap, make_tap, "a TAP device, the kernel at 10.0.0.2, tapir at 10.0.0.1.");
    if (!made && wanted == DemoWire::kTap) return std::unexpected(made.error());
    if (!made) place.told += "no TAP device (" + made.error() + "); so ";
    done = made.has_value();
  }
  if (with_kernel && !done && wanted != DemoWire::kTap) {
    const Made made = attempt(DemoWire::kPacket, make_packet,
                              "a packet socket on one end of a veth pair, the kernel with 10.0.0.2 on the "
                              "other, tapir at 10.0.0.1.");
    if (!made && wanted == DemoWire::kPacket) return std::unexpected(made.error());
    if (!made) place.told += "no veth pair (" + made.error() + "); so ";
    done = made.has_value();
  }
  if (!done) {
    make_memory(place);
    place.wire = DemoWire::kMemory;
    place.told +=
        "Two tapir stacks and a cable in memory, at 10.0.0.1 and 10.0.0.2; the kernel takes no part.";
  }
  place.ours = make_stack_end(*place.host, "tapir");
  place.peers = place.kernel() ? make_kernel_end() : make_stack_end(*place.peer_host, "peer");
  return place;
}

}  // namespace tapir::cli
