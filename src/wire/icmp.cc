// SPDX-License-Identifier: Apache-2.0
#include "wire/icmp.h"

#include "wire/checksum.h"

namespace tapir::wire {

bool IcmpMessage::is_error() const {
  switch (type) {
    case IcmpType::kUnreachable:
    case IcmpType::kSourceQuench:
    case IcmpType::kRedirect:
    case IcmpType::kTimeExceeded:
    case IcmpType::kParameterProblem:
      return true;
    default:
      return false;
  }
}

IcmpMessage IcmpMessage::echo(bool reply, std::uint16_t id, std::uint16_t sequence) {
  return {.type = reply ? IcmpType::kEchoReply : IcmpType::kEcho,
          .code = 0,
          .checksum = 0,
          .rest = static_cast<std::uint32_t>(id) << 16 | sequence,
          .payload = {}};
}
IcmpMessage IcmpMessage::unreachable(std::uint8_t code, std::uint16_t mtu) {
  return {.type = IcmpType::kUnreachable, .code = code, .checksum = 0, .rest = mtu, .payload = {}};
}
IcmpMessage IcmpMessage::time_exceeded(std::uint8_t code) {
  return {.type = IcmpType::kTimeExceeded, .code = code, .checksum = 0, .rest = 0, .payload = {}};
}
IcmpMessage IcmpMessage::parameter_problem(std::uint8_t pointer) {
  return {.type = IcmpType::kParameterProblem,
          .code = 0,
          .checksum = 0,
          .rest = static_cast<std::uint32_t>(pointer) << 24,
          .payload = {}};
}
IcmpMessage IcmpMessage::redirect(std::uint8_t code, const IpAddress& gateway) {
  return {.type = IcmpType::kRedirect, .code = code, .checksum = 0, .rest = gateway.v4_bits(), .payload = {}};
}

std::optional<IcmpMessage> parse_icmp(Bytes bytes) {
  if (bytes.size() < kIcmpHeaderLength) return std::nullopt;
  return IcmpMessage{.type = static_cast<IcmpType>(bytes[0]),
                     .code = bytes[1],
                     .checksum = load_be<std::uint16_t>(bytes, 2),
                     .rest = load_be<std::uint32_t>(bytes, 4),
                     .payload = bytes.subspan(kIcmpHeaderLength)};
}

std::size_t emit_icmp(const IcmpMessage& message, MutableBytes out) {
  TAPIR_INVARIANT(out.size() >= kIcmpHeaderLength, "an ICMP header fits");
  out[0] = static_cast<std::uint8_t>(message.type);
  out[1] = message.code;
  store_be<std::uint16_t>(out, 2, 0);
  store_be<std::uint32_t>(out, 4, message.rest);
  return kIcmpHeaderLength;
}

void seal_icmp(MutableBytes message) {
  store_be<std::uint16_t>(message, 2, 0);
  store_be<std::uint16_t>(message, 2, internet_checksum(message));
}

}  // namespace tapir::wire
