// SPDX-License-Identifier: Apache-2.0
// A router between two hosts, all of them stacks in memory: left 10.1.0.2 -- 10.1.0.1 router 10.2.0.1
// -- 10.2.0.2 right.
#include <gtest/gtest.h>
#include <linux/icmp.h>
#include <net/ethernet.h>

#include <algorithm>
#include <string>
#include <vector>

#include "link/pipe.h"
#include "link/vlan.h"
#include "stack/parts.h"
#include "unit/socket/fixture.h"
#include "wire/arp.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"

namespace tapir::socket {
namespace {

using testing::address_of;
using testing::kAny;

constexpr Instant kBegin{1000s};
constexpr IpAddress kLeft = IpAddress::v4(10, 1, 0, 2);
constexpr IpAddress kRight = IpAddress::v4(10, 2, 0, 2);
constexpr IpAddress kRouterLeft = IpAddress::v4(10, 1, 0, 1);
constexpr IpAddress kRouterRight = IpAddress::v4(10, 2, 0, 1);
constexpr IpAddress kOtherGateway = IpAddress::v4(10, 1, 0, 3);

struct ForwardTest : ::testing::Test {
  explicit ForwardTest(link::PipeConfig right_pipe = {}) {
    auto [l, rl] = link::make_pipe({});
    auto [rr, r] = link::make_pipe(right_pipe);
    left.add_interface({.name = "eth0", .addresses = {{kLeft, 24}}}, std::move(l), now);
    router.add_interface({.name = "eth0", .addresses = {{kRouterLeft, 24}}}, std::move(rl), now);
    router.add_interface({.name = "eth1", .addresses = {{kRouterRight, 24}}}, std::move(rr), now);
    right.add_interface({.name = "eth0", .addresses = {{kRight, 24}}}, std::move(r), now);
    const IpPrefix everywhere{IpAddress::any_v4(), 0};
    left.add_route(everywhere, kRouterLeft, 2, 0, now);
    right.add_route(everywhere, kRouterRight, 2, 0, now);
    set(router, "net.ipv4.ip_forward", 1);
  }
  void set(stack::Stack& stack, const char* knob, int value) {
    ASSERT_TRUE(stack.sysctl_set(knob, std::to_string(value), now)) << knob;
  }
  void settle() {
    for (int i = 0; i < 10000; ++i) {
      for (stack::Stack* each : {&left, &router, &right}) each->turn(now);
      if (std::min({left.next_timeout(), router.next_timeout(), right.next_timeout()}) > now) return;
    }
  }
  void run_for(Duration time) {
    const Instant end = now + time;
    for (;;) {
      settle();
      const Instant next = std::min({left.next_timeout(), router.next_timeout(), right.next_timeout()});
      if (next > end) break;
      now = std::max(now, next);
    }
    now = end;
    settle();
  }
  template <typename T>
  static long number(const Result<T>& result) {
    return result ? static_cast<long>(*result) : -static_cast<long>(result.error());
  }
  int open(Sockets& sockets, int type = SOCK_DGRAM, int protocol = 0, int domain = AF_INET) {
    return static_cast<int>(number(sockets.socket(domain, type | SOCK_NONBLOCK, protocol, now)));
  }
  long bind(Sockets& sockets, int fd, std::uint16_t port) {
    const sockaddr_in in = address_of(kAny, port);
    return number(sockets.bind(fd, reinterpret_cast<const sockaddr*>(&in), sizeof in, now));
  }
  long sendto(Sockets& sockets, int fd, const std::string& text, const IpAddress& to, std::uint16_t port) {
    const sockaddr_in in = address_of(to, port);
    return number(sockets.sendto(fd, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&in),
                                 sizeof in, now));
  }
  std::string recv(Sockets& sockets, int fd) {
    std::string text(66000, '\0');
    const long got = number(sockets.recv(fd, text.data(), text.size(), 0, now));
    if (got < 0) return std::to_string(got);
    text.resize(static_cast<std::size_t>(got));
    return text;
  }
  static long option(Sockets& sockets, int fd, int level, int name, int value, Instant now) {
    return number(sockets.setsockopt(fd, level, name, &value, sizeof value, now));
  }
  // ICMP messages for `left` since the last look, with the reporter's address in front of each.
  struct Message {
    IpAddress from;
    wire::IcmpType type;
    std::uint8_t code;
    std::uint32_t rest;
    std::size_t size;  // of the IP packet
    std::uint8_t ttl;
  };
  std::vector<Message> icmp() {
    std::vector<Message> all;
    for (;;) {
      const std::string packet = recv(left_sockets, watcher);
      if (packet == std::to_string(-EAGAIN)) return all;
      const Bytes bytes(reinterpret_cast<const std::uint8_t*>(packet.data()), packet.size());
      const auto header = wire::parse_ipv4(bytes);
      const auto message = wire::parse_icmp(bytes.subspan(header->header_length));
      EXPECT_TRUE(wire::verify_ipv4_checksum(bytes.first(header->header_length)));
      all.push_back({header->src, message->type, message->code, message->rest, packet.size(), header->ttl});
    }
  }

