// SPDX-License-Identifier: Apache-2.0
// One captured frame as a line: addresses, then packetdrill's notation of what it carries.
//
//   10.0.0.2:40372 > 10.0.0.1:7 S 0:0(0) win 64240 <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>
//   10.0.0.2 > 10.0.0.1 icmp echo_request id 4 seq 1 (56)
//   arp who-has 10.0.0.1 tell 10.0.0.2
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "base/bytes.h"
#include "base/seq_num.h"
#include "inet/endpoint.h"
#include "link/device.h"

namespace tapir::cli {

// Remembers where each flow's sequence numbers began, so that they can be told from 0.
class PacketText {
 public:
  // `frame` may be cut behind the headers, but must then be filled up to its length.
  std::string line(Bytes frame, link::LinkType type);

 private:
  // Flows remembered; then all are forgotten, and numbers begin where they next are seen.
  static constexpr std::size_t kFlowsMax = 65536;

  std::string ip_line(Bytes packet);
  std::string tcp_text(const Endpoint& from, const Endpoint& to, Bytes segment);

  // Sender's address and port, receiver's address and port.
  using Direction = std::tuple<IpAddress, std::uint16_t, IpAddress, std::uint16_t>;
  static Direction direction(const Endpoint& from, const Endpoint& to) {
    return {from.address, from.port, to.address, to.port};
  }

  std::map<Direction, SeqNum> first_;  // what is told as 0
};

}  // namespace tapir::cli
