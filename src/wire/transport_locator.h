// SPDX-License-Identifier: Apache-2.0
// Where the headers of a frame begin: what offloads need to know of a frame that they did not build.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "inet/protocol.h"

namespace tapir::wire {

// Offsets count from the frame's first byte; all of them, and the transport header's fixed part, lie inside
// the frame.
struct TransportLocation {
  std::size_t network = 0;    // the IP header
  std::size_t transport = 0;  // the TCP or UDP header
  std::size_t payload = 0;    // behind the transport header
  std::size_t end = 0;        // one past the IP packet's last byte; what follows is link padding
  bool v4 = true;
  IpProtocol protocol = IpProtocol::kTcp;  // kTcp or kUdp
  // Where in the frame the transport checksum stands.
  std::size_t checksum_field() const;
};

// Finds the TCP or UDP header of the frame, whose first `network_offset` bytes are its link header (14 for
// Ethernet, 0 for bare IP). VLAN tags are looked through; IPv6 extension headers are not. Nothing for other
// packets, for fragments, and where a length is wrong or something is cut off.
std::optional<TransportLocation> locate_transport(Bytes frame, std::size_t network_offset);

}  // namespace tapir::wire
