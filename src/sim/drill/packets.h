// SPDX-License-Identifier: Apache-2.0
// Packets of a script against packets of the stack: build what is injected, read what was sent, compare.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "sim/drill/ast.h"
#include "sim/drill/connection.h"
#include "sim/drill/settings.h"

namespace tapir::sim::drill {

// One IP packet that the stack sent.
struct SentPacket {
  Instant at{};
  std::uint64_t order = 0;          // among all packets of the script, both ways
  std::vector<std::uint8_t> bytes;  // from the IP header on, checksums complete
  std::uint16_t segment_size = 0;   // of a super-segment: payload bytes of each part but the last; else 0
};

// A sent segment in the script's number spaces.
struct SeenSegment {
  Instant at{};
  std::uint64_t order = 0;
  std::uint8_t tos = 0;
  std::uint8_t ttl = 0;
  FourTuple tuple;  // ours first
  std::uint16_t flags = 0;
  std::uint8_t reserved = 0;
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
  std::uint16_t window = 0;
  std::uint16_t urgent = 0;
  wire::TcpOptionWriter options;
  std::uint32_t length = 0;  // bytes of payload
  bool zero_payload = true;
  std::uint16_t segment_size = 0;  // as SentPacket's
  std::string malformed;           // what is wrong with the bytes themselves, if anything
};

// A TCP segment (wire numbers) as the stack shall get it, checksums right, payload zeros; or what cannot be
// mapped.
std::expected<std::vector<std::uint8_t>, std::string> build_segment(const TcpSpec& spec, const IpSpec& ip,
                                                                    const Connection& connection,
                                                                    const Settings& settings);
// An ICMP error from the remote side about a segment of `connection`.
std::vector<std::uint8_t> build_icmp(const IcmpSpec& spec, const Connection& connection,
                                     const Settings& settings);
// The RST that ends a connection at the script's end.
std::vector<std::uint8_t> build_reset(const Connection& connection);

// Reads a sent packet; numbers stay those of the wire. Nothing when it is no TCP over IPv4.
// A digest that --tcp_md5_secret makes is shown as kValidDigest.
std::optional<SeenSegment> read_segment(const SentPacket& packet, const Settings& settings);
// The same in the script's number spaces.
SeenSegment to_script(SeenSegment segment, const Connection& connection);

// Cuts the first `bytes` of payload off a super-segment, as segmentation would: PSH and FIN stay with the
// rest, CWR with the first part.
SeenSegment take_front(SeenSegment& segment, std::uint32_t bytes);
// Appends `next` if it continues `segment` as a later part of the same data: sequence, flags, options and
// ports agree.
bool merge(SeenSegment& segment, const SeenSegment& next);

// The first difference between what the script expects and what came, in words; nothing when there is none.
// Values of timestamps are not compared, only that the option is there.
std::optional<std::string> difference(const TcpSpec& expected, const IpSpec& ip, const SeenSegment& seen);

// Where in a raw option list the value of the timestamps option is; its echo is 4 bytes further.
std::optional<std::size_t> timestamp_at(Bytes options);

// packetdrill's notation.
std::string to_text(const TcpSpec& spec, const IpSpec& ip = {});
std::string to_text(const IcmpSpec& spec);
std::string to_text(const SeenSegment& seen, bool with_window = true);

}  // namespace tapir::sim::drill
