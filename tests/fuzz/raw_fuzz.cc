// SPDX-License-Identifier: Apache-2.0
// RAW, ping, packet and UDP sockets in groups, with arbitrary options and calls, and a link on which routers
// ask for groups and everybody sends everything; memory is refused now and then. Whatever is sent is a
// packet, and in the end nothing is left. Input: a byte for the memory, then operations (a byte each, then
// their arguments).
#include <linux/if_packet.h>
#include <netinet/in.h>

#include <array>
#include <cstring>
#include <vector>

#include "fuzz/input.h"
#include "fuzz/world.h"
#include "wire/arp.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/igmp.h"
#include "wire/vlan.h"

namespace tapir::fuzz {
namespace {

constexpr int kOperationsMax = 300;

class Session {
 public:
  explicit Session(Input input)
      : input_(input), world_(link::LinkType::kEthernet, memory(input_.u8())), sockets_(world_.sockets()) {
    (void)world_.stack().sysctl_set("net.ipv4.ping_group_range", "0 100", world_.now());
    data_.assign(70000, 'x');
  }

  void run() {
    for (int i = 0; i < kOperationsMax && !input_.empty(); ++i) {
      operation();
      look();
    }
    for (const int fd : open_) (void)sockets_.close(fd, world_.now());
    look();
    world_.expect_nothing_left();
    require(world_.stack().parts().groups.size() == 0, "no group is left");
  }

 private:
  static std::size_t memory(std::uint8_t choice) { return std::size_t{choice % 4 == 3 ? 1u : 64u} << 20; }

  void operation() {
    const Instant now = world_.now();
    switch (input_.u8() % 16) {
      case 0:
        return open(now);
      case 1:
        return close(now);
      case 2:
        return bind_or_connect(now);
      case 3:
      case 4:
        return send(now);
      case 5:
      case 6:
        return receive(now);
      case 7:
        return set_option(now);
      case 8:
      case 9:
        return membership(now);
      case 10:
        return filter(now);
      case 11:
        world_.pass(Duration(std::int64_t{1000} << (input_.u8() % 36)));
        return;
      case 12:
        world_.pass_to_timeout();
        return;
      case 13:
        world_.stack().frames().fail_after(input_.u8());
        return;
      case 14:
        return igmp();
      default:
        return frame();
    }
  }

  int some() {
    const std::uint8_t choice = input_.u8();
    return open_.empty() ? 3 : open_[choice % open_.size()];
  }
  static IpAddress group(std::uint8_t choice) {
    return IpAddress::v4(choice % 8 == 7 ? 224 : 239, 0, 0, static_cast<std::uint8_t>(choice % 8 + 1));
  }
  IpAddress some_address() {
    const std::uint8_t choice = input_.u8();
    switch (choice % 6) {
      case 0:
        return kOurs;
      case 1:
        return group(choice / 6);
      case 2:
        return IpAddress::v4(10, 0, 0, 255);
      case 3:
        return IpAddress::v4(127, 0, 0, 1);
      case 4:
        return IpAddress::v4(10, 0, 0, static_cast<std::uint8_t>(choice / 6));
      default:
        return kTheirs;
    }
  }

  void open(Instant now) {
    static constexpr std::array<std::array<int, 3>, 8> kKinds = {{{AF_INET, SOCK_RAW, IPPROTO_ICMP},
                                                                  {AF_INET, SOCK_RAW, IPPROTO_RAW},
                                                                  {AF_INET, SOCK_RAW, IPPROTO_IGMP},
                                                                  {AF_INET, SOCK_RAW, 89},
                                                                  {AF_INET, SOCK_DGRAM, IPPROTO_ICMP},
                                                                  {AF_INET, SOCK_DGRAM, 0},
                                                                  {AF_PACKET, SOCK_RAW, 0x0300},
                                                                  {AF_PACKET, SOCK_DGRAM, 0x0608}}};
    const auto [domain, type, protocol] = kKinds[input_.u8() % kKinds.size()];
    if (const auto made = sockets_.socket(domain, type | SOCK_NONBLOCK, protocol, now))
      open_.push_back(*made);
  }

  void close(Instant now) {
    if (open_.empty()) return;
    const std::size_t index = input_.u8() % open_.size();
    (void)sockets_.close(open_[index], now);
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(index));
  }

