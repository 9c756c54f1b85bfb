// SPDX-License-Identifier: Apache-2.0
// tapip's commands that print tables (arpcache, route, ifconfig, stat), and netstat's.
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "cli/answering.h"
#include "cli/asking.h"
#include "cli/commands.h"
#include "observe/ip_tables.h"

namespace tapir::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

std::optional<ordered_json> ask_ip(std::string_view name, const ControlOptions& options, const char* object) {
  const auto answer = ask_table(name, options, {{"command", "ip"}, {"object", object}, {"action", "show"}});
  if (!answer) return std::nullopt;
  return ordered_json::parse(answer->get<std::string>());
}

int print_table(std::string_view name, const ControlOptions& options, const char* object,
                std::string (*text)(const ordered_json&)) {
  const auto rows = ask_ip(name, options, object);
  if (!rows) return 1;
  if (options.json)
    print_json(*rows);
  else
    fmt::print("{}", text(*rows));
  return 0;
}

// A counter's sentence, as netstat -s says it; %u is the number.
struct Sentence {
  const char* section;
  const char* counter;
  const char* text;
};
constexpr std::array<Sentence, 58> kSentences = {{
    {"Ip", "IpInReceives", "%u total packets received"},
    {"Ip", "IpInHdrErrors", "%u with invalid headers"},
    {"Ip", "IpInAddrErrors", "%u with invalid addresses"},
    {"Ip", "IpForwDatagrams", "%u forwarded"},
    {"Ip", "IpInUnknownProtos", "%u with unknown protocol"},
    {"Ip", "IpInDiscards", "%u incoming packets discarded"},
    {"Ip", "IpInDelivers", "%u incoming packets delivered"},
    {"Ip", "IpOutRequests", "%u requests sent out"},
    {"Ip", "IpOutDiscards", "%u outgoing packets dropped"},
    {"Ip", "IpOutNoRoutes", "%u dropped because of missing route"},
    {"Ip", "IpReasmTimeout", "%u fragments dropped after timeout"},
    {"Ip", "IpReasmReqds", "%u reassemblies required"},
    {"Ip", "IpReasmOKs", "%u packets reassembled ok"},
    {"Ip", "IpReasmFails", "%u packet reassemblies failed"},
    {"Ip", "IpFragOKs", "%u fragments received ok"},
    {"Ip", "IpFragFails", "%u fragments failed"},
    {"Ip", "IpFragCreates", "%u fragments created"},
    {"Icmp", "IcmpInMsgs", "%u ICMP messages received"},
    {"Icmp", "IcmpInErrors", "%u input ICMP message failed"},
    {"Icmp", "IcmpInDestUnreachs", "destination unreachable received: %u"},
    {"Icmp", "IcmpInTimeExcds", "timeout in transit received: %u"},
    {"Icmp", "IcmpInRedirects", "redirects received: %u"},
    {"Icmp", "IcmpInEchos", "echo requests received: %u"},
    {"Icmp", "IcmpInEchoReps", "echo replies received: %u"},
    {"Icmp", "IcmpOutMsgs", "%u ICMP messages sent"},
    {"Icmp", "IcmpOutErrors", "%u ICMP messages failed"},
    {"Icmp", "IcmpOutDestUnreachs", "destination unreachable sent: %u"},
    {"Icmp", "IcmpOutTimeExcds", "time exceeded sent: %u"},
    {"Icmp", "IcmpOutRedirects", "redirects sent: %u"},
    {"Icmp", "IcmpOutEchos", "echo requests sent: %u"},
    {"Icmp", "IcmpOutEchoReps", "echo replies sent: %u"},
    {"Tcp", "TcpActiveOpens", "%u active connection openings"},
    {"Tcp", "TcpPassiveOpens", "%u passive connection openings"},
    {"Tcp", "TcpAttemptFails", "%u failed connection attempts"},
    {"Tcp", "TcpEstabResets", "%u connection resets received"},
    {"Tcp", "TcpCurrEstab", "%u connections established"},
    {"Tcp", "TcpInSegs", "%u segments received"},
    {"Tcp", "TcpOutSegs", "%u segments sent out"},
    {"Tcp", "TcpRetransSegs", "%u segments retransmitted"},
    {"Tcp", "TcpInErrs", "%u bad segments received"},
    {"Tcp", "TcpOutRsts", "%u resets sent"},
    {"Udp", "UdpInDatagrams", "%u packets received"},
    {"Udp", "UdpNoPorts", "%u packets to unknown port received"},
    {"Udp", "UdpInErrors", "%u packet receive errors"},
    {"Udp", "UdpOutDatagrams", "%u packets sent"},
    {"Udp", "UdpRcvbufErrors", "%u receive buffer errors"},
    {"Udp", "UdpSndbufErrors", "%u send buffer errors"},
    {"TcpExt", "TcpExtSyncookiesSent", "%u SYN cookies sent"},
    {"TcpExt", "TcpExtSyncookiesRecv", "%u SYN cookies received"},
    {"TcpExt", "TcpExtTW", "%u TCP sockets finished time wait in fast timer"},
    {"TcpExt", "TcpExtDelayedACKs", "%u delayed acks sent"},
    {"TcpExt", "TcpExtListenOverflows", "%u times the listen queue of a socket overflowed"},
    {"TcpExt", "TcpExtListenDrops", "%u SYNs to LISTEN sockets dropped"},
    {"TcpExt", "TcpExtTCPHPAcks", "%u predicted acknowledgments"},
    {"TcpExt", "TcpExtTCPTimeouts", "%u other TCP timeouts"},
    {"TcpExt", "TcpExtTCPFastRetrans", "%u fast retransmits"},
    {"TcpExt", "TcpExtTCPLossProbes", "TCPLossProbes: %u"},
    {"TcpExt", "TcpExtTCPRcvCoalesce", "TCPRcvCoalesce: %u"},
}};

