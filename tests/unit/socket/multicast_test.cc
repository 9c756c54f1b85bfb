// SPDX-License-Identifier: Apache-2.0
// Groups: who gets what, and what routers are told.
#include <net/ethernet.h>

#include <vector>

#include "base/bytes.h"
#include "stack/parts.h"
#include "unit/socket/fixture.h"
#include "wire/igmp.h"
#include "wire/ipv4.h"

namespace tapir::socket {
namespace {

using testing::address_of;
using testing::kAny;
using testing::Pair;
using testing::Program;
using testing::TwoPrograms;

constexpr IpAddress kGroup = IpAddress::v4(239, 1, 2, 3);
constexpr IpAddress kOther = IpAddress::v4(239, 1, 2, 4);

struct MulticastTest : TwoPrograms {
  MulticastTest() {
    pair.a.add_route({IpAddress::v4(224, 0, 0, 0), 4}, {}, 2, 0, pair.now);
    pair.b.add_route({IpAddress::v4(224, 0, 0, 0), 4}, {}, 2, 0, pair.now);
  }
  long member(Program& program, int fd, int name, const IpAddress& group, const IpAddress& local = kAny) {
    ip_mreq request{};
    request.imr_multiaddr.s_addr = to_big_endian(group.v4_bits());
    request.imr_interface.s_addr = to_big_endian(local.v4_bits());
    return Program::number(
        program.sockets.setsockopt(fd, IPPROTO_IP, name, &request, sizeof request, pair.now));
  }
  long source(Program& program, int fd, int name, const IpAddress& group, const IpAddress& from) {
    ip_mreq_source request{};
    request.imr_multiaddr.s_addr = to_big_endian(group.v4_bits());
    request.imr_sourceaddr.s_addr = to_big_endian(from.v4_bits());
    return Program::number(
        program.sockets.setsockopt(fd, IPPROTO_IP, name, &request, sizeof request, pair.now));
  }
  int listener_on(Program& program, const IpAddress& address, std::uint16_t port) {
    const int fd = program.udp();
    EXPECT_EQ(program.set(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    EXPECT_EQ(program.bind(fd, address, port), 0);
    return fd;
  }
  // IGMP messages that b saw on the wire, without their IP headers.
  std::vector<std::string> heard(int watcher) {
    std::vector<std::string> messages;
    for (;;) {
      const std::string packet = b.recv(watcher);
      if (packet == std::to_string(-EAGAIN)) return messages;
      const std::size_t header = static_cast<std::size_t>(packet[0] & 0xf) * 4;
      messages.push_back(packet.substr(header));
    }
  }
  int igmp_watcher() {
    const int fd = static_cast<int>(Program::number(b.sockets.socket(
        AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, to_big_endian<std::uint16_t>(ETH_P_IP), pair.now)));
    return fd;
  }
  static Bytes bytes_of(const std::string& text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
  }
  void query(const IpAddress& group, std::uint32_t max_response_ms, bool v2 = false) {
    std::array<std::uint8_t, 12> message{};
    const std::size_t size =
        v2 ? wire::emit_igmp(wire::IgmpType::kQuery, static_cast<std::uint8_t>(max_response_ms / 100), group,
                             message)
           : wire::emit_igmp_query(group, max_response_ms, message);
    const int raw = static_cast<int>(
        Program::number(b.sockets.socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_IGMP, pair.now)));
    const sockaddr_in to = address_of(group.is_unspecified() ? IpAddress::v4(224, 0, 0, 1) : group, 0);
    EXPECT_EQ(Program::number(b.sockets.sendto(raw, message.data(), size, 0,
                                               reinterpret_cast<const sockaddr*>(&to), sizeof to, pair.now)),
              static_cast<long>(size));
    b.close(raw);
  }
};

TEST_F(MulticastTest, EveryMemberGetsACopyAndOthersNone) {
  const int first = listener_on(b, kAny, 5000);
  const int second = listener_on(b, kGroup, 5000);
  EXPECT_EQ(member(b, first, IP_ADD_MEMBERSHIP, kGroup), 0);
  EXPECT_EQ(member(b, second, IP_ADD_MEMBERSHIP, kGroup), 0);
  const int from = a.udp();
  EXPECT_EQ(a.sendto(from, "to the group", kGroup, 5000), 12);
  EXPECT_EQ(a.sendto(from, "to another", kOther, 5000), 10);
  pair.settle();
  EXPECT_EQ(b.recv(first), "to the group");
  EXPECT_EQ(b.recv(first), std::to_string(-EAGAIN));
  EXPECT_EQ(b.recv(second), "to the group");
  EXPECT_EQ(b.sockets.stack().counters().dropped(trace::DropReason::kMulticastNotJoined), 1U);
  EXPECT_EQ(member(b, first, IP_DROP_MEMBERSHIP, kGroup), 0);
  EXPECT_EQ(b.set(first, IPPROTO_IP, 49 /* IP_MULTICAST_ALL */, 0), 0);
  a.sendto(from, "again", kGroup, 5000);
  pair.settle();
  EXPECT_EQ(b.recv(first), std::to_string(-EAGAIN)) << "no member, and not all";
  EXPECT_EQ(b.recv(second), "again");
  b.close(second);
  a.sendto(from, "nobody", kGroup, 5000);
  pair.settle();
  EXPECT_EQ(b.sockets.stack().counters().dropped(trace::DropReason::kMulticastNotJoined), 2U)
      << "close() leaves";
}

TEST_F(MulticastTest, ErrorsAreLinuxs) {
  const int fd = b.udp();
  EXPECT_EQ(member(b, fd, IP_ADD_MEMBERSHIP, IpAddress::v4(10, 0, 0, 7)), -EINVAL);
  EXPECT_EQ(member(b, fd, IP_ADD_MEMBERSHIP, kGroup, IpAddress::v4(10, 9, 9, 9)), -ENODEV);
  EXPECT_EQ(member(b, fd, IP_DROP_MEMBERSHIP, kGroup), -EADDRNOTAVAIL);
  EXPECT_EQ(member(b, fd, IP_ADD_MEMBERSHIP, kGroup), 0);
  EXPECT_EQ(member(b, fd, IP_ADD_MEMBERSHIP, kGroup), -EADDRINUSE);
  EXPECT_EQ(member(b, b.tcp(), IP_ADD_MEMBERSHIP, kGroup), -EPROTO);
  for (std::uint8_t i = 1; i < 20; ++i)
    EXPECT_EQ(member(b, fd, IP_ADD_MEMBERSHIP, IpAddress::v4(239, 9, 9, i)), 0);
  EXPECT_EQ(member(b, fd, IP_ADD_MEMBERSHIP, kOther), -ENOBUFS) << "igmp_max_memberships";
  EXPECT_EQ(b.set(fd, IPPROTO_IP, IP_MULTICAST_TTL, 256), -EINVAL);
  EXPECT_EQ(b.set(fd, IPPROTO_IP, IP_MULTICAST_TTL, -1), 0);
  EXPECT_EQ(b.get(fd, IPPROTO_IP, IP_MULTICAST_TTL), 1);
}

TEST_F(MulticastTest, LoopGivesOurOwnBackUnlessSwitchedOff) {
  const int to = listener_on(a, kAny, 5000);
  EXPECT_EQ(member(a, to, IP_ADD_MEMBERSHIP, kGroup), 0);
  const int from = a.udp();
  a.sendto(from, "heard here", kGroup, 5000);
  EXPECT_EQ(a.recv(to), "heard here");
  EXPECT_EQ(a.set(from, IPPROTO_IP, IP_MULTICAST_LOOP, 0), 0);
  a.sendto(from, "only there", kGroup, 5000);
  pair.settle();
  EXPECT_EQ(a.recv(to), std::to_string(-EAGAIN));
  EXPECT_EQ(a.set(from, IPPROTO_IP, IP_MULTICAST_LOOP, 1), 0);
  EXPECT_EQ(a.set(from, IPPROTO_IP, IP_MULTICAST_TTL, 0), 0);
  const std::uint64_t sent = a.sockets.stack().counters().get(trace::Counter::kIpOutTransmits);
  a.sendto(from, "stays", kGroup, 5000);
  EXPECT_EQ(a.recv(to), "stays");
  EXPECT_EQ(a.sockets.stack().counters().get(trace::Counter::kIpOutTransmits), sent)
      << "TTL 0 stays on the host";
}

TEST_F(MulticastTest, BroadcastNeedsTheOptionAndReachesEverybody) {
  const int to = listener_on(b, kAny, 5000);
  const int too = listener_on(b, kAny, 5000);
  const int here = listener_on(a, kAny, 5000);
  const int from = a.udp();
  const IpAddress everybody = IpAddress::v4(10, 0, 0, 255);
  EXPECT_EQ(a.sendto(from, "x", everybody, 5000), -EACCES);
  EXPECT_EQ(a.set(from, SOL_SOCKET, SO_BROADCAST, 1), 0);
  EXPECT_EQ(a.sendto(from, "to all", everybody, 5000), 6);
  pair.settle();
  EXPECT_EQ(b.recv(to), "to all");
  EXPECT_EQ(b.recv(too), "to all");
  EXPECT_EQ(a.recv(here), "to all") << "the sender's host too";
}

TEST_F(MulticastTest, SourcesAreFiltered) {
  const int fd = listener_on(b, kAny, 5000);
  EXPECT_EQ(source(b, fd, IP_ADD_SOURCE_MEMBERSHIP, kGroup, IpAddress::v4(10, 0, 0, 77)), 0);
  const int from = a.udp();
  a.sendto(from, "not asked for", kGroup, 5000);
  pair.settle();
  EXPECT_EQ(b.recv(fd), std::to_string(-EAGAIN));
  EXPECT_EQ(source(b, fd, IP_ADD_SOURCE_MEMBERSHIP, kGroup, Pair::a_address), 0);
  a.sendto(from, "asked for", kGroup, 5000);
  pair.settle();
  EXPECT_EQ(b.recv(fd), "asked for");
  EXPECT_EQ(source(b, fd, IP_ADD_SOURCE_MEMBERSHIP, kGroup, Pair::a_address), -EADDRNOTAVAIL);
  EXPECT_EQ(source(b, fd, IP_BLOCK_SOURCE, kGroup, Pair::a_address), -EINVAL) << "the modes do not mix";
  EXPECT_EQ(source(b, fd, IP_DROP_SOURCE_MEMBERSHIP, kGroup, Pair::a_address), 0);
  EXPECT_EQ(source(b, fd, IP_DROP_SOURCE_MEMBERSHIP, kGroup, IpAddress::v4(10, 0, 0, 77)), 0);
  EXPECT_EQ(member(b, fd, IP_DROP_MEMBERSHIP, kGroup), -EADDRNOTAVAIL)
      << "without sources there is no membership";
  EXPECT_EQ(member(b, fd, IP_ADD_MEMBERSHIP, kGroup), 0);
  EXPECT_EQ(source(b, fd, IP_BLOCK_SOURCE, kGroup, Pair::a_address), 0);
  a.sendto(from, "blocked", kGroup, 5000);
  pair.settle();
  EXPECT_EQ(b.recv(fd), std::to_string(-EAGAIN));
}

// RFC 3678 §4.1: the whole list at once.
TEST_F(MulticastTest, AFilterIsSetAndReadAsAWhole) {
  const IpAddress stranger = IpAddress::v4(10, 0, 0, 77);
  const int fd = listener_on(b, kAny, 5000);
  std::array<std::uint8_t, IP_MSFILTER_SIZE(4)> bytes{};
  const auto fill = [&](std::uint32_t mode, std::vector<IpAddress> sources) {
    ip_msfilter front{};
    front.imsf_multiaddr.s_addr = to_big_endian(kGroup.v4_bits());
    front.imsf_fmode = mode;
    front.imsf_numsrc = static_cast<std::uint32_t>(sources.size());
    std::memcpy(bytes.data(), &front, IP_MSFILTER_SIZE(0));
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const in_addr in{to_big_endian(sources[i].v4_bits())};
      std::memcpy(bytes.data() + IP_MSFILTER_SIZE(0) + i * sizeof in, &in, sizeof in);
    }
    return static_cast<socklen_t>(IP_MSFILTER_SIZE(sources.size()));
  };
  const auto set = [&](std::uint32_t mode, std::vector<IpAddress> sources) {
    const socklen_t length = fill(mode, std::move(sources));
    return Program::number(b.sockets.setsockopt(fd, IPPROTO_IP, IP_MSFILTER, bytes.data(), length, pair.now));
  };
  const int from = a.udp();
  const auto arrives = [&] {
    a.sendto(from, "x", kGroup, 5000);
    pair.settle();
    return b.recv(fd) == "x";
  };
  EXPECT_EQ(set(MCAST_EXCLUDE, {}), -EINVAL) << "no member yet";
  EXPECT_EQ(member(b, fd, IP_ADD_MEMBERSHIP, kGroup), 0);
  EXPECT_EQ(set(MCAST_INCLUDE, {stranger}), 0);
  EXPECT_FALSE(arrives());
  EXPECT_EQ(set(MCAST_INCLUDE, {stranger, Pair::a_address}), 0);
  EXPECT_TRUE(arrives());
  EXPECT_EQ(set(MCAST_EXCLUDE, {Pair::a_address}), 0);
  EXPECT_FALSE(arrives());
  EXPECT_EQ(set(7, {}), -EINVAL);
  EXPECT_EQ(set(MCAST_INCLUDE, std::vector<IpAddress>(4, stranger)), 0) << "the same four times is once";
  socklen_t length = fill(0, {stranger, stranger, stranger});
  ASSERT_EQ(
      Program::number(b.sockets.getsockopt(fd, IPPROTO_IP, IP_MSFILTER, bytes.data(), &length, pair.now)), 0);
  ip_msfilter told;
  std::memcpy(&told, bytes.data(), IP_MSFILTER_SIZE(0));
  EXPECT_EQ(told.imsf_fmode, static_cast<std::uint32_t>(MCAST_INCLUDE));
  EXPECT_EQ(told.imsf_numsrc, 1U);
  EXPECT_EQ(length, IP_MSFILTER_SIZE(1));
  in_addr source;
  std::memcpy(&source, bytes.data() + IP_MSFILTER_SIZE(0), sizeof source);
  EXPECT_EQ(source.s_addr, to_big_endian(stranger.v4_bits()));
  const socklen_t whole = fill(MCAST_INCLUDE, {stranger, stranger});
  EXPECT_EQ(
      Program::number(b.sockets.setsockopt(fd, IPPROTO_IP, IP_MSFILTER, bytes.data(), whole - 4, pair.now)),
      -EINVAL);
  EXPECT_TRUE(pair.b.sysctl_set("net.ipv4.igmp_max_msf", "1", pair.now));
  EXPECT_EQ(set(MCAST_INCLUDE, {stranger, Pair::a_address}), -ENOBUFS);
  EXPECT_EQ(set(MCAST_INCLUDE, {}), 0) << "nothing wanted is left";
  EXPECT_EQ(member(b, fd, IP_DROP_MEMBERSHIP, kGroup), -EADDRNOTAVAIL);
}

TEST_F(MulticastTest, AFilterByInterfaceNumber) {
  const int fd = listener_on(b, kAny, 5000);
  ASSERT_EQ(member(b, fd, IP_ADD_MEMBERSHIP, kGroup), 0);
  const auto name = [](const IpAddress& address) {
    sockaddr_storage storage{};
    const sockaddr_in in = address_of(address, 0);
    std::memcpy(&storage, &in, sizeof in);
    return storage;
  };
  group_filter filter{};
  filter.gf_interface = 2;
  filter.gf_group = name(kGroup);
  filter.gf_fmode = MCAST_EXCLUDE;
  filter.gf_numsrc = 1;
  filter.gf_slist[0] = name(Pair::a_address);
  ASSERT_EQ(Program::number(b.sockets.setsockopt(fd, IPPROTO_IP, MCAST_MSFILTER, &filter,
                                                 GROUP_FILTER_SIZE(1), pair.now)),
            0);
  const int from = a.udp();
  a.sendto(from, "blocked", kGroup, 5000);
  pair.settle();
  EXPECT_EQ(b.recv(fd), std::to_string(-EAGAIN));
  filter.gf_fmode = 9;
  socklen_t length = GROUP_FILTER_SIZE(1);
  ASSERT_EQ(Program::number(b.sockets.getsockopt(fd, IPPROTO_IP, MCAST_MSFILTER, &filter, &length, pair.now)),
            0);
  EXPECT_EQ(filter.gf_fmode, static_cast<std::uint32_t>(MCAST_EXCLUDE));
  EXPECT_EQ(filter.gf_numsrc, 1U);
  EXPECT_EQ(length, GROUP_FILTER_SIZE(1));
  filter.gf_interface = 1;
  EXPECT_EQ(Program::number(b.sockets.getsockopt(fd, IPPROTO_IP, MCAST_MSFILTER, &filter, &length, pair.now)),
            -EADDRNOTAVAIL);
}

TEST_F(MulticastTest, JoinAndLeaveAreReportedTwiceInVersion3) {
  const int watcher = igmp_watcher();
  const int fd = a.udp();
  EXPECT_EQ(member(a, fd, IP_ADD_MEMBERSHIP, kGroup), 0);
  pair.run_for(3s);
  const auto joined = heard(watcher);
  ASSERT_EQ(joined.size(), 2U);
  for (const std::string& each : joined) {
    wire::IgmpRecordReader records(bytes_of(each));
    const auto record = records.next();
    ASSERT_TRUE(record);
    EXPECT_EQ(record->kind, wire::IgmpRecordKind::kToExclude);
    EXPECT_EQ(record->group, kGroup);
    EXPECT_EQ(record->sources.size(), 0U);
  }
  a.close(fd);
  pair.run_for(3s);
  const auto left = heard(watcher);
  ASSERT_EQ(left.size(), 2U);
  wire::IgmpRecordReader records(bytes_of(left[0]));
  EXPECT_EQ(records.next()->kind, wire::IgmpRecordKind::kToInclude);
  EXPECT_EQ(a.sockets.stack().parts().groups.size(), 0U) << "nothing is left of it";
}

TEST_F(MulticastTest, QueriesAreAnsweredWithinTheirTime) {
  const int fd = a.udp();
  EXPECT_EQ(source(a, fd, IP_ADD_SOURCE_MEMBERSHIP, kGroup, IpAddress::v4(10, 0, 0, 5)), 0);
  EXPECT_EQ(member(a, fd, IP_ADD_MEMBERSHIP, kOther), 0);
  pair.run_for(5s);
  const int watcher = igmp_watcher();
  query(IpAddress::any_v4(), 1000);
  pair.run_for(1s);
  auto answers = heard(watcher);
  ASSERT_EQ(answers.size(), 1U) << "all groups in one report";
  wire::IgmpRecordReader records(bytes_of(answers[0]));
  const auto first = records.next();
  const auto second = records.next();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->kind, wire::IgmpRecordKind::kIsInclude);
  ASSERT_EQ(first->sources.size(), 1U);
  EXPECT_EQ(first->sources[0], IpAddress::v4(10, 0, 0, 5));
  EXPECT_EQ(second->kind, wire::IgmpRecordKind::kIsExclude);
  query(kOther, 1000);
  pair.run_for(1s);
  answers = heard(watcher);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(wire::IgmpRecordReader(bytes_of(answers[0])).next()->group, kOther);
}

TEST_F(MulticastTest, AVersion2RouterIsSpokenToInVersion2) {
  query(IpAddress::any_v4(), 1000, true);
  pair.settle();
  const int watcher = igmp_watcher();
  const int fd = a.udp();
  EXPECT_EQ(member(a, fd, IP_ADD_MEMBERSHIP, kGroup), 0);
  pair.settle();
  auto messages = heard(watcher);
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(static_cast<wire::IgmpType>(messages[0][0]), wire::IgmpType::kReportV2);
  pair.run_for(11s);
  heard(watcher);
  EXPECT_EQ(member(a, fd, IP_DROP_MEMBERSHIP, kGroup), 0);
  pair.settle();
  messages = heard(watcher);
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(static_cast<wire::IgmpType>(messages[0][0]), wire::IgmpType::kLeave);
}

}  // namespace
}  // namespace tapir::socket
