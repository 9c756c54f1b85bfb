// SPDX-License-Identifier: Apache-2.0
// RAW, ping and packet sockets: what arrives, what leaves, and who may.
#include <linux/icmp.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/ioctl.h>

#include <array>
#include <vector>

#include "stack/parts.h"
#include "unit/socket/fixture.h"
#include "wire/arp.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"

namespace tapir::socket {
namespace {

using testing::kAny;
using testing::Pair;
using testing::Program;
using testing::TwoPrograms;

std::string echo_request(std::uint16_t id, std::string_view data, bool sealed = true) {
  std::string message(wire::kIcmpHeaderLength + data.size(), '\0');
  const MutableBytes bytes{reinterpret_cast<std::uint8_t*>(message.data()), message.size()};
  wire::emit_icmp(wire::IcmpMessage::echo(false, id, 1), bytes);
  std::copy(data.begin(), data.end(), message.begin() + wire::kIcmpHeaderLength);
  if (sealed) wire::seal_icmp(bytes);
  return message;
}

Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

struct RawSocketTest : TwoPrograms {
  int open(Program& program, int domain, int type, int protocol) {
    return static_cast<int>(
        Program::number(program.sockets.socket(domain, type | SOCK_NONBLOCK, protocol, pair.now)));
  }
  int raw(Program& program, int protocol = IPPROTO_ICMP) {
    return open(program, AF_INET, SOCK_RAW, protocol);
  }
  int packet(Program& program, std::uint16_t ethertype, int type = SOCK_RAW) {
    return open(program, AF_PACKET, type, to_big_endian(ethertype));
  }
};

TEST_F(RawSocketTest, Tapip23EveryMatchingSocketGetsACopyWithTheHeader) {
  const int first = raw(a);
  const int second = raw(a);
  const int other = raw(a, IPPROTO_UDP);
  const std::string request = echo_request(77, "copies for all");
  EXPECT_EQ(a.sendto(first, request, Pair::b_address, 0), static_cast<long>(request.size()));
  pair.settle();
  for (const int fd : {first, second}) {
    EXPECT_EQ(a.poll(fd), POLLIN | POLLOUT);
    const std::string packet = a.recv(fd);
    const auto header = wire::parse_ipv4(bytes_of(packet));
    ASSERT_TRUE(header);
    EXPECT_EQ(header->src, Pair::b_address);
    EXPECT_EQ(header->total_length, packet.size());
    EXPECT_EQ(packet.substr(header->header_length + wire::kIcmpHeaderLength), "copies for all");
  }
  EXPECT_EQ(a.recv(first), std::to_string(-EAGAIN));
  EXPECT_EQ(a.recv(other), std::to_string(-EAGAIN));
}

// tapip allocated a copy of the payload's length for the whole packet: truncated, and read past its end.
TEST_F(RawSocketTest, TapipBugRawCopiesAreWhole) {
  const int fd = raw(a);
  const std::string data(60000, 'x');
  EXPECT_EQ(a.sendto(fd, echo_request(1, data), Pair::b_address, 0), 60008);
  pair.settle();
  const std::string packet = a.recv(fd, 65536);
  ASSERT_EQ(packet.size(), 60028U);
  EXPECT_EQ(packet.substr(28), data);
}

TEST_F(RawSocketTest, TapipBugPingTtlIsHonouredAndSizeBounded) {
  const int fd = raw(a);
  const int watcher = packet(b, ETH_P_IP);
  EXPECT_EQ(a.set(fd, IPPROTO_IP, IP_TTL, 3), 0);
  EXPECT_EQ(a.sendto(fd, echo_request(1, "ttl"), Pair::b_address, 0), 11);
  pair.settle();
  const std::string frame = b.recv(watcher);
  EXPECT_EQ(frame[14 + 8], 3);
  EXPECT_EQ(a.sendto(fd, std::string(65536, 'x'), Pair::b_address, 0), -EMSGSIZE);
  EXPECT_EQ(a.sendto(fd, std::string(65535, 'x'), Pair::b_address, 0), -EMSGSIZE);
}

TEST_F(RawSocketTest, IcmpFilterKeepsTypesOut) {
  const int fd = raw(a);
  const icmp_filter filter{~(1U << ICMP_DEST_UNREACH)};
  EXPECT_EQ(Program::number(
                a.sockets.setsockopt(fd, 255 /* SOL_RAW */, ICMP_FILTER, &filter, sizeof filter, pair.now)),
            0);
  a.sendto(fd, echo_request(1, "x"), Pair::b_address, 0);
  pair.settle();
  EXPECT_EQ(a.recv(fd), std::to_string(-EAGAIN)) << "the echo reply is kept out";
  const int udp = a.udp();
  a.sendto(udp, "nobody", Pair::b_address, 9);
  pair.settle();
  EXPECT_EQ(a.recv(fd)[20], ICMP_DEST_UNREACH);
  const int not_icmp = raw(a, IPPROTO_UDP);
  EXPECT_EQ(
      Program::number(a.sockets.setsockopt(not_icmp, 255, ICMP_FILTER, &filter, sizeof filter, pair.now)),
      -EOPNOTSUPP);
}

TEST_F(RawSocketTest, HeaderIncludedFillsInWhatIsLeftOut) {
  const int fd = raw(a, IPPROTO_RAW);
  EXPECT_EQ(a.get(fd, IPPROTO_IP, IP_HDRINCL), 1);
  const int watcher = packet(b, ETH_P_IP);
  std::string whole(20 + 4, '\0');
  wire::Ipv4Header header;
  header.total_length = 1;  // the stack's to set
  header.ttl = 9;
  header.protocol = static_cast<IpProtocol>(200);
  header.src = IpAddress::any_v4();
  header.dst = Pair::b_address;
  wire::emit_ipv4(header, {reinterpret_cast<std::uint8_t*>(whole.data()), 20});
  whole.replace(20, 4, "data");
  EXPECT_EQ(a.sendto(fd, whole, Pair::b_address, 0), 24);
  pair.settle();
  const std::string frame = b.recv(watcher);
  ASSERT_GE(frame.size(), 14U + 24U);
  const auto sent = wire::parse_ipv4(bytes_of(frame).subspan(14));
  ASSERT_TRUE(sent);
  EXPECT_TRUE(wire::verify_ipv4_checksum(bytes_of(frame).subspan(14, 20)));
  EXPECT_EQ(sent->src, Pair::a_address);
  EXPECT_EQ(sent->total_length, 24);
  EXPECT_EQ(sent->ttl, 9);
  EXPECT_NE(sent->id, 0);
  EXPECT_EQ(a.sendto(fd, std::string(2000, 'E'), Pair::b_address, 0), -EMSGSIZE);
  EXPECT_EQ(a.sendto(fd, "short", Pair::b_address, 0), -EINVAL);
  EXPECT_EQ(a.recv(fd), std::to_string(-EAGAIN)) << "IPPROTO_RAW only sends";
}

// Found by fuzzing: it waits for a neighbour who never answers, and is no IPv4 packet to be quoted then.
TEST_F(RawSocketTest, AHeaderThatIsNoneMayWaitForANeighbour) {
  const int fd = raw(a, IPPROTO_RAW);
  std::string packet(40, '\0');
  packet[0] = '\x05';  // 20 bytes of a header of version 0, which Linux takes too
  EXPECT_EQ(a.sendto(fd, packet, IpAddress::v4(10, 0, 0, 99), 0), 40);
  pair.run_for(10s);
  EXPECT_EQ(pair.a.counters().dropped(trace::DropReason::kNeighFailed), 1U);
  EXPECT_EQ(pair.a.parts().neighbors.parked_bytes(), 0U);
}

TEST_F(RawSocketTest, ARawSocketMakesItsProtocolKnown) {
  const int from = raw(a, 200);
  const int to = raw(b, 200);
  EXPECT_EQ(a.sendto(from, "unheard of", Pair::b_address, 0), 10);
  pair.settle();
  EXPECT_EQ(b.recv(to).substr(20), "unheard of");
  EXPECT_EQ(b.sockets.stack().counters().get(trace::Counter::kIpInUnknownProtos), 0U);
  b.close(to);
  a.sendto(from, "unheard of", Pair::b_address, 0);
  pair.settle();
  EXPECT_EQ(b.sockets.stack().counters().get(trace::Counter::kIpInUnknownProtos), 1U);
}

TEST_F(RawSocketTest, BindAndConnectFilter) {
  const int bound = raw(a);
  EXPECT_EQ(a.bind(bound, IpAddress::v4(10, 0, 0, 9), 0), -EADDRNOTAVAIL);
  EXPECT_EQ(a.bind(bound, Pair::a_address, 0), 0);
  EXPECT_EQ(a.port(bound), IPPROTO_ICMP) << "the port of a RAW socket is its protocol";
  const int elsewhere = raw(a);
  EXPECT_EQ(a.connect(elsewhere, IpAddress::v4(10, 0, 0, 77), 0), 0);
  EXPECT_EQ(a.send(bound, "x"), -EDESTADDRREQ);
  a.sendto(bound, echo_request(1, "x"), Pair::b_address, 0);
  pair.settle();
  EXPECT_EQ(a.recv(bound).size(), 29U);
  EXPECT_EQ(a.recv(elsewhere), std::to_string(-EAGAIN));
}

TEST_F(RawSocketTest, WithoutPrivilegeNone) {
  stack::Stack poor({.seed = 5, .privileged = false}, pair.now);
  Sockets sockets(poor);
  EXPECT_EQ(Program::number(sockets.socket(AF_INET, SOCK_RAW, IPPROTO_ICMP, pair.now)), -EPERM);
  EXPECT_EQ(
      Program::number(sockets.socket(AF_PACKET, SOCK_RAW, to_big_endian<std::uint16_t>(ETH_P_ALL), pair.now)),
      -EPERM);
  EXPECT_EQ(Program::number(sockets.socket(AF_INET, SOCK_RAW, 0, pair.now)), -EPROTONOSUPPORT);
  EXPECT_EQ(Program::number(sockets.socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP, pair.now)), -EACCES);
  EXPECT_TRUE(poor.sysctl_set("net.ipv4.ping_group_range", "0 2147483647", pair.now));
  EXPECT_EQ(*poor.sysctl_get("net.ipv4.ping_group_range"), "0\t2147483647");
  EXPECT_GE(Program::number(sockets.socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP, pair.now)), 0);
}

