// SPDX-License-Identifier: Apache-2.0
#include "wire/tcp_segment.h"

#include <algorithm>

namespace tapir::wire {

namespace {

// All but the options; `header_length` with them.
void emit_fixed(const TcpSegment& segment, std::size_t header_length, MutableBytes out) {
  store_be<std::uint16_t>(out, 0, segment.src_port);
  store_be<std::uint16_t>(out, 2, segment.dst_port);
  store_be<std::uint32_t>(out, kTcpSeqOffset, segment.seq.value());
  store_be<std::uint32_t>(out, kTcpAckOffset, segment.ack.value());
  const unsigned word = static_cast<unsigned>(header_length / 4) << 12 | (segment.reserved & 7U) << 9 |
                        (segment.flags & 0x1ffU);
  store_be<std::uint16_t>(out, kTcpDataOffsetOffset, static_cast<std::uint16_t>(word));
  store_be<std::uint16_t>(out, kTcpWindowOffset, segment.window);
  store_be<std::uint16_t>(out, kTcpChecksumOffset, 0);
  store_be<std::uint16_t>(out, kTcpUrgentOffset, segment.urgent);
}

}  // namespace

std::optional<TcpSegment> parse_tcp(Bytes bytes) {
  if (bytes.size() < kTcpHeaderMin) return std::nullopt;
  const auto word = load_be<std::uint16_t>(bytes, kTcpDataOffsetOffset);
  const std::size_t header_length = static_cast<std::size_t>(word >> 12) * 4;
  if (header_length < kTcpHeaderMin || header_length > bytes.size()) return std::nullopt;
  TcpSegment segment;
  segment.src_port = load_be<std::uint16_t>(bytes, 0);
  segment.dst_port = load_be<std::uint16_t>(bytes, 2);
  segment.seq = SeqNum(load_be<std::uint32_t>(bytes, kTcpSeqOffset));
  segment.ack = SeqNum(load_be<std::uint32_t>(bytes, kTcpAckOffset));
  segment.flags = word & 0x1ff;
  segment.reserved = static_cast<std::uint8_t>(word >> 9 & 7);
  segment.header_length = static_cast<std::uint8_t>(header_length);
  segment.window = load_be<std::uint16_t>(bytes, kTcpWindowOffset);
  segment.checksum = load_be<std::uint16_t>(bytes, kTcpChecksumOffset);
  segment.urgent = load_be<std::uint16_t>(bytes, kTcpUrgentOffset);
  segment.option_bytes = bytes.subspan(kTcpHeaderMin, header_length - kTcpHeaderMin);
  if (!segment.option_bytes.empty())
    segment.options = parse_tcp_options(segment.option_bytes, segment.has(kSyn));
  segment.payload = bytes.subspan(header_length);
  return segment;
}

std::size_t emit_tcp(const TcpSegment& segment, MutableBytes out) {
  TAPIR_INVARIANT(out.size() >= kTcpHeaderMin, "a TCP header fits");
  const std::size_t length =
      kTcpHeaderMin + emit_tcp_options(segment.options, segment.has(kSyn), out.subspan(kTcpHeaderMin));
  emit_fixed(segment, length, out);
  return length;
}

std::size_t emit_tcp_raw(const TcpSegment& segment, Bytes option_bytes, MutableBytes out) {
  const std::size_t length = kTcpHeaderMin + (option_bytes.size() + 3) / 4 * 4;
  TAPIR_INVARIANT(length <= kTcpHeaderMax && length <= out.size(), "a TCP header fits");
  const auto options = out.subspan(kTcpHeaderMin, length - kTcpHeaderMin);
  std::fill(std::copy(option_bytes.begin(), option_bytes.end(), options.begin()), options.end(),
            kTcpOptionEol);
  emit_fixed(segment, length, out);
  return length;
}

}  // namespace tapir::wire