  // An address for any family; how long it says it is.
  socklen_t name(sockaddr_storage& storage) {
    const std::uint8_t how = input_.u8();
    if (how % 3 == 0) {
      sockaddr_ll link{};
      link.sll_family = AF_PACKET;
      link.sll_protocol = input_.u16();
      link.sll_ifindex = input_.u8() % 4;
      link.sll_halen = input_.u8() % 9;
      std::memset(link.sll_addr, 0xff, sizeof link.sll_addr);
      std::memcpy(&storage, &link, sizeof link);
      return how & 64 ? input_.u8() % 32U : static_cast<socklen_t>(sizeof link);
    }
    const sockaddr_in in = address_of(some_address(), input_.u16());
    std::memcpy(&storage, &in, sizeof in);
    return how & 64 ? input_.u8() % 32U : static_cast<socklen_t>(sizeof in);
  }

  void bind_or_connect(Instant now) {
    const int fd = some();
    sockaddr_storage storage{};
    const socklen_t length = name(storage);
    if (input_.u8() % 2 == 0)
      (void)sockets_.bind(fd, reinterpret_cast<const sockaddr*>(&storage), length, now);
    else
      (void)sockets_.connect(fd, reinterpret_cast<const sockaddr*>(&storage), length, now);
  }

  // The front of what is sent is the fuzzer's: an IP or link header, an ICMP message.
  void send(Instant now) {
    const int fd = some();
    sockaddr_storage storage{};
    socklen_t length = name(storage);
    const std::uint8_t how = input_.u8();
    const std::size_t size = how % 4 == 0 ? input_.u16() : input_.u16() % 2000U;
    const Bytes front = input_.bytes(std::min<std::size_t>(size, how % 8 < 4 ? 24 : 8));
    std::copy(front.begin(), front.end(), data_.begin());
    if (how & 128) data_[0] = how & 64 ? '\x45' : '\x08';
    // In pieces, more of them than a frame points at.
    std::array<iovec, 24> pieces;
    const std::size_t count = how & 32 ? pieces.size() : 1;
    for (std::size_t i = 0, at = 0; i < count; ++i) {
      const std::size_t part = i + 1 == count ? size - at : std::min(size - at, size / count);
      pieces[i] = {data_.data() + at, part};
      at += part;
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    if (how & 16) {
      message.msg_name = &storage;
      message.msg_namelen = length;
    }
    (void)sockets_.sendmsg(fd, &message, MSG_NOSIGNAL | (how & 8 ? MSG_MORE : 0), now);
  }

  void receive(Instant now) {
    const int fd = some();
    const std::uint8_t how = input_.u8();
    sockaddr_storage from{};
    std::array<char, 256> control{};
    const std::size_t room = how & 64 ? input_.u8() % control.size() : control.size();
    iovec piece{data_.data(), input_.u16()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_name = &from;
    message.msg_namelen = how & 32 ? input_.u8() % 32U : static_cast<socklen_t>(sizeof from);
    message.msg_control = control.data();
    message.msg_controllen = room;
    (void)sockets_.recvmsg(
        fd, &message, (how & 1 ? MSG_PEEK : 0) | (how & 2 ? MSG_TRUNC : 0) | (how & 4 ? MSG_ERRQUEUE : 0),
        now);
    require(message.msg_controllen <= room, "control messages stay in their room");
  }

  void set_option(Instant now) {
    static constexpr std::array<std::pair<int, int>, 22> kOptions = {{
        {IPPROTO_IP, IP_HDRINCL},
        {IPPROTO_IP, IP_PKTINFO},
        {IPPROTO_IP, IP_RECVTTL},
        {IPPROTO_IP, IP_RECVTOS},
        {IPPROTO_IP, IP_RECVORIGDSTADDR},
        {IPPROTO_IP, IP_MULTICAST_TTL},
        {IPPROTO_IP, IP_MULTICAST_LOOP},
        {IPPROTO_IP, IP_MULTICAST_IF},
        {IPPROTO_IP, IP_MTU_DISCOVER},
        {IPPROTO_IP, IP_TTL},
        {IPPROTO_IP, IP_TOS},
        {IPPROTO_IP, IP_RECVERR},
        {SOL_SOCKET, SO_BROADCAST},
        {SOL_SOCKET, SO_RCVBUF},
        {SOL_SOCKET, SO_TIMESTAMP},
        {SOL_SOCKET, SO_TIMESTAMPNS},
        {SOL_SOCKET, SO_REUSEADDR},
        {SOL_SOCKET, SO_REUSEPORT},
        {SOL_PACKET, PACKET_AUXDATA},
        {SOL_PACKET, PACKET_STATISTICS},
        {SOL_RAW, 1 /* ICMP_FILTER */},
        {IPPROTO_IP, 49 /* IP_MULTICAST_ALL */},
    }};
    const int fd = some();
    const auto [level, option] = kOptions[input_.u8() % kOptions.size()];
    std::array<std::uint8_t, 64> value{};
    const int number = static_cast<std::int16_t>(input_.u16());
    std::memcpy(value.data(), &number, sizeof number);
    auto length = static_cast<socklen_t>(sizeof number);
    if (input_.u8() % 8 == 0) length = static_cast<socklen_t>(input_.u8() % value.size());
    if (input_.u8() % 4 == 0) {
      (void)sockets_.getsockopt(fd, level, option, value.data(), &length, now);
      require(length <= value.size(), "an option is no longer than its room");
      return;
    }
    (void)sockets_.setsockopt(fd, level, option, value.data(), length, now);
  }

  void membership(Instant now) {
    static constexpr std::array<int, 6> kNames = {IP_ADD_MEMBERSHIP,        IP_DROP_MEMBERSHIP,
                                                  IP_ADD_SOURCE_MEMBERSHIP, IP_DROP_SOURCE_MEMBERSHIP,
                                                  IP_BLOCK_SOURCE,          IP_UNBLOCK_SOURCE};
    const int fd = some();
    const std::uint8_t how = input_.u8();
    const int option = kNames[how % kNames.size()];
    if (option == IP_ADD_MEMBERSHIP || option == IP_DROP_MEMBERSHIP) {
      ip_mreqn request{};
      request.imr_multiaddr.s_addr = to_big_endian(group(input_.u8()).v4_bits());
      request.imr_ifindex = how & 64 ? input_.u8() % 4 : static_cast<int>(kCable);
      (void)sockets_.setsockopt(fd, IPPROTO_IP, option, &request, sizeof request, now);
      return;
    }
    ip_mreq_source request{};
    request.imr_multiaddr.s_addr = to_big_endian(group(input_.u8()).v4_bits());
    request.imr_interface.s_addr = to_big_endian(kOurs.v4_bits());
    request.imr_sourceaddr.s_addr = to_big_endian(IpAddress::v4(10, 0, 0, input_.u8() % 20).v4_bits());
    (void)sockets_.setsockopt(fd, IPPROTO_IP, option, &request, sizeof request, now);
  }

  // IP_MSFILTER and MCAST_MSFILTER, with counts that need not be true.
  void filter(Instant now) {
    const int fd = some();
    const std::uint8_t how = input_.u8();
    std::array<std::uint8_t, 2560> value{};
    const std::uint32_t mode = how & 2 ? MCAST_INCLUDE : how & 4 ? MCAST_EXCLUDE : input_.u8();
    const std::uint32_t count = how & 8 ? input_.u32() : input_.u8() % 14U;
    const IpAddress of = group(input_.u8());
    auto length = static_cast<socklen_t>(value.size());
    if (how & 16) length = static_cast<socklen_t>(input_.u16() % value.size());
    if (how & 1) {
      ip_msfilter front{};
      front.imsf_multiaddr.s_addr = to_big_endian(of.v4_bits());
      front.imsf_interface.s_addr = to_big_endian(kOurs.v4_bits());
      front.imsf_fmode = mode;
      front.imsf_numsrc = count;
      std::memcpy(value.data(), &front, IP_MSFILTER_SIZE(0));
      const Bytes sources = input_.bytes(40);
      std::copy(sources.begin(), sources.end(), value.begin() + IP_MSFILTER_SIZE(0));
    } else {
      group_filter front{};
      const sockaddr_in in = address_of(of, 0);
      front.gf_interface = how & 32 ? input_.u8() % 4U : kCable;
      std::memcpy(&front.gf_group, &in, sizeof in);
      front.gf_fmode = mode;
      front.gf_numsrc = count;
      std::memcpy(value.data(), &front, GROUP_FILTER_SIZE(0));
      for (std::size_t i = 0; i < 14; ++i) {
        const sockaddr_in source = address_of(IpAddress::v4(10, 0, 0, input_.u8() % 20), 0);
        std::memcpy(value.data() + GROUP_FILTER_SIZE(i), &source, sizeof source);
      }
    }
    const int option = how & 1 ? IP_MSFILTER : MCAST_MSFILTER;
    if (how & 64) {
      const socklen_t room = length;
      (void)sockets_.getsockopt(fd, IPPROTO_IP, option, value.data(), &length, now);
      require(length <= room, "a filter stays in its room");
      return;
    }
    (void)sockets_.setsockopt(fd, IPPROTO_IP, option, value.data(), length, now);
  }

  // A router's queries, and other hosts' reports; of all versions, with a checksum that is right.
  void igmp() {
    std::array<std::uint8_t, 64> message{};
    const std::uint8_t how = input_.u8();
    const IpAddress of = how & 1 ? IpAddress::any_v4() : group(input_.u8());
    std::size_t size = wire::kIgmpLength;
    if (how % 8 < 3) {
      size = wire::emit_igmp_query(of, input_.u16(), message);
      const std::size_t sources = input_.u8() % 10;
      message[11] = static_cast<std::uint8_t>(how & 64 ? input_.u8() : sources);
      const Bytes list = input_.bytes(sources * 4);
      std::copy(list.begin(), list.end(), message.begin() + 12);
      size += sources * 4;
    } else {
      static constexpr std::array<wire::IgmpType, 5> kTypes = {
          wire::IgmpType::kQuery, wire::IgmpType::kReportV1, wire::IgmpType::kReportV2,
          wire::IgmpType::kLeave, wire::IgmpType::kReportV3};
      wire::emit_igmp(kTypes[how / 8 % kTypes.size()], input_.u8(), of, message);
    }
    store_be<std::uint16_t>(message, 2, 0);
    store_be<std::uint16_t>(message, 2, wire::internet_checksum(Bytes(message).first(size)));
    send_ip(Bytes(message).first(size), IpProtocol::kIgmp,
            how & 128 ? group(input_.u8()) : IpAddress::v4(224, 0, 0, 1));
  }

  void send_ip(Bytes payload, IpProtocol protocol, const IpAddress& to) {
    std::vector<std::uint8_t> bytes(wire::kEthernetHeaderLength + wire::kIpv4HeaderMin + payload.size());
    wire::Ipv4Header header;
    header.protocol = protocol;
    header.total_length = static_cast<std::uint16_t>(wire::kIpv4HeaderMin + payload.size());
    header.src = kTheirs;
    header.dst = to;
    header.ttl = 1;
    wire::emit_ipv4(header, MutableBytes(bytes).subspan(wire::kEthernetHeaderLength));
    std::copy(payload.begin(), payload.end(), bytes.end() - static_cast<std::ptrdiff_t>(payload.size()));
    deliver(bytes, wire::kEtherTypeIpv4, to.is_multicast());
  }

  void deliver(MutableBytes bytes, std::uint16_t ethertype, bool many) {
    wire::EthernetHeader ethernet;
    ethernet.dst =
        many ? wire::MacAddress{1, 0, 0x5e, 0, 0, 1} : world_.stack().parts().attached(kCable)->mac;
    ethernet.src = {2, 0, 0, 0, 0, 2};
    ethernet.ethertype = ethertype;
    wire::emit_ethernet(ethernet, bytes);
    world_.input(bytes, true);
  }

  // Anything for anybody: RAW protocols, echo replies, errors that quote what we sent, tagged frames, ARP.
  void frame() {
    const std::uint8_t how = input_.u8();
    switch (how % 4) {
      case 0: {
        std::vector<std::uint8_t> bytes(wire::kEthernetHeaderLength + 4 + input_.u8());
        const Bytes rest = input_.bytes(bytes.size() - wire::kEthernetHeaderLength);
        std::copy(rest.begin(), rest.end(), bytes.begin() + wire::kEthernetHeaderLength);
        return deliver(bytes,
                       how & 4   ? wire::kEtherTypeVlan
                       : how & 8 ? wire::kEtherTypeArp
                                 : std::uint16_t{0x88b5},
                       (how & 16) != 0);
      }
      case 1: {
        std::array<std::uint8_t, 80> message{};
        const wire::IcmpMessage icmp = how & 4 ? wire::IcmpMessage::unreachable(input_.u8() % 16, 576)
                                               : wire::IcmpMessage::echo(true, input_.u16(), input_.u8());
        std::size_t size = wire::emit_icmp(icmp, message);
        const std::size_t quoted = std::min(last_.size(), message.size() - size);
        std::copy_n(last_.begin(), quoted, message.begin() + static_cast<std::ptrdiff_t>(size));
        size += quoted;
        wire::seal_icmp(MutableBytes(message).first(size));
        return send_ip(Bytes(message).first(size), IpProtocol::kIcmp, kOurs);
      }
      default: {
        const auto protocol = static_cast<IpProtocol>(how & 4 ? 89 : input_.u8());
        const IpAddress to = some_address();
        return send_ip(input_.bytes(input_.u8()), protocol, to);
      }
    }
  }

  void look() {
    world_.settle([this](Bytes frame) {
      if (frame.size() < wire::kEthernetHeaderLength ||
          load_be<std::uint16_t>(frame, 12) != wire::kEtherTypeIpv4)
        return;
      const Bytes packet = frame.subspan(wire::kEthernetHeaderLength);
      last_.assign(packet.begin(),
                   packet.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(packet.size(), 64)));
    });
  }

  Input input_;
  World world_;
  socket::Sockets& sockets_;
  std::vector<int> open_;
  std::vector<char> data_;
  std::vector<std::uint8_t> last_;
};

}  // namespace
}  // namespace tapir::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tapir::fuzz::Session({data, size}).run();
  return 0;
}
