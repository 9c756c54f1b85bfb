// SPDX-License-Identifier: Apache-2.0
// A router under an attacker's hands on both of its links: packets of every kind and size, super-segments,
// fragments, tags, ARP; routes, addresses, links and knobs that change meanwhile. Whatever comes out is a
// packet that its link may carry, and in the end nothing is left. Input: a byte for the links, then
// operations (a byte each, then their arguments).
#include <memory>
#include <string>
#include <vector>

#include "fuzz/input.h"
#include "link/pipe.h"
#include "stack/administration.h"
#include "stack/parts.h"
#include "stack/stack.h"
#include "wire/arp.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/tcp_segment.h"
#include "wire/vlan.h"

namespace tapir::fuzz {
namespace {

constexpr int kOperationsMax = 300;
constexpr int kTurnsMax = 200;
constexpr std::size_t kLinks = 2;
constexpr std::uint16_t kVlan = 5;

// 10.N.0.1 is the router's on link N, 10.N.0.2 the neighbour there; 10.7.0.0/16 lies behind that of link
// 2, 10.8.0.0/16 nowhere.
IpAddress on_link(std::size_t link, std::uint8_t host) {
  return IpAddress::v4(10, static_cast<std::uint8_t>(link), 0, host);
}

class Session {
 public:
  explicit Session(Input input)
      : input_(input), stack_({.seed = 1, .memory_limit = std::size_t{16} << 20}, now_) {
    const std::uint8_t kinds = input_.u8();
    for (std::size_t i = 0; i < kLinks; ++i) {
      link::PipeConfig config;
      config.link_type = kinds >> i & 1 ? link::LinkType::kRawIp : link::LinkType::kEthernet;
      config.mtu = kinds >> (2 + i) & 1 ? 576 : 1500;
      if (kinds >> (4 + i) & 1) config.offloads = link::all_offloads();
      offloads_[i] = (kinds >> (4 + i) & 1) != 0;
      ethernet_[i] = config.link_type == link::LinkType::kEthernet;
      auto [ours, theirs] = link::make_pipe(config);
      stack_.add_interface({.name = "eth" + std::to_string(i), .addresses = {{on_link(i + 1, 1), 24}}},
                           std::move(ours), now_);
      theirs_[i] = std::move(theirs);
    }
    if (ethernet_[0])
      stack_.add_vlan({.name = "eth0.5", .addresses = {{on_link(5, 1), 24}}, .vlan = kVlan}, 2, now_);
    stack_.add_route({IpAddress::v4(10, 7, 0, 0), 16}, on_link(2, 2), 3, 0, now_);
    (void)stack_.sysctl_set("net.ipv4.ip_forward", "1", now_);
  }

  void run() {
    for (int i = 0; i < kOperationsMax && !input_.empty(); ++i) {
      operation();
      settle();
    }
    expect_nothing_left();
  }

 private:
  // What a driver says of a frame.
  struct Marks {
    ChecksumState checksum = ChecksumState::kNone;
    Gso gso;
  };

  void operation() {
    stack::Stack::Parts& parts = stack_.parts();
    switch (input_.u8() % 12) {
      case 0:
        return knob();
      case 1:
        now_ += Duration(std::int64_t{1000} << (input_.u8() % 36));
        return;
      case 2: {
        const Instant next = stack_.next_timeout();
        if (next != kNever && next > now_) now_ = next;
        return;
      }
      case 3:
        return arp();
      case 4:
        stack_.frames().fail_after(input_.u8());
        return;
      case 5: {
        const auto id = static_cast<InterfaceId>(2 + input_.u8() % 3);
        const std::uint8_t how = input_.u8();
        (void)stack::set_interface_up(parts, id, how % 4 != 0);
        return;
      }
      case 6: {
        const auto id = static_cast<InterfaceId>(2 + input_.u8() % 3);
        const IpAddress address = some_address();
        if (input_.u8() % 2 == 0)
          (void)stack::add_address(parts, id, {address, 24});
        else
          (void)stack::remove_address(parts, id, address);
        return;
      }
      case 7: {
        ip::Route route;
        route.destination =
            IpPrefix{some_address(), static_cast<std::uint8_t>(8 + input_.u8() % 25)}.network();
        route.gateway = input_.u8() % 2 == 0 ? some_address() : IpAddress();
        route.interface = static_cast<InterfaceId>(1 + input_.u8() % 4);
        route.kind = static_cast<ip::RouteKind>(input_.u8() % 4);
        if (input_.u8() % 3 == 0)
          (void)parts.routes.remove(route);
        else
          (void)parts.routes.replace(route);
        return;
      }
      case 8:
        parts.interfaces.set_mtu(static_cast<InterfaceId>(2 + input_.u8() % 2), 68U + input_.u16() % 509U);
        return;
      default:
        return packet();
    }
  }