// Counters that netstat has no sentence for stand by their names, as with netstat itself, when they are not
// 0.
int print_statistics(const NetstatOptions& options) {
  const auto answer = ask_table("netstat", options, {{"command", "nstat"}});
  if (!answer) return 1;
  ordered_json counters = ordered_json::object();
  for (const json& pair : (*answer)["counters"]) counters[pair[0].get<std::string>()] = pair[1];
  if (options.json) {
    print_json(counters);
    return 0;
  }
  for (const char* section : {"Ip", "Icmp", "Tcp", "Udp", "TcpExt"}) {
    fmt::print("{}:\n", section);
    for (const Sentence& each : kSentences) {
      if (std::string_view(each.section) != section) continue;
      const auto found = counters.find(each.counter);
      if (found == counters.end()) continue;
      const auto value = found->get<std::uint64_t>();
      const std::string_view text = each.text;
      const bool always = std::string_view(section) != "TcpExt" && text.front() == '%';
      if (value != 0 || always) {
        const std::size_t at = text.find("%u");
        fmt::print("    {}{}{}\n", text.substr(0, at), value, text.substr(at + 2));
      }
      counters.erase(found);
    }
    for (const auto& [name, value] : counters.items())
      if (std::string_view(section) == "TcpExt" && name.starts_with("TcpExt") &&
          value.get<std::uint64_t>() != 0)
        fmt::print("    {}: {}\n", name.substr(6), value.get<std::uint64_t>());
  }
  return 0;
}

std::string interface_table_text(const ordered_json& links) {
  std::string text = fmt::format("{:<16}{:>6}{:>9}{:>7}{:>7}{:>9}{:>7}{:>7} Flg\n", "Iface", "MTU", "RX-OK",
                                 "RX-ERR", "RX-DRP", "TX-OK", "TX-ERR", "TX-DRP");
  for (const ordered_json& link : links) {
    const auto& rx = link["stats64"]["rx"];
    const auto& tx = link["stats64"]["tx"];
    std::string flags;
    for (const auto& [name, letter] :
         {std::pair{"BROADCAST", 'B'}, {"LOOPBACK", 'L'}, {"MULTICAST", 'M'}, {"UP", 'U'}})
      for (const ordered_json& flag : link["flags"])
        if (flag == name) flags += letter;
    const auto count = [](const ordered_json& row, const char* key) { return row[key].get<std::uint64_t>(); };
    text += fmt::format("{:<16}{:>6}{:>9}{:>7}{:>7}{:>9}{:>7}{:>7} {}\n", link["ifname"].get<std::string>(),
                        count(link, "mtu"), count(rx, "packets"), count(rx, "errors"), count(rx, "dropped"),
                        count(tx, "packets"), count(tx, "errors"), count(tx, "dropped"), flags);
  }
  return text;
}

}  // namespace

void answer_stat(Running& running, const json&, runtime::ControlReply& reply) {
  auto holdings = running.host.with([&](stack::Stack& stack, socket::Sockets& sockets, Instant) {
    ordered_json rows = observe::holdings_json(stack);
    rows.insert(rows.begin(), ordered_json{{"name", "sockets"},
                                           {"value", sockets.size()},
                                           {"unit", ""},
                                           {"what", "descriptors that programs hold"}});
    return rows;
  });
  reply.send(holdings.dump());
}

int stat_main(const ControlOptions& options) {
  const auto answer = ask_table("stat", options, {{"command", "stat"}});
  if (!answer) return 1;
  const ordered_json holdings = ordered_json::parse(answer->get<std::string>());
  if (options.json)
    print_json(holdings);
  else
    fmt::print("{}", observe::holdings_text(holdings));
  return 0;
}

int table_main(TapipTable table, const ControlOptions& options) {
  switch (table) {
    case TapipTable::kArpCache:
      return print_table("arpcache", options, "neigh", observe::arpcache_text);
    case TapipTable::kRoute:
      return print_table("route", options, "route", observe::route_table_text);
    case TapipTable::kIfconfig:
      return print_table("ifconfig", options, "link", observe::ifconfig_text);
  }
  return 2;
}

int netstat_main(const NetstatOptions& options) {
  if (options.routes) return print_table("netstat", options, "route", observe::route_table_text);
  if (options.interfaces) return print_table("netstat", options, "link", interface_table_text);
  return print_statistics(options);
}

}  // namespace tapir::cli