  Instant now = kBegin;
  stack::Stack left{{.seed = 1}, kBegin};
  stack::Stack router{{.seed = 2}, kBegin};
  stack::Stack right{{.seed = 3}, kBegin};
  Sockets left_sockets{left};
  Sockets right_sockets{right};
  int watcher = open(left_sockets, SOCK_RAW, IPPROTO_ICMP);
};

TEST_F(ForwardTest, Tapip14PacketsGoOnWithAHopLess) {
  const int to = open(right_sockets);
  ASSERT_EQ(bind(right_sockets, to, 53), 0);
  const int tap = open(right_sockets, SOCK_DGRAM, to_big_endian<std::uint16_t>(ETH_P_IP), AF_PACKET);
  const int from = open(left_sockets);
  EXPECT_EQ(sendto(left_sockets, from, "through", kRight, 53), 7);
  run_for(1s);
  EXPECT_EQ(recv(right_sockets, to), "through");
  const std::string packet = recv(right_sockets, tap);
  const Bytes bytes(reinterpret_cast<const std::uint8_t*>(packet.data()), packet.size());
  EXPECT_EQ(wire::parse_ipv4(bytes)->ttl, 63);
  EXPECT_TRUE(wire::verify_ipv4_checksum(bytes.first(20)));
  EXPECT_EQ(router.counters().get(trace::Counter::kIpForwDatagrams), 1U);
}

TEST_F(ForwardTest, OffByDefault) {
  set(router, "net.ipv4.ip_forward", 0);
  const int to = open(right_sockets);
  ASSERT_EQ(bind(right_sockets, to, 53), 0);
  const int from = open(left_sockets);
  sendto(left_sockets, from, "through", kRight, 53);
  run_for(1s);
  EXPECT_EQ(recv(right_sockets, to), std::to_string(-EAGAIN));
  EXPECT_EQ(router.counters().dropped(trace::DropReason::kIpInAddrErrors), 1U);
}

TEST_F(ForwardTest, Tapip17TtlExceededAndNetUnreachable) {
  const int from = open(left_sockets);
  EXPECT_EQ(option(left_sockets, from, IPPROTO_IP, IP_TTL, 1, now), 0);
  sendto(left_sockets, from, "one hop", kRight, 53);
  run_for(1s);
  auto seen = icmp();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].from, kRouterLeft);
  EXPECT_EQ(seen[0].type, wire::IcmpType::kTimeExceeded);
  EXPECT_EQ(option(left_sockets, from, IPPROTO_IP, IP_TTL, 64, now), 0);
  sendto(left_sockets, from, "nowhere", IpAddress::v4(192, 0, 2, 1), 53);
  run_for(1s);
  seen = icmp();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].type, wire::IcmpType::kUnreachable);
  EXPECT_EQ(seen[0].code, wire::kUnreachableNet);
}

// tapip sent ICMP errors with TTL 0.
TEST_F(ForwardTest, TapipBugIcmpErrorsHaveATtl) {
  const int from = open(left_sockets);
  option(left_sockets, from, IPPROTO_IP, IP_TTL, 1, now);
  sendto(left_sockets, from, std::string(1400, 'x'), kRight, 53);
  run_for(1s);
  const auto seen = icmp();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].ttl, 64);
  EXPECT_EQ(seen[0].size, 576U) << "RFC 1812: as much as fits 576 bytes";
}

