// SPDX-License-Identifier: Apache-2.0
#include "observe/segment.h"

#include <fmt/format.h>

#include <array>

namespace tapir::observe {

SegmentParts segment_parts(const tcp::SegmentWords& words, const wire::SegmentTextBases& bases) {
  const wire::TcpSegment segment = tcp::unpack_segment(words);
  const std::uint32_t length = tcp::payload_bytes(words);
  const std::uint32_t begin = segment.seq - bases.seq;
  SegmentParts parts;
  parts.head =
      fmt::format("{} {}:{}({})", wire::format_tcp_flags(segment.flags), begin, begin + length, length);
  if (segment.has(wire::kAck)) parts.head += fmt::format(" ack {}", std::uint32_t{segment.ack - bases.ack});
  parts.head += fmt::format(" win {}", segment.window);

  std::array<std::uint8_t, wire::kTcpOptionBytesMax> bytes{};
  const std::size_t size = wire::emit_tcp_options(segment.options, segment.has(wire::kSyn), bytes);
  std::string options = wire::format_tcp_options({bytes.data(), size}, bases);
  if (const unsigned blocks = sack_blocks(words); blocks != 0)
    options += fmt::format("{}sack {} block{}", options.empty() ? "" : ",", blocks, blocks == 1 ? "" : "s");
  if (!options.empty()) parts.options = '<' + options + '>';
  return parts;
}

}  // namespace tapir::observe
