// SPDX-License-Identifier: Apache-2.0
// The UDP header (RFC 768).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace tapir::wire {

inline constexpr std::size_t kUdpHeaderLength = 8;
inline constexpr std::size_t kUdpChecksumOffset = 6;

struct UdpDatagram {
  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  std::uint16_t length = 0;    // bytes, header included
  std::uint16_t checksum = 0;  // 0 = the sender computed none (IPv4 only)
  Bytes payload;               // `length` − 8 bytes; points into the parsed bytes
};

// The datagram in `bytes` (an IP packet's payload; what lies behind `length` is ignored). Nothing when length
// is below 8 or beyond the bytes.
std::optional<UdpDatagram> parse_udp(Bytes bytes);
// Writes the 8-byte header, `length` and `checksum` as they stand in it, and returns 8.
std::size_t emit_udp(const UdpDatagram& datagram, MutableBytes out);

// What to store for a computed sum: 0 is sent as 0xffff, because 0 means "none" (RFC 768).
constexpr std::uint16_t udp_checksum_on_wire(std::uint16_t computed) {
  return computed == 0 ? std::uint16_t{0xffff} : computed;
}

}  // namespace tapir::wire