TEST_F(ForwardTest, ANeighborThatDoesNotAnswerIsHostUnreachable) {
  const int from = open(left_sockets);
  sendto(left_sockets, from, "absent", IpAddress::v4(10, 2, 0, 99), 53);
  run_for(5s);
  const auto seen = icmp();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].from, kRouterLeft);
  EXPECT_EQ(seen[0].code, wire::kUnreachableHost);
}

struct NarrowForwardTest : ForwardTest {
  NarrowForwardTest() : ForwardTest({.mtu = 600}) {}
};

// tapip's frag-needed carried MTU 0.
TEST_F(NarrowForwardTest, TapipBugFragNeededCarriesTheMtu) {
  const int from = open(left_sockets);
  EXPECT_EQ(option(left_sockets, from, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO, now), 0);
  sendto(left_sockets, from, std::string(1000, 'x'), kRight, 53);
  run_for(1s);
  const auto seen = icmp();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].type, wire::IcmpType::kUnreachable);
  EXPECT_EQ(seen[0].code, wire::kUnreachableFragNeeded);
  EXPECT_EQ(seen[0].rest & 0xffff, 600U);
  EXPECT_EQ(sendto(left_sockets, from, std::string(1000, 'x'), kRight, 53), -EMSGSIZE) << "it was believed";
  EXPECT_EQ(sendto(left_sockets, from, std::string(572, 'x'), kRight, 53), 572);
}

// tapip lost the offset of a fragment that it cut again.
TEST_F(NarrowForwardTest, TapipBugRefragmentingKeepsTheOffset) {
  const int to = open(right_sockets);
  ASSERT_EQ(bind(right_sockets, to, 53), 0);
  const int from = open(left_sockets);
  option(left_sockets, from, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT, now);
  std::string text(4000, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 + i / 251);
  EXPECT_EQ(sendto(left_sockets, from, text, kRight, 53), 4000);
  run_for(1s);
  EXPECT_EQ(recv(right_sockets, to), text);
  EXPECT_EQ(router.counters().get(trace::Counter::kIpFragOKs), 3U) << "all three are too long";
}

TEST_F(NarrowForwardTest, SuperSegmentsAreMeasuredBySegment) {
  // A connection learns the MTU of the way and its super-segments pass whole.
  const int listener = open(right_sockets, SOCK_STREAM);
  ASSERT_EQ(bind(right_sockets, listener, 80), 0);
  ASSERT_EQ(number(right_sockets.listen(listener, 5, now)), 0);
  const int client = open(left_sockets, SOCK_STREAM);
  const sockaddr_in in = address_of(kRight, 80);
  (void)left_sockets.connect(client, reinterpret_cast<const sockaddr*>(&in), sizeof in, now);
  run_for(1s);
  const int server =
      static_cast<int>(number(right_sockets.accept4(listener, nullptr, nullptr, SOCK_NONBLOCK, now)));
  ASSERT_GE(server, 0);
  const std::string data(30000, 'd');
  std::string got;
  std::size_t sent = 0;
  for (int i = 0; i < 100 && got.size() < data.size(); ++i) {
    if (sent < data.size()) {
      const long n = number(left_sockets.send(client, data.data() + sent, data.size() - sent, 0, now));
      if (n > 0) sent += static_cast<std::size_t>(n);
    }
    run_for(200ms);
    const std::string part = recv(right_sockets, server);
    if (part != std::to_string(-EAGAIN)) got += part;
  }
  EXPECT_EQ(got, data);
}

