// SPDX-License-Identifier: Apache-2.0
#include "differential/wanted.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include <algorithm>

namespace tapir::differential {
namespace {

bool about(const Op& op, int level, int name) {
  return (op.call == Call::kGet || op.call == Call::kSetInt || op.call == Call::kSetValue) && op.a == level &&
         op.b == name;
}

constexpr Wanted kWanted[] = {
    {"SO_DEBUG needs no capability of the whole machine",
     [](const Op& op, const std::string&, const std::string&) {
       return about(op, SOL_SOCKET, SO_DEBUG) && op.call != Call::kGet;
     }},
    {"IP_TRANSPARENT is refused",
     [](const Op& op, const std::string&, const std::string& tapir) {
       return about(op, SOL_IP, IP_TRANSPARENT) && (tapir.starts_with("EPERM") || tapir.starts_with("0 len"));
     }},
    {"SIOCOUTQ and SIOCOUTQNSD of a closed connection count bytes only",
     [](const Op& op, const std::string&, const std::string& tapir) {
       return op.call == Call::kIoctl &&
              (op.a == static_cast<long>(SIOCOUTQ) || op.a == static_cast<long>(SIOCOUTQNSD)) &&
              tapir.starts_with("0 value=0");
     }},
    {"TCP_MAXSEG before the handshake is what the path allows",
     [](const Op& op, const std::string&, const std::string&) {
       return about(op, SOL_TCP, TCP_MAXSEG) && op.call == Call::kGet;
     }},
    {"A socket after connect(AF_UNSPEC) is as new",
     [](const Op& op, const std::string& kernel, const std::string&) {
       return kernel.find("HUP") != std::string::npos &&
              (about(op, SOL_SOCKET, SO_SNDBUF) || about(op, SOL_TCP, TCP_NOTSENT_LOWAT));
     }},
    {"Urgent data goes as data",
     [](const Op& op, const std::string&, const std::string&) {
       return op.call == Call::kSend && (op.b & MSG_OOB) != 0;
     }},
    {"TCP_QUICKACK before there is a connection is forgotten",
     [](const Op& op, const std::string&, const std::string& tapir) {
       return about(op, SOL_TCP, TCP_QUICKACK) && tapir.starts_with("0 len");
     }},
};

}  // namespace

std::span<const Wanted> wanted_differences() { return kWanted; }

bool is_wanted(const Op& op, const std::string& kernel, const std::string& tapir) {
  return std::any_of(std::begin(kWanted), std::end(kWanted),
                     [&](const Wanted& wanted) { return wanted.covers(op, kernel, tapir); });
}

}  // namespace tapir::differential