  void knob() {
    static constexpr std::array<const char*, 9> kNames = {"net.ipv4.ip_forward",
                                                          "net.ipv4.conf.all.rp_filter",
                                                          "net.ipv4.conf.all.proxy_arp",
                                                          "net.ipv4.conf.all.accept_redirects",
                                                          "net.ipv4.conf.eth0.forwarding",
                                                          "net.ipv4.conf.eth1.rp_filter",
                                                          "net.ipv4.ipfrag_time",
                                                          "net.ipv4.conf.eth0.send_redirects",
                                                          "net.ipv4.conf.all.send_redirects"};
    (void)stack_.sysctl_set(kNames[input_.u8() % kNames.size()], std::to_string(input_.u8() % 3), now_);
  }

  IpAddress some_address() {
    static constexpr std::array<std::uint8_t, 8> kNets = {1, 2, 5, 7, 8, 1, 2, 9};
    const std::uint8_t choice = input_.u8();
    if (choice == 255) return IpAddress::v4(input_.u32());
    if (choice == 254) return IpAddress::v4(255, 255, 255, 255);
    if (choice == 253) return IpAddress::v4(239, 1, 1, 1);
    return IpAddress::v4(10, kNets[choice % 8], 0,
                         static_cast<std::uint8_t>(choice / 8 % 4 == 3 ? 255 : choice / 8 % 4));
  }

