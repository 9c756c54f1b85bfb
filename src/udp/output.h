// SPDX-License-Identifier: Apache-2.0
// Building a UDP datagram to send.
#pragma once

#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "frame/outgoing_frame.h"
#include "inet/endpoint.h"
#include "trace/counters.h"

namespace tapir::udp {

struct SendOptions {
  bool checksum = true;            // false: SO_NO_CHECK (IPv4 only)
  std::uint16_t segment_size = 0;  // UDP_SEGMENT: payload bytes of each datagram; 0 = one datagram
  Ecn ecn = Ecn::kNotEct;
};

enum class SendVerdict : std::uint8_t {
  kBuilt,
  kTooLong,       // more than kPayloadMax bytes, or than kSegmentsMax segments (EMSGSIZE)
  kTooManySpans,  // more pieces than an OutgoingFrame holds: join them first
};

// Writes the header (and points at `payload`, which must live as long as `out` is used) to `out`, cleared
// first. The checksum is left as a ChecksumRequest whose pseudo-header ip/output adds. Counts
// UdpOutDatagrams.
SendVerdict build_datagram(OutgoingFrame& out, const FourTuple& tuple, std::span<const Bytes> payload,
                           const SendOptions& options, trace::Counters& counters);

}  // namespace tapir::udp