TEST_F(ForwardTest, Tapip14RedirectsToABetterGateway) {
  // The router's way to 10.3/16 leads back through the left net: left is told to go there itself.
  router.add_route({IpAddress::v4(10, 3, 0, 0), 16}, kOtherGateway, 2, 0, now);
  const int from = open(left_sockets);
  sendto(left_sockets, from, "detour", IpAddress::v4(10, 3, 0, 1), 53);
  run_for(10ms);
  auto seen = icmp();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].type, wire::IcmpType::kRedirect);
  EXPECT_EQ(seen[0].code, wire::kRedirectHost);
  EXPECT_EQ(seen[0].rest, kOtherGateway.v4_bits());
  EXPECT_EQ(left.counters().dropped(trace::DropReason::kIcmpType), 1U) << "not believed unless switched on";
  set(left, "net.ipv4.conf.all.accept_redirects", 1);
  now += 100ms;
  sendto(left_sockets, from, "detour", IpAddress::v4(10, 3, 0, 1), 53);
  run_for(10ms);
  EXPECT_EQ(icmp().size(), 1U);
  const int arps = open(left_sockets, SOCK_DGRAM, to_big_endian<std::uint16_t>(ETH_P_ALL), AF_PACKET);
  sendto(left_sockets, from, "straight", IpAddress::v4(10, 3, 0, 1), 53);
  const std::string request = recv(left_sockets, arps);
  const auto arp = wire::parse_arp({reinterpret_cast<const std::uint8_t*>(request.data()), request.size()});
  ASSERT_TRUE(arp);
  EXPECT_EQ(arp->target_ip, kOtherGateway);
  // At most nine, ever more slowly, to who does not listen.
  set(left, "net.ipv4.conf.all.accept_redirects", 0);
  set(router, "net.ipv4.conf.all.send_redirects", 0);
  set(router, "net.ipv4.conf.eth0.send_redirects", 0);
  now += 30s;
  icmp();
  sendto(left_sockets, from, "detour", IpAddress::v4(10, 3, 0, 1), 53);
  run_for(10ms);
  EXPECT_EQ(icmp().size(), 0U);
}

// tapip indexed past its table at redirect code 4.
TEST_F(ForwardTest, TapipBugRedirectCode4IsIgnored) {
  set(left, "net.ipv4.conf.all.accept_redirects", 1);
  const int from = open(left_sockets);
  ASSERT_EQ(bind(left_sockets, from, 4000), 0);
  sendto(left_sockets, from, "x", kRight, 53);
  run_for(1s);
  icmp();
  std::string message(8 + 28, '\0');
  const MutableBytes bytes{reinterpret_cast<std::uint8_t*>(message.data()), message.size()};
  wire::IcmpMessage redirect = wire::IcmpMessage::redirect(4, kOtherGateway);
  wire::emit_icmp(redirect, bytes);
  wire::Ipv4Header quoted;
  quoted.src = kLeft;
  quoted.dst = kRight;
  quoted.protocol = IpProtocol::kUdp;
  quoted.total_length = 28;
  wire::emit_ipv4(quoted, bytes.subspan(8));
  store_be<std::uint16_t>(bytes, 28, 4000);
  store_be<std::uint16_t>(bytes, 30, 53);
  wire::seal_icmp(bytes);
  Sockets router_sockets(router);
  const int raw = static_cast<int>(number(router_sockets.socket(AF_INET, SOCK_RAW, IPPROTO_ICMP, now)));
  const sockaddr_in to = address_of(kLeft, 0);
  (void)router_sockets.sendto(raw, message.data(), message.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                              sizeof to, now);
  run_for(1s);
  EXPECT_EQ(left.counters().dropped(trace::DropReason::kIcmpType), 1U);
  EXPECT_EQ(left.parts().routes.resolve({.destination = kRight, .source = std::nullopt}, now)->next_hop,
            kRouterLeft);
}

TEST_F(ForwardTest, ReversePathFilterStrictAndLoose) {
  const int to = open(right_sockets);
  ASSERT_EQ(bind(right_sockets, to, 53), 0);
  const int raw = open(left_sockets, SOCK_RAW, IPPROTO_RAW);
  const auto spoof = [&](const IpAddress& source) {
    std::string packet(20 + 8 + 4, '\0');
    const MutableBytes bytes{reinterpret_cast<std::uint8_t*>(packet.data()), packet.size()};
    wire::Ipv4Header header;
    header.src = source;
    header.dst = kRight;
    header.protocol = IpProtocol::kUdp;
    header.total_length = 32;
    wire::emit_ipv4(header, bytes);
    store_be<std::uint16_t>(bytes, 22, 53);
    store_be<std::uint16_t>(bytes, 24, 12);
    sendto(left_sockets, raw, packet, kRight, 0);
    run_for(1s);
    const bool arrived = recv(right_sockets, to) != std::to_string(-EAGAIN);
    return arrived;
  };
  const IpAddress wrong_side = IpAddress::v4(10, 2, 0, 77);
  const IpAddress unknown = IpAddress::v4(192, 0, 2, 9);
  EXPECT_TRUE(spoof(wrong_side));
  set(router, "net.ipv4.conf.all.rp_filter", 2);
  EXPECT_TRUE(spoof(wrong_side)) << "loose: some route leads back";
  EXPECT_FALSE(spoof(unknown));
  set(router, "net.ipv4.conf.all.rp_filter", 1);
  EXPECT_FALSE(spoof(wrong_side));
  EXPECT_TRUE(spoof(IpAddress::v4(10, 1, 0, 77)));
  EXPECT_EQ(router.counters().dropped(trace::DropReason::kIpRpFilter), 2U);
  EXPECT_EQ(router.counters().get(trace::Counter::kTcpExtIPReversePathFilter), 2U);
}

