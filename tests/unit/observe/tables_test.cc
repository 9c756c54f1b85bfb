// SPDX-License-Identifier: Apache-2.0
#include "observe/tables.h"

#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <netinet/in.h>

#include <nlohmann/json.hpp>

#include "observe/ip_tables.h"
#include "socket/sockets.h"
#include "stack/parts.h"

namespace tapir::observe {
namespace {

using Json = nlohmann::ordered_json;

TEST(Numbers, AsPercentG) {
  EXPECT_EQ(decimal(0), "0");
  EXPECT_EQ(decimal(100), "0.1");
  EXPECT_EQ(decimal(50), "0.05");
  EXPECT_EQ(decimal(1), "0.001");
  EXPECT_EQ(decimal(204'000), "204");
  EXPECT_EQ(decimal(1'250), "1.25");
  EXPECT_EQ(decimal(10'000'000), "10000");
}

TEST(Numbers, TimersAsSsPrintsThem) {
  EXPECT_EQ(timer_text(200), "200ms");
  EXPECT_EQ(timer_text(1'500), "1.500ms");
  EXPECT_EQ(timer_text(1'000), "1sec");
  EXPECT_EQ(timer_text(12'345), "12sec");
  EXPECT_EQ(timer_text(119 * 60'000 + 5'000), "119min");
  EXPECT_EQ(timer_text(61'000), "1min1sec");
}

TEST(Numbers, Patterns) {
  EXPECT_TRUE(matches("TcpExt*", "TcpExtListenDrops"));
  EXPECT_TRUE(matches("*Drops", "TcpExtListenDrops"));
  EXPECT_TRUE(matches("*List*Drop?", "TcpExtListenDrops"));
  EXPECT_TRUE(matches("*", ""));
  EXPECT_FALSE(matches("Tcp", "TcpInSegs"));
  EXPECT_FALSE(matches("?", ""));
  EXPECT_TRUE(matches("**a*", "bbab"));
}

const Json kRows = Json::parse(R"([
  {"netid":"tcp","state":"LISTEN","recv_q":0,"send_q":128,"local":"0.0.0.0:80","peer":"0.0.0.0:*","subject":4},
  {"netid":"tcp","state":"ESTAB","recv_q":5,"send_q":0,"local":"10.0.0.1:80","peer":"10.0.0.2:5000","subject":1,
   "timer":{"name":"keepalive","expires_ms":7140000,"retrans":0},
   "info":{"ts":true,"sack":true,"congestion_control":"reno","wscale":[7,7],"rto_us":204000,"rtt_us":100,"rttvar_us":50,
           "ato_us":40000,"mss":1448,"pmtu":1500,"rcvmss":536,"advmss":1448,"cwnd":10,"ssthresh":2147483647,"reordering":3},
   "mem":{"rcvbuf":131072,"sndbuf":87040,"used":0}},
  {"netid":"tcp","state":"TIME-WAIT","recv_q":0,"send_q":0,"local":"10.0.0.1:7","peer":"10.0.0.2:5001","subject":2},
  {"netid":"udp","state":"UNCONN","recv_q":0,"send_q":0,"local":"0.0.0.0:53","peer":"0.0.0.0:*","subject":3}])");

TEST(Sockets, WhichAreShown) {
  EXPECT_EQ(select_sockets(kRows, {}).size(), 1U);
  EXPECT_EQ(select_sockets(kRows, {.all = true}).size(), 4U);
  EXPECT_EQ(select_sockets(kRows, {.listening = true}).size(), 2U);
  EXPECT_EQ(select_sockets(kRows, {.udp = false, .listening = true}).size(), 1U);
  EXPECT_EQ(select_sockets(kRows, {.tcp = false, .all = true}).size(), 1U);
}

TEST(Sockets, LaidOutAsSs) {
  EXPECT_EQ(sockets_text(kRows, {.udp = false, .listening = true, .raw = false, .packet = false}),
            "State   Recv-Q  Send-Q  Local Address:Port  Peer Address:Port  Process\n"
            "LISTEN  0       128             0.0.0.0:80          0.0.0.0:*\n");
}

TEST(Sockets, InfoInTheOrderOfIproute2) {
  const std::string text =
      sockets_text(kRows, {.udp = false, .timers = true, .info = true, .memory = true, .header = false});
  EXPECT_NE(text.find("timer:(keepalive,119min,0)\n\t skmem:(r5,rb131072,t0,tb87040,f0,w0,o0,bl0,d0) ts sack "
                      "reno wscale:7,7 rto:204 "
                      "rtt:0.1/0.05 ato:40 mss:1448 pmtu:1500 rcvmss:536 advmss:1448 cwnd:10 send "),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("ssthresh"), std::string::npos);
}

TEST(Counters, AsNstatPrintsThem) {
  const Json counters{{"TcpActiveOpens", 1}, {"TcpExtListenDrops", 12}};
  EXPECT_EQ(counters_text(counters),
            "#tapir\nTcpActiveOpens                  1                  0.0\nTcpExtListenDrops               "
            "12                 0.0\n");
  const std::vector<std::string> patterns{"TcpExt*"};
  EXPECT_EQ(counters_text(counters, patterns),
            "#tapir\nTcpExtListenDrops               12                 0.0\n");
}

// A stack with one listener and one UDP port on loopback.
class Live : public testing::Test {
 protected:
  Live() : stack_({.seed = 7}, now_), sockets_(stack_) {}
  int bound(int type, std::uint16_t port) {
    const auto fd = sockets_.socket(AF_INET, type, 0, now_);
    EXPECT_TRUE(fd);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    EXPECT_TRUE(sockets_.bind(*fd, reinterpret_cast<const sockaddr*>(&address), sizeof address, now_));
    return *fd;
  }
  Instant now_{10s};
  stack::Stack stack_;
  socket::Sockets sockets_;
};

TEST_F(Live, SocketsOfAStack) {
  EXPECT_TRUE(sockets_.listen(bound(SOCK_STREAM, 80), 5, now_));
  bound(SOCK_DGRAM, 53);
  const Json rows = sockets_json(stack_, now_);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0]["netid"], "udp");
  EXPECT_EQ(rows[0]["local"], "0.0.0.0:53");
  EXPECT_EQ(rows[1]["state"], "LISTEN");
  EXPECT_EQ(rows[1]["send_q"], 5);
  EXPECT_EQ(rows[1]["peer"], "0.0.0.0:*");
}

TEST_F(Live, RawPingAndPacketSocketsOfAStack) {
  EXPECT_TRUE(stack_.sysctl_set("net.ipv4.ping_group_range", "0 100", now_));
  ASSERT_TRUE(sockets_.socket(AF_INET, SOCK_RAW, 89, now_));
  ASSERT_TRUE(sockets_.socket(AF_PACKET, SOCK_DGRAM, htons(0x806), now_));
  const auto everything = sockets_.socket(AF_PACKET, SOCK_RAW, htons(3), now_);
  sockaddr_ll on{};
  on.sll_family = AF_PACKET;
  on.sll_protocol = htons(3);
  on.sll_ifindex = 1;
  ASSERT_TRUE(sockets_.bind(*everything, reinterpret_cast<const sockaddr*>(&on), sizeof on, now_));
  const auto ping = sockets_.socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP, now_);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(0x7f000001);
  at.sin_port = htons(77);
  ASSERT_TRUE(sockets_.bind(*ping, reinterpret_cast<const sockaddr*>(&at), sizeof at, now_));
  const std::string text = sockets_text(sockets_json(stack_, now_), {.all = true, .header = false});
  // As iproute2 prints those of the kernel, but for ping sockets, which it does not list.
  EXPECT_EQ(text,
            "p_dgr  UNCONN  0       0                 [2054]:*                  *\n"
            "p_raw  UNCONN  0       0                     *:lo                  *\n"
            "raw    UNCONN  0       0               0.0.0.0:89          0.0.0.0:*\n"
            "icmp   UNCONN  0       0             127.0.0.1:77          0.0.0.0:*\n")
      << text;
  const auto only = [&](SsView view) { return select_sockets(sockets_json(stack_, now_), view).size(); };
  EXPECT_EQ(only({.tcp = false, .udp = false, .all = true, .packet = false}), 2U);
  EXPECT_EQ(only({.tcp = false, .udp = false, .all = true, .raw = false}), 2U);
}

TEST_F(Live, CountersAndDrops) {
  EXPECT_TRUE(drops_json(stack_).empty());
  stack_.counters().add(trace::Counter::kTcpActiveOpens);
  stack_.counters().drop(trace::DropReason::kNoSocket, 3);
  EXPECT_EQ(counters_json(stack_, false).size(), 1U);
  EXPECT_EQ(counters_json(stack_, true).size(), trace::kCounters);
  const Json drops = drops_json(stack_);
  ASSERT_EQ(drops.size(), 1U);
  EXPECT_EQ(drops_text(drops), "Reason     Packets  Why\nNO_SOCKET        3  no socket is bound there\n");
}

TEST_F(Live, TapipRow04_InterfacesAsIpPrintsThem) {
  const Json links = links_json(stack_);
  ASSERT_EQ(links.size(), 1U);
  EXPECT_EQ(links[0]["ifname"], "lo");
  EXPECT_EQ(links[0]["stats64"]["rx"]["packets"], 0);
  EXPECT_EQ(links_text(links, {}).substr(0, 30), "1: lo: <LOOPBACK,UP,LOWER_UP> ");
  EXPECT_NE(links_text(links, {}).find(
                "    inet 127.0.0.1/8 scope host lo\n       valid_lft forever preferred_lft forever\n"),
            std::string::npos);
  EXPECT_EQ(links_text(links, {.brief = true}), "lo               UNKNOWN        127.0.0.1/8 \n");
  EXPECT_NE(
      links_text(links, {.statistics = true}).find("    RX:  bytes packets errors dropped  missed   mcast\n"),
      std::string::npos);
}

TEST(IpTables, RoutesAndNeighboursAsIpPrintsThem) {
  const Json routes =
      Json::parse(R"([{"dst":"default","gateway":"10.0.0.2","dev":"tap0","metric":5,"flags":[]},
    {"dst":"10.0.0.0/24","dev":"tap0","protocol":"kernel","scope":"link","prefsrc":"10.0.0.1","flags":[]},{"type":"blackhole","dst":"10.9.0.0/16","flags":[]}])");
  EXPECT_EQ(routes_text(routes),
            "default via 10.0.0.2 dev tap0 metric 5\n"
            "10.0.0.0/24 dev tap0 proto kernel scope link src 10.0.0.1\n"
            "blackhole 10.9.0.0/16\n");
  const Json neighbors = Json::parse(
      R"([{"dst":"10.0.0.2","dev":"tap0","lladdr":"02:00:00:00:00:01","state":["STALE"],"used":1,"confirmed":2,"updated":3,"probes":0},
    {"dst":"10.0.0.3","dev":"tap0","state":["FAILED"]}])");
  EXPECT_EQ(neighbors_text(neighbors),
            "10.0.0.2 dev tap0 lladdr 02:00:00:00:00:01 STALE\n10.0.0.3 dev tap0 FAILED\n");
  EXPECT_EQ(neighbors_text(neighbors, true).substr(0, 71),
            "10.0.0.2 dev tap0 lladdr 02:00:00:00:00:01 used 1/2/3 probes 0 STALE\n10");
}

// tapip's own tables, of the same rows.
TEST(IpTables, TapipRow33_ArpcacheRouteIfconfig) {
  const Json routes = Json::parse(
      R"([{"dst":"default","gateway":"10.0.0.2","dev":"tap0"},{"dst":"10.0.0.0/24","dev":"tap0"},{"dst":"10.1.1.1","dev":"tap0"}])");
  EXPECT_EQ(route_table_text(routes),
            "Destination  Gateway   Genmask          Flags  Metric  Iface\n"
            "0.0.0.0      10.0.0.2  0.0.0.0          UG          0  tap0\n"
            "10.0.0.0     0.0.0.0   255.255.255.0    U           0  tap0\n"
            "10.1.1.1     0.0.0.0   255.255.255.255  UH          0  tap0\n");
  const Json neighbors = Json::parse(
      R"([{"dst":"10.0.0.2","dev":"tap0","lladdr":"02:00:00:00:00:01","state":["REACHABLE"],"confirmed":7}])");
  EXPECT_EQ(arpcache_text(neighbors),
            "State      Age(s)  HWaddress          Address   Iface\n"
            "REACHABLE       7  02:00:00:00:00:01  10.0.0.2  tap0\n");
}

TEST_F(Live, TapipRow05_HoldingsComeBackToNothing) {
  const auto value = [&](std::string_view name) {
    for (const Json& row : holdings_json(stack_))
      if (row["name"] == name) return row["value"].get<std::int64_t>();
    return std::int64_t{-1};
  };
  EXPECT_EQ(value("frames"), 0);
  EXPECT_EQ(value("connections"), 0);
  const auto before = value("budget");
  {
    const Frame held = stack_.frames().allocate(1000);
    EXPECT_EQ(value("frames"), 1);
    EXPECT_GT(value("budget"), before);
  }
  EXPECT_EQ(value("frames"), 0);
  EXPECT_EQ(value("budget"), before);
  EXPECT_NE(holdings_text(holdings_json(stack_)).find("\nfragments "), std::string::npos);
}

}  // namespace
}  // namespace tapir::observe
