// SPDX-License-Identifier: Apache-2.0
// packetdrill's notation of a segment, both ways:
//
//   S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8>
//
// It is the one text form of a segment in logs, tests, tools and failure messages.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "wire/tcp_segment.h"

namespace tapir::wire {

// What numbers are written relative to. Zero writes them as on the wire.
struct SegmentTextBases {
  SeqNum seq;                  // the sender's: of seq
  SeqNum ack;                  // the receiver's: of ack and SACK blocks
  std::uint32_t ts_value = 0;  // of TS val
  std::uint32_t ts_echo = 0;   // of TS ecr; an echo of 0 stays 0
};

// The segment in packetdrill's notation, option bytes in their exact order. The window is left out when
// `window` is false.
std::string format_segment(const TcpSegment& segment, const SegmentTextBases& bases = {}, bool window = true);
// "S." and the like; "-" when no flag is set.
std::string format_tcp_flags(std::uint16_t flags);
// "mss 1460,nop,wscale 8" without the angle brackets. An option that has no name is "kind N HEX", bytes that
// are no option at all are "malformed HEX".
std::string format_tcp_options(Bytes option_bytes, const SegmentTextBases& bases = {});

// A segment as written down; numbers are the text's own.
struct SegmentText {
  std::uint16_t flags = 0;
  // A digit 0–7 stood in the flags: all three bits of the AccECN count are meant, zeros too.
  bool has_ace = false;
  std::uint32_t seq = 0;
  std::uint32_t end = 0;     // seq + length, SYN and FIN not counted
  std::uint32_t length = 0;  // bytes of payload
  std::optional<std::uint32_t> ack;
  std::optional<std::uint16_t> window;
  std::optional<std::uint16_t> urgent;
  bool any_options = false;  // `<...>`: not to be checked
  TcpOptionWriter options;   // exact order, as written; no padding added
};

// Errors are one sentence that names what was expected and what was found.
std::expected<SegmentText, std::string> parse_segment_text(std::string_view text);
// Letters F S R P U E W A, '.' for ACK, digits 0–7 for the AccECN count, or '-'. Sets flags and has_ace of
// `out`.
bool parse_tcp_flags(std::string_view text, SegmentText& out);
// The inverse of format_tcp_options: a comma-separated list without the brackets, perhaps empty.
std::expected<TcpOptionWriter, std::string> parse_tcp_option_list(std::string_view text);

}  // namespace tapir::wire