// Linux: a host's interfaces forward one by one; the filter is the stricter of the interface's and of all.
TEST_F(ForwardTest, KnobsOfOneInterface) {
  const int to = open(right_sockets), from = open(left_sockets);
  ASSERT_EQ(bind(right_sockets, to, 53), 0);
  const auto passes = [&] {
    sendto(left_sockets, from, "x", kRight, 53);
    run_for(100ms);
    return recv(right_sockets, to) == "x";
  };
  EXPECT_EQ(*router.sysctl_get("net.ipv4.conf.eth1.forwarding"), "1") << "ip_forward set them all";
  set(router, "net.ipv4.conf.eth1.forwarding", 0);
  EXPECT_TRUE(passes()) << "what counts is where it arrives";
  set(router, "net.ipv4.conf.eth0.forwarding", 0);
  EXPECT_FALSE(passes());
  set(router, "net.ipv4.conf.all.forwarding", 1);
  EXPECT_TRUE(passes());
  // The way back to left leads elsewhere now.
  router.add_route({kLeft, 32}, IpAddress::v4(10, 2, 0, 9), 3, 0, now);
  set(router, "net.ipv4.conf.eth1.rp_filter", 1);
  EXPECT_TRUE(passes());
  set(router, "net.ipv4.conf.eth0.rp_filter", 1);
  EXPECT_FALSE(passes());
  EXPECT_FALSE(router.sysctl_set("net.ipv4.conf.eth0.rp_filter", "3", now));
  EXPECT_FALSE(router.sysctl_get("net.ipv4.conf.eth7.rp_filter"));
  EXPECT_FALSE(router.sysctl_get("net.ipv4.conf.eth0.nosuch"));
  const auto names = router.sysctl_names();
  EXPECT_TRUE(std::binary_search(names.begin(), names.end(), "net.ipv4.conf.eth1.proxy_arp"));
  set(router, "net.ipv4.conf.default.rp_filter", 2);
  auto [near, far] = link::make_pipe({});
  router.add_interface({.name = "eth2.5", .addresses = {}}, std::move(near), now);
  EXPECT_EQ(*router.sysctl_get("net.ipv4.conf.eth2.5.rp_filter"), "2");
}

// tapip took any x.x.x.255 for a broadcast, and sent multicast to the default route.
TEST_F(ForwardTest, TapipBugBroadcastAndMulticastAreNotForwarded) {
  const int to = open(right_sockets);
  ASSERT_EQ(bind(right_sockets, to, 53), 0);
  const int from = open(left_sockets);
  option(left_sockets, from, IPPROTO_IP, IP_MULTICAST_TTL, 9, now);
  sendto(left_sockets, from, "group", IpAddress::v4(239, 1, 1, 1), 53);
  sendto(left_sockets, from, "unicast", IpAddress::v4(192, 0, 2, 255), 53);
  run_for(1s);
  EXPECT_EQ(router.counters().get(trace::Counter::kIpForwDatagrams), 0U);
  EXPECT_EQ(router.counters().dropped(trace::DropReason::kMulticastNotJoined), 1U);
  EXPECT_EQ(router.counters().get(trace::Counter::kIpExtInNoRoutes), 1U)
      << "x.x.x.255 of elsewhere is a host";
}

TEST_F(ForwardTest, ProxyArpAnswersForTheOtherSide) {
  set(router, "net.ipv4.conf.all.proxy_arp", 1);
  // As if the left host had the whole of 10/8 on its link.
  left.add_route({IpAddress::v4(10, 0, 0, 0), 8}, {}, 2, 0, now);
  const int to = open(right_sockets);
  ASSERT_EQ(bind(right_sockets, to, 53), 0);
  const int from = open(left_sockets);
  sendto(left_sockets, from, "as neighbours", kRight, 53);
  run_for(1s);
  EXPECT_EQ(recv(right_sockets, to), "as neighbours");
  set(router, "net.ipv4.conf.all.proxy_arp", 0);
  EXPECT_EQ(sendto(left_sockets, from, "x", IpAddress::v4(10, 2, 0, 3), 53), 1);
  run_for(5s);
  EXPECT_EQ(left.parts().neighbors.find(2, IpAddress::v4(10, 2, 0, 3))->state, ip::NeighborState::kFailed);
}