TEST_F(RawSocketTest, PingSocketsGetTheirOwnRepliesOnly) {
  ASSERT_TRUE(a.sockets.stack().sysctl_set("net.ipv4.ping_group_range", "0 10", pair.now));
  const int first = open(a, AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
  const int second = open(a, AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
  ASSERT_GE(second, 0);
  EXPECT_EQ(a.bind(second, kAny, 4242), 0);
  EXPECT_EQ(a.sendto(first, "short", Pair::b_address, 0), -EINVAL);
  std::string reply = echo_request(9, "x");
  reply[0] = ICMP_ECHOREPLY;
  EXPECT_EQ(a.sendto(first, reply, Pair::b_address, 0), -EINVAL) << "only echo requests";
  EXPECT_EQ(a.sendto(first, echo_request(9, "mine", false), Pair::b_address, 0), 12);
  EXPECT_NE(a.port(first), 0);
  pair.settle();
  EXPECT_EQ(a.recv(second), std::to_string(-EAGAIN));
  const std::string answer = a.recv(first);
  ASSERT_EQ(answer.size(), 12U);
  EXPECT_EQ(answer[0], ICMP_ECHOREPLY);
  EXPECT_EQ(load_be<std::uint16_t>(bytes_of(answer), 4), a.port(first)) << "the identifier is the port";
  EXPECT_EQ(answer.substr(8), "mine");
  const int third = open(a, AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
  EXPECT_EQ(a.bind(third, kAny, 4242), -EADDRINUSE);
}

TEST_F(RawSocketTest, PacketSocketsSeeFramesInAndOut) {
  const int all = packet(a, ETH_P_ALL);
  const int arp = packet(a, ETH_P_ARP, SOCK_DGRAM);
  const int ping = raw(a);
  a.sendto(ping, echo_request(1, "x"), Pair::b_address, 0);
  pair.settle();
  std::vector<std::pair<int, int>> seen;  // EtherType, packet type
  for (;;) {
    std::array<std::uint8_t, 2048> frame;
    sockaddr_ll from{};
    socklen_t length = sizeof from;
    const auto got = a.sockets.recvfrom(all, frame.data(), frame.size(), 0,
                                        reinterpret_cast<sockaddr*>(&from), &length, pair.now);
    if (!got) break;
    EXPECT_EQ(length, sizeof from);
    EXPECT_EQ(from.sll_ifindex, 2);
    EXPECT_EQ(from.sll_halen, 6);
    seen.emplace_back(to_big_endian(from.sll_protocol), from.sll_pkttype);
  }
  const std::vector<std::pair<int, int>> expected = {{ETH_P_ARP, PACKET_OUTGOING},
                                                     {ETH_P_ARP, PACKET_HOST},
                                                     {ETH_P_IP, PACKET_OUTGOING},
                                                     {ETH_P_IP, PACKET_HOST}};
  EXPECT_EQ(seen, expected);
  const std::string reply = a.recv(arp);
  const auto parsed = wire::parse_arp(bytes_of(reply));
  ASSERT_TRUE(parsed) << "SOCK_DGRAM: no link header";
  EXPECT_EQ(parsed->operation, wire::ArpOperation::kReply);
  EXPECT_EQ(a.recv(arp), std::to_string(-EAGAIN)) << "what leaves is for ETH_P_ALL only";
  tpacket_stats stats{};
  socklen_t length = sizeof stats;
  ASSERT_TRUE(a.sockets.getsockopt(all, SOL_PACKET, PACKET_STATISTICS, &stats, &length, pair.now));
  EXPECT_EQ(stats.tp_packets, 4U);
  EXPECT_EQ(stats.tp_drops, 0U);
}

TEST_F(RawSocketTest, AnArpRequestByHand) {
  const int fd = packet(a, ETH_P_ARP, SOCK_DGRAM);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_protocol = to_big_endian<std::uint16_t>(ETH_P_ARP);
  to.sll_ifindex = 2;
  to.sll_halen = 6;
  std::fill_n(to.sll_addr, 6, std::uint8_t{0xff});
  ASSERT_EQ(Program::number(a.sockets.bind(fd, reinterpret_cast<sockaddr*>(&to), sizeof to, pair.now)), 0);
  ifreq request{};
  std::memcpy(request.ifr_name, "eth0", 5);
  ASSERT_TRUE(a.sockets.ioctl(fd, SIOCGIFHWADDR, &request, pair.now));
  wire::ArpPacket packet;
  std::memcpy(packet.sender_mac.data(), request.ifr_hwaddr.sa_data, 6);
  packet.sender_ip = Pair::a_address;
  packet.target_ip = Pair::b_address;
  std::array<std::uint8_t, wire::kArpLength> bytes;
  wire::emit_arp(packet, bytes);
  ASSERT_EQ(Program::number(a.sockets.sendto(fd, bytes.data(), bytes.size(), 0,
                                             reinterpret_cast<sockaddr*>(&to), sizeof to, pair.now)),
            28);
  pair.settle();
  const std::string text = a.recv(fd);
  const auto reply = wire::parse_arp(bytes_of(text));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->sender_ip, Pair::b_address);
}

TEST_F(RawSocketTest, FramesOfAnyProtocolReachTheirSocket) {
  const int from = packet(a, 0x88b5);
  const int to = packet(b, 0x88b5);
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_ifindex = 2;
  std::string frame(14 + 5, '\0');
  std::fill_n(frame.begin(), 6, '\xff');
  frame[12] = '\x88';
  frame[13] = '\xb5';
  frame.replace(14, 5, "hello");
  const auto send = [&](const std::string& text) {
    return Program::number(a.sockets.sendto(from, text.data(), text.size(), 0,
                                            reinterpret_cast<sockaddr*>(&name), sizeof name, pair.now));
  };
  EXPECT_EQ(send(frame), 19);
  EXPECT_EQ(send("short"), -EINVAL);
  EXPECT_EQ(send(std::string(1515, 'x')), -EMSGSIZE);
  name.sll_ifindex = 17;
  EXPECT_EQ(send(frame), -ENXIO);
  pair.settle();
  EXPECT_EQ(b.recv(to), frame);
  EXPECT_EQ(b.sockets.stack().counters().dropped(trace::DropReason::kL2Unknown), 0U);
}

TEST_F(RawSocketTest, AFullQueueDropsAndCounts) {
  const int fd = packet(b, ETH_P_IP);
  EXPECT_EQ(b.set(fd, SOL_SOCKET, SO_RCVBUF, 4096), 0);
  const int udp = a.udp();
  for (int i = 0; i < 100; ++i) a.sendto(udp, "x", Pair::b_address, 9);
  pair.settle();
  tpacket_stats stats{};
  socklen_t length = sizeof stats;
  ASSERT_TRUE(b.sockets.getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length, pair.now));
  EXPECT_EQ(stats.tp_packets, 100U);
  EXPECT_GT(stats.tp_drops, 50U);
  EXPECT_GT(b.sockets.stack().counters().dropped(trace::DropReason::kSocketRcvbuff), 50U);
}

// What recvmsg() tells beside the packet, of each level and type.
struct Told {
  std::string payload;
  std::vector<std::pair<int, std::string>> messages;  // type, bytes
  std::string of(int type) const {
    for (const auto& [t, data] : messages)
      if (t == type) return data;
    return {};
  }
};

struct ControlTest : RawSocketTest {
  Told receive(Program& program, int fd) {
    Told told;
    told.payload.resize(4096);
    iovec piece{told.payload.data(), told.payload.size()};
    std::array<char, 256> control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const auto got = program.sockets.recvmsg(fd, &message, 0, pair.now);
    told.payload.resize(got ? *got : 0);
    for (cmsghdr* at = CMSG_FIRSTHDR(&message); at != nullptr; at = CMSG_NXTHDR(&message, at))
      told.messages.emplace_back(
          at->cmsg_type, std::string(reinterpret_cast<char*>(CMSG_DATA(at)), at->cmsg_len - CMSG_LEN(0)));
    return told;
  }
  template <typename T>
  static T as(const std::string& bytes) {
    T value{};
    EXPECT_EQ(bytes.size(), sizeof value);
    std::memcpy(&value, bytes.data(), std::min(sizeof value, bytes.size()));
    return value;
  }
};

TEST_F(ControlTest, RawSocketsAreToldHowAPacketArrived) {
  const int sender = raw(a), receiver = raw(b);
  for (const int name : {IP_PKTINFO, IP_RECVTTL, IP_RECVTOS, IP_RECVORIGDSTADDR})
    EXPECT_EQ(b.set(receiver, IPPROTO_IP, name, 1), 0);
  EXPECT_EQ(b.set(receiver, SOL_SOCKET, SO_TIMESTAMPNS, 1), 0);
  EXPECT_EQ(a.set(sender, IPPROTO_IP, IP_TTL, 9), 0);
  EXPECT_EQ(a.set(sender, IPPROTO_IP, IP_TOS, 0x20), 0);
  const std::string request = echo_request(3, "told");
  a.sendto(sender, request, Pair::b_address, 0);
  pair.settle();
  const Told told = receive(b, receiver);
  EXPECT_EQ(told.payload.size(), 20 + request.size());
  const auto info = as<in_pktinfo>(told.of(IP_PKTINFO));
  EXPECT_EQ(info.ipi_ifindex, 2);
  EXPECT_EQ(info.ipi_addr.s_addr, to_big_endian(Pair::b_address.v4_bits()));
  EXPECT_EQ(as<int>(told.of(IP_TTL)), 9);
  EXPECT_EQ(as<std::uint8_t>(told.of(IP_TOS)), 0x20);
  const auto to = as<sockaddr_in>(told.of(IP_ORIGDSTADDR));
  EXPECT_EQ(to.sin_addr.s_addr, to_big_endian(Pair::b_address.v4_bits()));
  EXPECT_EQ(to.sin_port, load_be<std::uint16_t>(bytes_of(request), 2) == 0
                             ? 0
                             : to_big_endian(load_be<std::uint16_t>(bytes_of(request), 2)));
  EXPECT_EQ(told.of(SO_TIMESTAMPNS).size(), sizeof(timespec));
  EXPECT_EQ(b.set(receiver, IPPROTO_IP, IP_PKTINFO, 0), 0);
  a.sendto(sender, request, Pair::b_address, 0);
  pair.settle();
  EXPECT_TRUE(receive(b, receiver).of(IP_PKTINFO).empty());
}

// Linux takes the tag out of a frame before packet sockets see it, and tells it beside.
TEST_F(ControlTest, PacketSocketsAreToldTheVlanTag) {
  const int all = packet(b, ETH_P_ALL), cooked = packet(b, ETH_P_ALL, SOCK_DGRAM);
  const int of_inner_type = packet(b, ETH_P_IP, SOCK_DGRAM);
  for (const int fd : {all, cooked}) {
    EXPECT_EQ(b.set(fd, SOL_PACKET, PACKET_AUXDATA, 1), 0);
    EXPECT_EQ(b.get(fd, SOL_PACKET, PACKET_AUXDATA), 1);
  }
  const int sender = packet(a, ETH_P_ALL);
  const auto mac = pair.b.parts().attached(2)->mac;
  std::string frame(reinterpret_cast<const char*>(mac.data()), mac.size());
  frame += std::string("\x02\x00\x00\x00\x00\x09", 6) + std::string("\x81\x00\x60\x2a\x08\x00", 6) +
           "payload of some length, as is due";
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = 2;
  to.sll_protocol = to_big_endian<std::uint16_t>(ETH_P_ALL);
  ASSERT_TRUE(a.sockets.sendto(sender, frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                               sizeof to, pair.now));
  pair.settle();
  const Told whole = receive(b, all);
  EXPECT_EQ(whole.payload, frame.substr(0, 12) + frame.substr(16));
  const auto aux = as<tpacket_auxdata>(whole.of(PACKET_AUXDATA));
  EXPECT_EQ(aux.tp_vlan_tci, 0x602a);
  EXPECT_EQ(aux.tp_vlan_tpid, ETH_P_8021Q);
  EXPECT_EQ(aux.tp_status & (TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID),
            static_cast<unsigned>(TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID));
  EXPECT_EQ(aux.tp_len, frame.size() - 4);
  EXPECT_EQ(aux.tp_net, 14);
  const Told inner = receive(b, cooked);
  EXPECT_EQ(inner.payload, frame.substr(18));
  EXPECT_EQ(as<tpacket_auxdata>(inner.of(PACKET_AUXDATA)).tp_net, 0);
  EXPECT_EQ(receive(b, of_inner_type).payload, frame.substr(18)) << "its protocol is the inner one";
  // Without a tag there is none to tell.
  const int from = a.udp();
  a.sendto(from, "plain", Pair::b_address, 9);
  pair.settle();
  (void)receive(b, all);  // ARP
  EXPECT_EQ(as<tpacket_auxdata>(receive(b, all).of(PACKET_AUXDATA)).tp_status & TP_STATUS_VLAN_VALID, 0U);
}

TEST_F(RawSocketTest, LoopbackShowsAnEthernetHeaderOfZeros) {
  const int fd = packet(a, ETH_P_IP);
  const int ping = raw(a);
  a.sendto(ping, echo_request(1, "x"), IpAddress::v4(127, 0, 0, 1), 0);
  pair.settle();
  const std::string frame = a.recv(fd);
  ASSERT_GT(frame.size(), 34U);
  EXPECT_EQ(frame.substr(0, 14), std::string("\0\0\0\0\0\0\0\0\0\0\0\0\x08\0", 14));
}

}  // namespace
}  // namespace tapir::socket