  // Behind `front` bytes of a link header, which are filled in here.
  void input(std::size_t link, MutableBytes bytes, std::uint16_t ethertype, const Marks& marks) {
    const std::uint8_t how = input_.u8();
    std::size_t begin = kFront;
    if (ethernet_[link]) {
      std::uint16_t outer = ethertype;
      if (how % 4 == 1) {
        begin -= wire::kVlanTagLength;
        wire::emit_vlan({.id = how & 4 ? kVlan : std::uint16_t{0}, .ethertype = ethertype},
                        bytes.subspan(begin));
        outer = wire::kEtherTypeVlan;
      }
      begin -= wire::kEthernetHeaderLength;
      wire::EthernetHeader header;
      header.dst = how & 8 ? wire::MacAddress{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
                           : stack_.parts().attached(static_cast<InterfaceId>(link + 2))->mac;
      header.src = theirs_[link]->mac();
      header.ethertype = outer;
      wire::emit_ethernet(header, bytes.subspan(begin));
    }
    Frame frame = stack_.frames().copy(bytes.subspan(begin));
    if (!frame) return;
    frame.meta().checksum = marks.checksum;
    frame.meta().gso = marks.gso;
    frame.meta().received_at = now_;
    stack_.input(static_cast<InterfaceId>(link + 2), std::move(frame), now_);
  }

  void arp() {
    std::array<std::uint8_t, kFront + wire::kArpLength> bytes{};
    const std::size_t link = input_.u8() % kLinks;
    const std::uint8_t how = input_.u8();
    wire::ArpPacket packet;
    packet.operation = how % 2 == 0 ? wire::ArpOperation::kReply : wire::ArpOperation::kRequest;
    packet.sender_mac = theirs_[link]->mac();
    packet.sender_ip = some_address();
    packet.target_mac = stack_.parts().attached(static_cast<InterfaceId>(link + 2))->mac;
    packet.target_ip = some_address();
    wire::emit_arp(packet, MutableBytes(bytes).subspan(kFront));
    input(link, bytes, wire::kEtherTypeArp, {});
  }

  void packet() {
    const std::size_t link = input_.u8() % kLinks;
    const std::uint8_t form = input_.u8(), kind = input_.u8();
    const std::size_t size = kind % 4 == 3 ? input_.u16() % 60000U : input_.u16() % 1500U;
    std::vector<std::uint8_t> bytes(kFront + wire::kIpv4HeaderMin + size);
    wire::Ipv4Header header;
    header.src = some_address();
    header.dst = some_address();
    header.ttl = form & 1 ? std::uint8_t{64} : static_cast<std::uint8_t>(input_.u8() % 3);
    header.dont_fragment = (form & 2) != 0;
    header.total_length = static_cast<std::uint16_t>(wire::kIpv4HeaderMin + size);
    header.id = input_.u8();
    if (form & 4) {
      header.more_fragments = (form & 8) != 0;
      header.fragment_offset = static_cast<std::uint16_t>((input_.u8() * 8U) & 0xfff8U);
    }
    static constexpr std::array<IpProtocol, 4> kProtocols = {IpProtocol::kTcp, IpProtocol::kUdp,
                                                             IpProtocol::kIcmp, IpProtocol::kGre};
    header.protocol = kProtocols[kind / 4 % 4];
    const MutableBytes ip = MutableBytes(bytes).subspan(kFront);
    wire::emit_ipv4(header, ip);
    const MutableBytes payload = ip.subspan(wire::kIpv4HeaderMin);
    const Bytes filler = input_.bytes(std::min<std::size_t>(payload.size(), 24));
    std::copy(filler.begin(), filler.end(), payload.begin());
    Marks marks;
    if (header.protocol == IpProtocol::kTcp && size >= wire::kTcpHeaderMin && form & 16) {
      payload[wire::kTcpDataOffsetOffset] = 0x50;
      // What a driver's validate_vnet() lets through: a whole TCP packet, cut at a size that leaves more than
      // one piece.
      if (form & 32 && !header.is_fragment() && size > wire::kTcpHeaderMin + 536)
        marks.gso = {GsoType::kTcpV4, 536, false};
      marks.checksum = ChecksumState::kPartial;
    }
    if (header.protocol == IpProtocol::kIcmp && form & 16 && size >= wire::kIcmpHeaderLength)
      wire::seal_icmp(payload);
    input(link, bytes, wire::kEtherTypeIpv4, marks);
  }

  // Everything that is to be done now, and what came out.
  void settle() {
    for (int turns = 0; turns < kTurnsMax; ++turns) {
      const bool more = stack_.turn(now_);
      std::array<Frame, 16> out;
      for (std::size_t link = 0; link < kLinks; ++link)
        while (const std::size_t count = theirs_[link]->receive(out, their_pool_, now_))
          for (std::size_t i = 0; i < count; ++i) {
            check(link, out[i]);
            out[i].reset();
          }
      if (!more && stack_.next_timeout() > now_) return;
    }
  }

  void check(std::size_t link, const Frame& frame) {
    Bytes packet = frame.bytes();
    if (ethernet_[link]) {
      auto header = wire::parse_ethernet(packet);
      require(header.has_value(), "what is sent has a link header");
      packet = packet.subspan(wire::kEthernetHeaderLength);
      if (header->ethertype == wire::kEtherTypeVlan) {
        const auto tag = wire::parse_vlan(packet);
        require(tag && tag->id == kVlan, "a tag is the VLAN's");
        header->ethertype = tag->ethertype;
        packet = packet.subspan(wire::kVlanTagLength);
      }
      if (header->ethertype == wire::kEtherTypeArp)
        return require(wire::parse_arp(packet).has_value(), "ARP that is sent can be read");
      require(header->ethertype == wire::kEtherTypeIpv4, "what is sent is ARP or IPv4");
    }
    const auto header = wire::parse_ipv4(packet);
    require(header && wire::verify_ipv4_checksum(packet.first(header->header_length)),
            "what is sent is IPv4 with its checksum");
    require(header->ttl != 0, "nothing is sent without a hop to live");
    require(header->total_length == packet.size(), "a packet is as long as it says");
    require(frame.meta().gso.type == GsoType::kNone || offloads_[link],
            "a device gets no super-segment that cannot take one");
    if (frame.meta().gso.type == GsoType::kNone)
      require(packet.size() <= theirs_[link]->mtu(), "nothing longer than the link carries leaves");
    else
      require(!header->is_fragment(), "no super-segment is a fragment");
  }

  void expect_nothing_left() {
    const Instant limit = now_ + std::chrono::hours(1);
    for (int steps = 0; steps < 20000 && now_ < limit; ++steps) {
      settle();
      now_ = std::min(limit, std::max(stack_.next_timeout(), now_ + Duration(1)));
    }
    settle();
    require(stack_.frames().in_use() == 0, "no frame is left");
    require(stack_.parts().fragments.datagrams() == 0, "no fragment is left");
    require(stack_.parts().neighbors.parked_bytes() == 0, "nobody waits for a neighbour");
  }

  static constexpr std::size_t kFront = wire::kEthernetHeaderLength + wire::kVlanTagLength;

  Input input_;
  Instant now_{std::chrono::seconds(1000)};
  stack::Stack stack_;
  MemoryBudget their_budget_{std::size_t{64} << 20};
  FramePool their_pool_{their_budget_};
  std::array<std::unique_ptr<link::PipeEnd>, kLinks> theirs_;
  std::array<bool, kLinks> ethernet_{};
  std::array<bool, kLinks> offloads_{};
};

}  // namespace
}  // namespace tapir::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tapir::fuzz::Session({data, size}).run();
  return 0;
}