// ---- what belongs to one link ----

struct TwoOnALink : ::testing::Test {
  Instant now = kBegin;
  stack::Stack a{{.seed = 1}, kBegin};
  stack::Stack b{{.seed = 2}, kBegin};
  void join(stack::InterfaceConfig left, stack::InterfaceConfig right) {
    auto [one, other] = link::make_pipe({});
    b.add_interface(std::move(right), std::move(other), now);
    a.add_interface(std::move(left), std::move(one), now);
  }
  void run_for(Duration time) {
    const Instant end = now + time;
    for (;;) {
      for (int i = 0; i < 100; ++i) {
        a.turn(now);
        b.turn(now);
      }
      const Instant next = std::min(a.next_timeout(), b.next_timeout());
      if (next > end) break;
      now = std::max(now, next);
    }
    now = end;
  }
};

TEST_F(TwoOnALink, GratuitousArpUpdatesThoseWhoKnewUs) {
  join({.name = "eth0", .addresses = {{kLeft, 24}}, .announce = true},
       {.name = "eth0", .addresses = {{kRouterLeft, 24}}});
  b.parts().neighbors.set_permanent(2, kLeft, {2, 2, 2, 2, 2, 2}, now);
  b.parts().neighbors.remove(2, kLeft);
  Sockets sockets(b);
  const int fd =
      *sockets.socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, to_big_endian<std::uint16_t>(ETH_P_ARP), now);
  run_for(3s);
  int announcements = 0;
  std::array<std::uint8_t, 64> bytes;
  while (sockets.recv(fd, bytes.data(), bytes.size(), 0, now)) {
    const auto arp = wire::parse_arp(bytes);
    ASSERT_TRUE(arp);
    EXPECT_EQ(arp->sender_ip, kLeft);
    EXPECT_EQ(arp->target_ip, kLeft);
    ++announcements;
  }
  EXPECT_EQ(announcements, 2);
}

TEST_F(TwoOnALink, Rfc5227AnAddressNobodyHasIsTakenAfterThreeProbes) {
  join({.name = "eth0", .addresses = {{kLeft, 24}}, .announce = true, .detect_conflicts = true},
       {.name = "eth0", .addresses = {{kRouterLeft, 24}}});
  EXPECT_FALSE(a.parts().interfaces.is_local_address(kLeft)) << "not before it was asked for";
  EXPECT_TRUE(a.parts().claims.tentative(2, kLeft));
  run_for(8s);
  EXPECT_TRUE(a.parts().interfaces.is_local_address(kLeft));
  EXPECT_EQ(a.parts().claims.conflicts(), 0U);
}

TEST_F(TwoOnALink, Rfc5227AnAddressThatIsTakenIsNotUsed) {
  join({.name = "eth0", .addresses = {{kLeft, 24}}, .detect_conflicts = true},
       {.name = "eth0", .addresses = {{kLeft, 24}}});
  run_for(10s);
  EXPECT_FALSE(a.parts().interfaces.is_local_address(kLeft));
  EXPECT_EQ(a.parts().claims.conflicts(), 1U);
}

TEST_F(TwoOnALink, VlanTagsAreSentAndTaken) {
  join({.name = "eth0", .addresses = {{kLeft, 24}}, .vlan = 7},
       {.name = "eth0", .addresses = {{kRouterLeft, 24}}, .vlan = 7});
  Sockets from(a);
  Sockets to(b);
  const int receiver = *to.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0, now);
  const sockaddr_in in = address_of(kRouterLeft, 53);
  ASSERT_TRUE(to.bind(receiver, reinterpret_cast<const sockaddr*>(&in), sizeof in, now));
  const int sender = *from.socket(AF_INET, SOCK_DGRAM, 0, now);
  ASSERT_TRUE(from.sendto(sender, "tagged", 6, 0, reinterpret_cast<const sockaddr*>(&in), sizeof in, now));
  run_for(1s);
  std::array<char, 16> text{};
  EXPECT_EQ(*to.recv(receiver, text.data(), text.size(), 0, now), 6U);
}

