// SPDX-License-Identifier: Apache-2.0
// Frames as a stack would build them, and a stack's memory, for tests of devices.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "frame/frame_pool.h"
#include "frame/memory_budget.h"
#include "frame/outgoing_frame.h"
#include "link/device.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/tcp_segment.h"
#include "wire/udp.h"

namespace tapir::link {

inline const IpAddress kSrc = IpAddress::v4(10, 0, 0, 1);
inline const IpAddress kDst = IpAddress::v4(10, 0, 0, 2);

inline constexpr Instant at(Duration since) { return Instant(since); }

// What receives frames.
struct Receiver {
  explicit Receiver(std::size_t limit = 64 << 20) : budget(limit), pool(budget) {}
  MemoryBudget budget;
  FramePool pool;

  // All that the device has now.
  std::vector<Frame> receive(Device& device, Instant now) {
    std::vector<Frame> all;
    for (;;) {
      std::array<Frame, 8> batch;
      const std::size_t count = device.receive(batch, pool, now);
      if (count == 0) return all;
      for (std::size_t i = 0; i < count; ++i) all.push_back(std::move(batch[i]));
    }
  }
};

// Payload with a pattern that tells every position.
inline std::vector<std::uint8_t> payload_bytes(std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  return bytes;
}

inline void push_ip_and_ethernet(OutgoingFrame& frame, IpProtocol protocol, LinkType type) {
  wire::Ipv4Header ip;
  ip.total_length = static_cast<std::uint16_t>(frame.size() + 20);
  ip.id = 0xfffe;
  ip.dont_fragment = true;
  ip.protocol = protocol;
  ip.src = kSrc;
  ip.dst = kDst;
  wire::emit_ipv4(ip, frame.push_header(20));
  frame.network_offset = 0;
  if (type == LinkType::kEthernet)
    wire::emit_ethernet({{2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 1}, wire::kEtherTypeIpv4},
                        frame.push_header(14));
}

// A TCP segment whose checksum is left to the device; a super-segment when it is longer than `gso_size`.
// Borrows `payload`, which it cuts into spans of 1,000 bytes.
inline OutgoingFrame tcp_frame(Bytes payload, std::uint16_t flags, std::uint16_t gso_size = 0,
                               LinkType type = LinkType::kEthernet) {
  OutgoingFrame frame;
  wire::TcpSegment segment;
  segment.src_port = 1;
  segment.dst_port = 2;
  segment.seq = SeqNum(0xffffff00);
  segment.flags = flags;
  segment.options.timestamps = wire::TcpTimestamps{1, 2};
  wire::emit_tcp(segment, frame.append_header(wire::tcp_header_length(segment.options, false)));
  frame.transport_offset = 0;
  const std::size_t span = payload.size() / 10 + 1;
  for (Bytes rest = payload; !rest.empty(); rest = rest.subspan(std::min(span, rest.size())))
    frame.add_payload(rest.first(std::min(span, rest.size())));
  store_be<std::uint16_t>(frame.mutable_header(), wire::kTcpChecksumOffset,
                          wire::pseudo_header_sum(kSrc, kDst, IpProtocol::kTcp, frame.size()));
  frame.checksum = {.wanted = true, .start = 0, .offset = wire::kTcpChecksumOffset};
  if (gso_size != 0)
    frame.gso = {.type = GsoType::kTcpV4, .size = gso_size, .ecn = (flags & wire::kCwr) != 0};
  push_ip_and_ethernet(frame, IpProtocol::kTcp, type);
  return frame;
}

inline OutgoingFrame udp_frame(Bytes payload, std::uint16_t gso_size = 0) {
  OutgoingFrame frame;
  const auto length = static_cast<std::uint16_t>(payload.size() + 8);
  wire::emit_udp({.src_port = 5,
                  .dst_port = 6,
                  .length = length,
                  .checksum = wire::pseudo_header_sum(kSrc, kDst, IpProtocol::kUdp, length),
                  .payload = {}},
                 frame.append_header(8));
  frame.transport_offset = 0;
  frame.add_payload(payload);
  frame.checksum = {.wanted = true, .start = 0, .offset = wire::kUdpChecksumOffset};
  if (gso_size != 0) frame.gso = {.type = GsoType::kUdp, .size = gso_size, .ecn = false};
  push_ip_and_ethernet(frame, IpProtocol::kUdp, LinkType::kEthernet);
  return frame;
}

// A frame of `size` bytes that is no IP packet, numbered in its first payload byte.
inline OutgoingFrame numbered_frame(std::uint8_t number, Bytes payload) {
  OutgoingFrame frame;
  wire::emit_ethernet({wire::kBroadcastMac, {2, 0, 0, 0, 0, 1}, 0x88b5}, frame.append_header(14));
  frame.append_header(1)[0] = number;
  frame.add_payload(payload);
  return frame;
}
inline std::uint8_t number_of(const Frame& frame) { return frame.bytes()[14]; }

inline std::vector<std::uint8_t> bytes_of(const OutgoingFrame& frame) {
  std::vector<std::uint8_t> bytes(frame.size());
  frame.copy_to(bytes);
  return bytes;
}

// What an honest TCP segment in an Ethernet frame must hold: both checksums, lengths that agree.
inline bool is_sound_tcp(Bytes frame) {
  const auto ip = wire::parse_ipv4(frame.subspan(14));
  return ip && ip->total_length == frame.size() - 14 &&
         wire::verify_ipv4_checksum(frame.subspan(14, ip->header_length)) &&
         wire::transport_checksum(ip->src, ip->dst, ip->protocol,
                                  frame.subspan(14 + std::size_t{ip->header_length})) == 0;
}
inline wire::TcpSegment tcp_of(Bytes frame) { return *wire::parse_tcp(frame.subspan(34)); }

}  // namespace tapir::link
