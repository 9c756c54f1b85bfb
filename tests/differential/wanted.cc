// SPDX-License-Identifier: Apache-2.0
#include "differential/wanted.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <iterator>
#include <vector>

namespace tapir::differential {
namespace {

bool about(const Op& op, int level, int name) {
  return (op.call == Call::kGet || op.call == Call::kSetInt || op.call == Call::kSetValue) && op.a == level &&
         op.b == name;
}

// The segments of a line, sorted.
std::vector<std::string> segments_of(const std::string& line) {
  std::vector<std::string> out;
  for (std::size_t at = line.find('{'); at != std::string::npos; at = line.find('{', at + 1))
    out.push_back(line.substr(at + 1, line.find('}', at) - at - 1));
  std::sort(out.begin(), out.end());
  return out;
}

// One world sent what the other sent, and besides one segment of data that nothing pushed: "P0>eph 1000".
bool one_more_unpushed(const std::string& one, const std::string& other) {
  const auto most = segments_of(one);
  const auto fewer = segments_of(other);
  std::vector<std::string> more;
  std::set_difference(most.begin(), most.end(), fewer.begin(), fewer.end(), std::back_inserter(more));
  if (most.size() != fewer.size() + 1 || more.size() != 1) return false;
  const std::size_t space = more[0].find(' ');
  return space != std::string::npos &&
         more[0].find_first_not_of("0123456789", space + 1) == std::string::npos;
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
    {"Source routes are not sent",
     [](const Op& op, const std::string& kernel, const std::string& tapir) {
       return op.call == Call::kSetOptions && kernel.starts_with("0 ") && tapir.starts_with("EPERM");
     },
     true},
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
    {"TCP_QUICKACK before there is a connection is forgotten",
     [](const Op& op, const std::string&, const std::string& tapir) {
       return about(op, SOL_TCP, TCP_QUICKACK) && tapir.starts_with("0 len");
     }},
    {"SO_TIMESTAMPING of datagrams tells of arrivals only",
     [](const Op& op, const std::string& kernel, const std::string& tapir) {
       return (about(op, SOL_SOCKET, SO_TIMESTAMPING) || about(op, SOL_SOCKET, 65)) &&
              kernel.starts_with("0") && tapir.starts_with("EOPNOTSUPP");
     },
     true},
    {"MSG_ZEROCOPY is for streams",
     [](const Op& op, const std::string&, const std::string& tapir) {
       return about(op, SOL_SOCKET, SO_ZEROCOPY) && tapir.starts_with("ENOPROTOOPT");
     }},
    {"What MSG_MORE holds may leave when data comes",
     [](const Op& op, const std::string& kernel, const std::string& tapir) {
       const bool sends = op.call == Call::kSend || op.call == Call::kSendTo ||
                          about(op, SOL_TCP, TCP_CORK) || about(op, SOL_TCP, TCP_NODELAY);
       return sends && kernel.substr(0, kernel.find(' ')) == tapir.substr(0, tapir.find(' ')) &&
              (one_more_unpushed(kernel, tapir) || one_more_unpushed(tapir, kernel));
     },
     true},
    {"The ACK of a FIN leaves at once",
     [](const Op& op, const std::string& kernel, const std::string& tapir) {
       return about(op, SOL_TCP, TCP_INFO) && kernel.find("state=4") != std::string::npos &&
              tapir.find("state=5") != std::string::npos;
     }},
};

}  // namespace

std::span<const Wanted> wanted_differences() { return kWanted; }

const Wanted* wanted(const Op& op, const std::string& kernel, const std::string& tapir) {
  const auto found = std::find_if(std::begin(kWanted), std::end(kWanted),
                                  [&](const Wanted& one) { return one.covers(op, kernel, tapir); });
  return found != std::end(kWanted) ? found : nullptr;
}

}  // namespace tapir::differential
