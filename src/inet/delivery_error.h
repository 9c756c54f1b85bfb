// SPDX-License-Identifier: Apache-2.0
// "What you sent did not arrive": what ip/ reports of an ICMP error, a failed neighbour, or a datagram too
// big to send.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/seq_num.h"
#include "inet/endpoint.h"
#include "inet/protocol.h"

namespace tapir::inline inet {

enum class DeliveryErrorKind : std::uint8_t {
  kNetUnreachable,       // ICMP 3/0, 3/6, 3/11
  kHostUnreachable,      // ICMP 3/1, 3/5, 3/7, 3/8, 3/12 … or no neighbour answered
  kProtocolUnreachable,  // ICMP 3/2
  kPortUnreachable,      // ICMP 3/3
  kFragmentationNeeded,  // ICMP 3/4; `mtu` says what fits
  kSourceRouteFailed,    // ICMP 3/5
  kAdminProhibited,      // ICMP 3/9, 3/10, 3/13
  kTimeExceeded,         // ICMP 11
  kParameterProblem,     // ICMP 12
};

// "port unreachable": for traces and logs.
std::string_view to_string(DeliveryErrorKind kind);

struct DeliveryError {
  DeliveryErrorKind kind = DeliveryErrorKind::kHostUnreachable;
  std::uint8_t icmp_type = 0;  // as received; 0 with icmp_code 0 and from_icmp false when local
  std::uint8_t icmp_code = 0;
  bool from_icmp = false;  // false: found out by ourselves (ARP failure, local MTU)
  IpAddress reporter;      // who said so
  std::uint32_t mtu = 0;   // bytes of IP packet, for kFragmentationNeeded
  IpProtocol protocol = IpProtocol::kTcp;
  FourTuple quoted;  // of the packet that failed, our side is `local`; ports 0 where the protocol has none
                     // (an echo's identifier is its local port)
  Bytes packet;      // what is quoted, from its IP header on; valid during the call that tells of the error
  Bytes payload;     // and of that, what is behind the IP header, of UDP behind its header too
  std::optional<SeqNum> quoted_seq;  // TCP: the sequence number of that segment
};

}  // namespace tapir::inline inet
