// SPDX-License-Identifier: Apache-2.0
// The IPv4 header (RFC 791 §3.1) and its options.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "inet/ip_address.h"
#include "inet/protocol.h"

namespace tapir::wire {

inline constexpr std::size_t kIpv4HeaderMin = 20;
inline constexpr std::size_t kIpv4HeaderMax = 60;
inline constexpr std::size_t kIpv4PacketMax = 65535;
// More-fragments flag and fragment offset, in the word at byte 6: not zero in a fragment.
inline constexpr std::uint16_t kIpv4FragmentMask = 0x3fff;

struct Ipv4Header {
  std::uint8_t header_length = kIpv4HeaderMin;  // bytes, options included; emit computes it from `options`
  std::uint8_t tos = 0;                         // DSCP and, in its low two bits, ECN
  std::uint16_t total_length =
      0;  // bytes, header included; emitted as 0: a TCP super-segment beyond kIpv4PacketMax
  std::uint16_t id = 0;
  bool reserved_flag = false;  // the "evil bit"; kept so that emit is parse's inverse
  bool dont_fragment = false;
  bool more_fragments = false;
  std::uint16_t fragment_offset = 0;  // bytes, a multiple of 8, ≤ 65528
  std::uint8_t ttl = 64;
  IpProtocol protocol = IpProtocol::kTcp;  // as received it may be any value
  std::uint16_t checksum = 0;              // as received; emit computes its own
  IpAddress src;
  IpAddress dst;
  Bytes options;  // raw, padding included; points into the parsed bytes

  Ecn ecn() const { return static_cast<Ecn>(tos & 3); }
  bool is_fragment() const { return more_fragments || fragment_offset != 0; }
  // Bytes after the header; parse has checked that total_length covers the header.
  std::size_t payload_length() const { return static_cast<std::size_t>(total_length) - header_length; }
};

// The header at the front of `packet`. Nothing when it is no whole IPv4 header: version, IHL < 5, IHL past
// the end, or a total length below the header's. Whether `packet` holds total_length bytes is the caller's
// question (a quoted header in an ICMP error does not), and so is the checksum.
std::optional<Ipv4Header> parse_ipv4(Bytes packet);
// True when the header's checksum holds; `header` is exactly the header_length bytes.
bool verify_ipv4_checksum(Bytes header);
// Writes the header with options (padded with end-of-list to a multiple of 4) and its checksum; returns its
// length.
std::size_t emit_ipv4(const Ipv4Header& header, MutableBytes out);
// The length emit_ipv4 will return.
std::size_t ipv4_header_length(const Ipv4Header& header);

// Recomputes the checksum of the header at the front of `header` (exactly header_length bytes) in place.
void refresh_ipv4_checksum(MutableBytes header);

// Kinds of options (RFC 791 §3.1, RFC 2113): copy flag, class and number in one byte.
enum class Ipv4OptionKind : std::uint8_t {
  kEnd = 0,
  kNop = 1,
  kRecordRoute = 7,
  kTimestamp = 68,
  kSecurity = 130,
  kLooseSourceRoute = 131,
  kStreamId = 136,
  kStrictSourceRoute = 137,
  kRouterAlert = 148,
};

struct Ipv4Option {
  Ipv4OptionKind kind = Ipv4OptionKind::kNop;
  Bytes data;              // after kind and length; empty for kNop
  std::size_t offset = 0;  // of the kind, from the first option byte
};

// Walks options, at least a byte a step, never past the end; ends at kEnd. When a length is wrong it ends
// with malformed() set, and error_offset() says which byte of the options an ICMP parameter problem shall
// point to.
class Ipv4OptionReader {
 public:
  explicit Ipv4OptionReader(Bytes options) : options_(options) {}
  std::optional<Ipv4Option> next();
  bool malformed() const { return malformed_; }
  std::size_t error_offset() const { return at_; }

 private:
  Bytes options_;
  std::size_t at_ = 0;
  bool malformed_ = false;
};

}  // namespace tapir::wire
