// SPDX-License-Identifier: Apache-2.0
// The null forwarder: moves frames between two TAP interfaces, through the same driver and with the same
// offloads as tapir's router, and rewrites their MAC addresses. No route is looked up, no TTL counted, no
// checksum touched, no neighbour asked for: what a router reaches on this machine can be told only as a share
// of this.
//
//   bench_null_forwarder LEFT RIGHT      makes both TAP interfaces in this network namespace; each answers
//   every ARP request
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "drivers/descriptor.h"
#include "drivers/netdev.h"
#include "drivers/tap.h"
#include "frame/frame_pool.h"
#include "frame/memory_budget.h"
#include "wire/arp.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/tcp_segment.h"
#include "wire/udp.h"

namespace tapir::bench {
namespace {

constexpr std::size_t kBudget = 64 * 1024 * 1024;

struct Side {
  std::unique_ptr<drivers::TapDevice> device;
  wire::MacAddress peer{};  // of the kernel's end
};

// The kernel's end's address.
std::optional<wire::MacAddress> mac_of(const std::string& interface) {
  ifreq request{};
  interface.copy(request.ifr_name, sizeof request.ifr_name - 1);
  const drivers::KernelDescriptor fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd || ::ioctl(fd.get(), SIOCGIFHWADDR, &request) != 0) return std::nullopt;
  wire::MacAddress mac{};
  std::copy_n(request.ifr_hwaddr.sa_data, mac.size(), mac.begin());
  return mac;
}

std::expected<Side, std::string> open_side(const std::string& name) {
  drivers::TapConfig config;
  config.name = name;
  auto device = drivers::open_tap(config);
  if (!device) return std::unexpected(device.error());
  if (auto up = drivers::set_link_up(name); !up) return std::unexpected(up.error());
  const auto peer = mac_of(name);
  if (!peer) return std::unexpected(name + " has no MAC address");
  return Side{std::move(*device), *peer};
}

class Forwarder {
 public:
  Forwarder(Side left, Side right)
      : sides_{std::move(left), std::move(right)}, budget_(kBudget), pool_(budget_) {}

  [[noreturn]] void run() {
    for (;;) {
      const bool there = pass(sides_[0], sides_[1]);
      const bool back = pass(sides_[1], sides_[0]);
      if (there || back) continue;
      std::array<pollfd, 2> waiting = {pollfd{sides_[0].device->wait_descriptor(), POLLIN, 0},
                                       pollfd{sides_[1].device->wait_descriptor(), POLLIN, 0}};
      ::poll(waiting.data(), waiting.size(), -1);
    }
  }

 private:
  // True when there may be more.
  bool pass(Side& from, Side& to) {
    const std::size_t count = from.device->receive(frames_, pool_, Instant{});
    std::size_t out = 0;
    for (std::size_t i = 0; i < count; ++i)
      if (build(from, to, frames_[i].bytes(), frames_[i].meta(), outgoing_[out])) ++out;
    if (out != 0) to.device->transmit(std::span(outgoing_).first(out), Instant{});
    for (std::size_t i = 0; i < count; ++i) frames_[i].reset();
    return count == frames_.size();
  }

  bool build(Side& from, const Side& to, Bytes bytes, const FrameHeader& meta, OutgoingFrame& out) {
    const auto ethernet = wire::parse_ethernet(bytes);
    if (!ethernet) return false;
    const Bytes packet = bytes.subspan(wire::kEthernetHeaderLength);
    if (ethernet->ethertype == wire::kEtherTypeArp) answer(from, packet);
    if (ethernet->ethertype != wire::kEtherTypeIpv4 || packet.size() < wire::kIpv4HeaderMin) return false;
    // Headers among the header bytes, as super-segments and checksum requests want them.
    const std::size_t ip = static_cast<std::size_t>(packet[0] & 0xf) * 4;
    const auto protocol = static_cast<IpProtocol>(packet[9]);
    std::size_t transport = 0;
    if (protocol == IpProtocol::kTcp && packet.size() >= ip + wire::kTcpHeaderMin)
      transport = static_cast<std::size_t>(packet[ip + wire::kTcpDataOffsetOffset] >> 4) * 4;
    if (protocol == IpProtocol::kUdp) transport = wire::kUdpHeaderLength;
    if (packet.size() < ip + transport) return false;
    out.clear();
    const Bytes headers = packet.first(ip + transport);
    std::copy(headers.begin(), headers.end(), out.append_header(headers.size()).begin());
    out.add_payload(packet.subspan(headers.size()));
    out.network_offset = 0;
    out.transport_offset = static_cast<std::uint16_t>(ip);
    out.gso = meta.gso;
    out.checksum = {};
    if (transport != 0 && (meta.gso.type != GsoType::kNone || meta.checksum == ChecksumState::kPartial))
      out.checksum = {true, static_cast<std::uint16_t>(ip),
                      static_cast<std::uint16_t>(protocol == IpProtocol::kTcp ? wire::kTcpChecksumOffset
                                                                              : wire::kUdpChecksumOffset)};
    wire::emit_ethernet({to.peer, to.device->mac(), wire::kEtherTypeIpv4},
                        out.push_header(wire::kEthernetHeaderLength));
    return true;
  }

  void answer(Side& from, Bytes packet) {
    const auto request = wire::parse_arp(packet);
    if (!request || request->operation != wire::ArpOperation::kRequest) return;
    OutgoingFrame& out = arp_;
    out.clear();
    wire::emit_arp({wire::ArpOperation::kReply, from.device->mac(), request->target_ip, request->sender_mac,
                    request->sender_ip},
                   out.append_header(wire::kArpLength));
    wire::emit_ethernet({request->sender_mac, from.device->mac(), wire::kEtherTypeArp},
                        out.push_header(wire::kEthernetHeaderLength));
    from.device->transmit({&out, 1}, Instant{});
  }

  std::array<Side, 2> sides_;
  MemoryBudget budget_;
  FramePool pool_;
  std::array<Frame, link::kTurnFramesMax> frames_;
  std::array<OutgoingFrame, link::kTurnFramesMax> outgoing_;
  OutgoingFrame arp_;
};

int run(const std::string& left, const std::string& right) {
  auto one = open_side(left);
  auto other = open_side(right);
  if (!one || !other) {
    std::fprintf(stderr, "bench_null_forwarder: %s\n", (one ? other : one).error().c_str());
    return 1;
  }
  std::puts("ready");
  std::fflush(stdout);
  const auto forwarder = std::make_unique<Forwarder>(std::move(*one), std::move(*other));
  forwarder->run();
}

}  // namespace
}  // namespace tapir::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: bench_null_forwarder LEFT RIGHT\n", stderr);
    return 2;
  }
  return tapir::bench::run(argv[1], argv[2]);
}
