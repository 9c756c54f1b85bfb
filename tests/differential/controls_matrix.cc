// SPDX-License-Identifier: Apache-2.0
// The cases of IP_OPTIONS and of control messages that are sent, and of the error queues that IP_RECVERR
// fills.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "differential/controls.h"
#include "differential/matrix.h"

namespace tapir::differential {
namespace {

long n(auto value) { return static_cast<long>(value); }

const long kOwnP0 = n(Address::kOwn) * 16 + n(Port::kP0);

struct Sender {
  const char* name;
  Script steps;  // slot 0 sends, slot 1 tells what arrives
  long to;       // as kSendTo's; 0: connected
  bool echo = false;
};

Op socket_of(int slot, long type, long protocol) {
  return {Call::kSocket, slot, AF_INET, type | SOCK_NONBLOCK, protocol};
}

std::vector<Sender> senders() {
  const auto listens = [](int slot) {
    Script out;
    for (const long name : {IP_RECVTTL, IP_RECVTOS, IP_PKTINFO})
      out.push_back({Call::kSetInt, slot, SOL_IP, name, 1});
    return out;
  };
  const auto joined = [](Script first, const Script& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
  };
  const Script udp = joined({socket_of(1, SOCK_DGRAM, 0),
                             {Call::kBind, 1, n(Address::kAny), n(Port::kP0)},
                             socket_of(0, SOCK_DGRAM, 0)},
                            listens(1));
  const Script ping = joined({socket_of(0, SOCK_DGRAM, IPPROTO_ICMP), {Call::kDup, 0, 0, 1}}, listens(0));
  const Script raw = joined({socket_of(1, SOCK_RAW, 200), socket_of(0, SOCK_RAW, 200)}, listens(1));
  const Op connect{Call::kConnect, 0, n(Address::kOwn), n(Port::kP0)};
  const Op bind{Call::kBind, 0, n(Address::kOwn), n(Port::kP1)};
  const Script tcp = {socket_of(1, SOCK_STREAM, 0),
                      {Call::kBind, 1, n(Address::kOwn), n(Port::kP0)},
                      {Call::kListen, 1, 3},
                      socket_of(0, SOCK_STREAM, 0),
                      connect};
  return {
      {"udp", udp, kOwnP0},
      {"udp-bound", joined(udp, {bind}), kOwnP0},
      {"udp-connected", joined(udp, {connect}), 0},
      {"udp-with-ttl",
       joined(udp, {{Call::kSetInt, 0, SOL_IP, IP_TTL, 33}, {Call::kSetInt, 0, SOL_IP, IP_TOS, 4}}), kOwnP0},
      {"udp-shut", joined(udp, {connect, {Call::kShutdown, 0, SHUT_WR}}), 0},
      {"ping", ping, kOwnP0, true},
      {"ping-connected", joined(ping, {connect}), 0, true},
      {"raw", raw, kOwnP0},
      {"raw-headed", joined(raw, {{Call::kSetInt, 0, SOL_IP, IP_HDRINCL, 1}}), kOwnP0},
      {"tcp", tcp, 0},
      {"tcp-fresh", {socket_of(0, SOCK_STREAM, 0)}, 0},
      {"tcp-shut", joined(tcp, {{Call::kShutdown, 0, SHUT_WR}}), 0},
      {"tcp-listening", {socket_of(0, SOCK_STREAM, 0), {Call::kListen, 0, 3}}, 0}};
}

Script what_arrived() {
  return {{Call::kReceiveMsg, 1, 0, 0, 180},
          {Call::kReceiveMsg, 0, 20, MSG_ERRQUEUE, 180},
          {Call::kGet, 0, SOL_SOCKET, SO_ERROR, n(Shape::kExact)}};
}

}  // namespace

void add_controls(std::vector<Case>& cases) {
  for (const Sender& sender : senders()) {
    for (int i = 0; i < control_examples(); ++i) {
      Script script = sender.steps;
      script.push_back({Call::kSendControl, 0, 20, i, sender.to, sender.echo ? 1 : 0});
      for (const Op& op : what_arrived()) script.push_back(op);
      cases.push_back({"control/" + std::string(sender.name) + "/" + std::to_string(i), std::move(script)});
    }
    for (int i = 0; i < options_examples(); ++i) {
      Script script = sender.steps;
      script.push_back({Call::kSetOptions, 0, i});
      script.push_back({Call::kGet, 0, SOL_IP, IP_OPTIONS, n(Shape::kRoomy)});
      script.push_back({Call::kGet, 0, SOL_IP, IP_OPTIONS, n(Shape::kByte)});
      if (std::string_view(sender.name) == "tcp")
        script.push_back({Call::kGet, 0, SOL_TCP, TCP_MAXSEG, n(Shape::kExact)});
      script.push_back({Call::kSendControl, 0, 20, -1, sender.to, sender.echo ? 1 : 0});
      for (const Op& op : what_arrived()) script.push_back(op);
      script.push_back({Call::kSetOptions, 0, 0});
      script.push_back({Call::kGet, 0, SOL_IP, IP_OPTIONS, n(Shape::kRoomy)});
      if (std::string_view(sender.name) == "tcp")
        script.push_back({Call::kGet, 0, SOL_TCP, TCP_MAXSEG, n(Shape::kExact)});
      cases.push_back(
          {"ip-options/" + std::string(sender.name) + "/" + std::to_string(i), std::move(script)});
    }
  }
  // What cannot be sent, or does not arrive: the queue of errors, the error that calls tell, and what of both
  // is left after each look.
  for (const bool wants : {false, true})
    for (const long discover : {IP_PMTUDISC_DONT, IP_PMTUDISC_WANT, IP_PMTUDISC_DO, IP_PMTUDISC_PROBE})
      for (const long size : {20L, 65'507L, 65'508L})
        for (const bool connected : {false, true})
          // A probe of 65,508 bytes makes a datagram of 65,536, which no header can say: Linux's answer is an
          // accident.
          if (const bool beyond = discover == IP_PMTUDISC_PROBE && size == 65'508; !beyond)
            for (const long first : {long{MSG_ERRQUEUE}, 0L}) {
              Script script = {socket_of(0, SOCK_DGRAM, 0),
                               {Call::kSetInt, 0, SOL_IP, IP_MTU_DISCOVER, discover},
                               {Call::kSetInt, 0, SOL_IP, IP_RECVERR, wants ? 1 : 0}};
              if (connected) script.push_back({Call::kConnect, 0, n(Address::kOwn), n(Port::kP0)});
              for (int times = 0; times < 2; ++times)
                script.push_back({Call::kSendControl, 0, size, -1, connected ? 0 : kOwnP0});
              script.push_back({Call::kReceiveMsg, 0, 10, first, 180});
              for (int times = 0; times < 3; ++times)
                script.push_back({Call::kReceiveMsg, 0, 30, MSG_ERRQUEUE, 180});
              script.push_back({Call::kReceiveMsg, 0, 10, 0, 180});
              cases.push_back({"errors/" + std::to_string(wants) + std::to_string(discover) + " " +
                                   std::to_string(size) + (connected ? " connected " : " ") +
                                   std::to_string(first),
                               std::move(script)});
            }
}

}  // namespace tapir::differential
