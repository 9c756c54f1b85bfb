// SPDX-License-Identifier: Apache-2.0
// The TCP header (RFC 9293 §3.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/seq_num.h"
#include "wire/tcp_options.h"

namespace tapir::wire {

// Control bits; kAe is the ninth (RFC 9768, once NS).
enum TcpFlag : std::uint16_t {
  kFin = 0x001,
  kSyn = 0x002,
  kRst = 0x004,
  kPsh = 0x008,
  kAck = 0x010,
  kUrg = 0x020,
  kEce = 0x040,
  kCwr = 0x080,
  kAe = 0x100,
};

inline constexpr std::size_t kTcpHeaderMin = 20;
inline constexpr std::size_t kTcpHeaderMax = 60;
// Offsets that offloads and in-place changes need.
inline constexpr std::size_t kTcpSeqOffset = 4;
inline constexpr std::size_t kTcpAckOffset = 8;
inline constexpr std::size_t kTcpDataOffsetOffset = 12;
inline constexpr std::size_t kTcpFlagsOffset = 13;  // the low eight; kAe is the last bit of the byte before
inline constexpr std::size_t kTcpWindowOffset = 14;
inline constexpr std::size_t kTcpChecksumOffset = 16;
inline constexpr std::size_t kTcpUrgentOffset = 18;

struct TcpSegment {
  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  SeqNum seq;
  SeqNum ack;                                  // has a meaning with kAck only
  std::uint16_t flags = 0;                     // of TcpFlag
  std::uint16_t window = 0;                    // as on the wire, not scaled
  std::uint16_t checksum = 0;                  // as received; emit leaves it 0
  std::uint16_t urgent = 0;                    // has a meaning with kUrg only
  std::uint8_t header_length = kTcpHeaderMin;  // bytes, as received; emit computes its own
  std::uint8_t reserved = 0;                   // the three bits between data offset and kAe
  TcpOptions options;
  Bytes option_bytes;  // raw, as received; points into the parsed bytes
  Bytes payload;       // points into the parsed bytes

  bool has(TcpFlag flag) const { return (flags & flag) != 0; }
  // What the segment takes of sequence space: payload, SYN and FIN (RFC 9293's SEG.LEN).
  std::uint32_t sequence_length() const {
    return static_cast<std::uint32_t>(payload.size()) + (has(kSyn) ? 1U : 0U) + (has(kFin) ? 1U : 0U);
  }
  // One past the last sequence number it takes.
  SeqNum end() const { return seq + sequence_length(); }
};

// The segment in `bytes` (exactly an IP packet's payload). Nothing when shorter than 20 bytes, or when the
// data offset is below 5 or beyond the bytes. Options that cannot be read leave the segment valid, as in
// Linux.
std::optional<TcpSegment> parse_tcp(Bytes bytes);

// The header's length with `options` as emit_tcp writes them.
inline std::size_t tcp_header_length(const TcpOptions& options, bool syn) {
  return kTcpHeaderMin + tcp_options_length(options, syn);
}

// Writes the header with `segment.options` in Linux's order, checksum 0, and returns its length. The payload
// is the caller's to put behind it.
std::size_t emit_tcp(const TcpSegment& segment, MutableBytes out);
// The same with raw option bytes (≤ 40) in place of segment.options, padded with end-of-list to a multiple
// of 4.
std::size_t emit_tcp_raw(const TcpSegment& segment, Bytes option_bytes, MutableBytes out);

}  // namespace tapir::wire
