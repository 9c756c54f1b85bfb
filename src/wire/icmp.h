// SPDX-License-Identifier: Apache-2.0
// ICMP for IPv4 (RFC 792, RFC 1191 §4, RFC 1812 §5.2.7).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "inet/ip_address.h"

namespace tapir::wire {

enum class IcmpType : std::uint8_t {
  kEchoReply = 0,
  kUnreachable = 3,
  kSourceQuench = 4,
  kRedirect = 5,
  kEcho = 8,
  kRouterAdvertisement = 9,
  kRouterSolicitation = 10,
  kTimeExceeded = 11,
  kParameterProblem = 12,
  kTimestamp = 13,
  kTimestampReply = 14,
  kInfoRequest = 15,
  kInfoReply = 16,
  kAddressMask = 17,
  kAddressMaskReply = 18,
};

// Codes of kUnreachable.
inline constexpr std::uint8_t kUnreachableNet = 0;
inline constexpr std::uint8_t kUnreachableHost = 1;
inline constexpr std::uint8_t kUnreachableProtocol = 2;
inline constexpr std::uint8_t kUnreachablePort = 3;
inline constexpr std::uint8_t kUnreachableFragNeeded = 4;
inline constexpr std::uint8_t kUnreachableSourceRoute = 5;
inline constexpr std::uint8_t kUnreachableNetUnknown = 6;
inline constexpr std::uint8_t kUnreachableHostUnknown = 7;
inline constexpr std::uint8_t kUnreachableHostIsolated = 8;
inline constexpr std::uint8_t kUnreachableNetProhibited = 9;
inline constexpr std::uint8_t kUnreachableHostProhibited = 10;
inline constexpr std::uint8_t kUnreachableNetTos = 11;
inline constexpr std::uint8_t kUnreachableHostTos = 12;
inline constexpr std::uint8_t kUnreachableAdminProhibited = 13;
inline constexpr std::uint8_t kUnreachablePrecedence = 14;
inline constexpr std::uint8_t kUnreachablePrecedenceCutoff = 15;
// Codes of kRedirect.
inline constexpr std::uint8_t kRedirectNet = 0;
inline constexpr std::uint8_t kRedirectHost = 1;
// Codes of kTimeExceeded.
inline constexpr std::uint8_t kTimeExceededTtl = 0;
inline constexpr std::uint8_t kTimeExceededReassembly = 1;

inline constexpr std::size_t kIcmpHeaderLength = 8;

// The 8-byte header every type shares, and what follows it. What the second word means depends on the type.
struct IcmpMessage {
  IcmpType type = IcmpType::kEcho;  // as received it may be any value
  std::uint8_t code = 0;
  std::uint16_t checksum = 0;  // as received; emit leaves computing it to seal_icmp
  std::uint32_t rest = 0;      // the second word, host order
  Bytes payload;               // an echo's data, or the packet an error quotes; points into the parsed bytes

  // Echo, timestamp, information, mask.
  std::uint16_t id() const { return static_cast<std::uint16_t>(rest >> 16); }
  std::uint16_t sequence() const { return static_cast<std::uint16_t>(rest); }
  // kUnreachableFragNeeded: the next hop's MTU in bytes; 0 from routers older than RFC 1191.
  std::uint16_t mtu() const { return static_cast<std::uint16_t>(rest); }
  // kRedirect: the better gateway.
  IpAddress gateway() const { return IpAddress::v4(rest); }
  // kParameterProblem: which byte of the quoted packet is wrong.
  std::uint8_t pointer() const { return static_cast<std::uint8_t>(rest >> 24); }

  // Errors quote a packet and are never answered by an error (RFC 1122 §3.2.2).
  bool is_error() const;

  static IcmpMessage echo(bool reply, std::uint16_t id, std::uint16_t sequence);
  static IcmpMessage unreachable(std::uint8_t code, std::uint16_t mtu = 0);
  static IcmpMessage time_exceeded(std::uint8_t code);
  static IcmpMessage parameter_problem(std::uint8_t pointer);
  static IcmpMessage redirect(std::uint8_t code, const IpAddress& gateway);
};

// The message in `bytes` (an IP packet's payload); nothing when it is shorter than 8 bytes. The checksum is
// checked by internet_checksum(bytes) == 0.
std::optional<IcmpMessage> parse_icmp(Bytes bytes);
// Writes the 8-byte header with the checksum left 0, and returns 8. The payload is the caller's to put behind
// it.
std::size_t emit_icmp(const IcmpMessage& message, MutableBytes out);
// Sums `message` (header and payload, contiguous) into its checksum field.
void seal_icmp(MutableBytes message);

}  // namespace tapir::wire