// Two VLANs and the link itself, all three at once; each is a net of its own.
TEST_F(TwoOnALink, SeveralVlansShareADevice) {
  join({.name = "eth0", .addresses = {{kLeft, 24}}}, {.name = "eth0", .addresses = {{kRouterLeft, 24}}});
  const auto address = [](std::uint8_t net, std::uint8_t host) { return IpAddress::v4(10, net, 0, host); };
  for (const std::uint8_t net : {std::uint8_t{7}, std::uint8_t{8}}) {
    const std::string name = "eth0." + std::to_string(net);
    ASSERT_NE(a.add_vlan({.name = name, .addresses = {{address(net, 2), 24}}, .vlan = net}, 2, now),
              kNoInterface);
    ASSERT_NE(b.add_vlan({.name = name, .addresses = {{address(net, 1), 24}}, .vlan = net}, 2, now),
              kNoInterface);
  }
  EXPECT_EQ(a.add_vlan({.name = "again", .addresses = {}, .vlan = 7}, 2, now), kNoInterface);
  EXPECT_EQ(a.add_vlan({.name = "of lo", .addresses = {}, .vlan = 7}, 1, now), kNoInterface);
  EXPECT_EQ(a.add_vlan({.name = "of a vlan", .addresses = {}, .vlan = 9}, 3, now), kNoInterface);
  Sockets from(a);
  Sockets to(b);
  const int receiver = *to.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0, now);
  const sockaddr_in any = address_of(kAny, 53);
  ASSERT_TRUE(to.bind(receiver, reinterpret_cast<const sockaddr*>(&any), sizeof any, now));
  const int one = 1;
  ASSERT_TRUE(to.setsockopt(receiver, IPPROTO_IP, IP_PKTINFO, &one, sizeof one, now));
  const int tap =
      *to.socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, to_big_endian<std::uint16_t>(ETH_P_ALL), now);
  const int sender = *from.socket(AF_INET, SOCK_DGRAM, 0, now);
  // A datagram of 3000 bytes crosses in fragments, each with its tag.
  for (const std::uint8_t net : {std::uint8_t{1}, std::uint8_t{7}, std::uint8_t{8}}) {
    const std::string data(3000, static_cast<char>('0' + net));
    const sockaddr_in in = address_of(address(net, 1), 53);
    ASSERT_TRUE(from.sendto(sender, data.data(), data.size(), 0, reinterpret_cast<const sockaddr*>(&in),
                            sizeof in, now));
    run_for(1s);
    std::string text(4000, '\0');
    iovec piece{text.data(), text.size()};
    std::array<char, 64> control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const auto got = to.recvmsg(receiver, &message, 0, now);
    ASSERT_TRUE(got);
    EXPECT_EQ(text.substr(0, *got), data);
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    ASSERT_NE(header, nullptr);
    in_pktinfo info;
    std::memcpy(&info, CMSG_DATA(header), sizeof info);
    EXPECT_EQ(info.ipi_ifindex, net == 1 ? 2 : net - 4) << "each arrives on its own interface";
  }
  EXPECT_EQ(b.counters().dropped(trace::DropReason::kVlan), 0U);
  EXPECT_GT(b.parts().attached(3)->counters.rx_packets, 2U);
  EXPECT_GT(a.parts().attached(2)->counters.tx_bytes, 9000U);
  EXPECT_EQ(a.parts().attached(2)->counters.tx_refused + a.parts().attached(3)->counters.tx_refused, 0U);
  (void)tap;
}

TEST_F(TwoOnALink, FramesOfAnotherVlanAreDroppedAndCounted) {
  join({.name = "eth0", .addresses = {{kLeft, 24}}, .vlan = 7},
       {.name = "eth0", .addresses = {{kRouterLeft, 24}}, .vlan = 8});
  Sockets from(a);
  const int sender = *from.socket(AF_INET, SOCK_DGRAM, 0, now);
  const sockaddr_in in = address_of(kRouterLeft, 53);
  (void)from.sendto(sender, "tagged", 6, 0, reinterpret_cast<const sockaddr*>(&in), sizeof in, now);
  run_for(100ms);
  EXPECT_EQ(b.counters().dropped(trace::DropReason::kVlan), 1U);
}

}  // namespace
}  // namespace tapir::socket
