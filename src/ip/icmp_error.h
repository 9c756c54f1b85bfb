// SPDX-License-Identifier: Apache-2.0
// What an ICMP error of ours shall say.
#pragma once

#include <cstdint>

#include "wire/icmp.h"

namespace tapir::ip {

struct IcmpErrorSpec {
  wire::IcmpType type = wire::IcmpType::kUnreachable;
  std::uint8_t code = 0;
  std::uint32_t rest = 0;  // the header's second word: MTU of 3/4 (low half), pointer of 12/0 (top byte)

  static IcmpErrorSpec port_unreachable() {
    return {wire::IcmpType::kUnreachable, wire::kUnreachablePort, 0};
  }
  static IcmpErrorSpec protocol_unreachable() {
    return {wire::IcmpType::kUnreachable, wire::kUnreachableProtocol, 0};
  }
  static IcmpErrorSpec host_unreachable() {
    return {wire::IcmpType::kUnreachable, wire::kUnreachableHost, 0};
  }
  static IcmpErrorSpec net_unreachable() { return {wire::IcmpType::kUnreachable, wire::kUnreachableNet, 0}; }
  static IcmpErrorSpec fragmentation_needed(std::uint16_t mtu) {
    return {wire::IcmpType::kUnreachable, wire::kUnreachableFragNeeded, mtu};
  }
  static IcmpErrorSpec ttl_exceeded() { return {wire::IcmpType::kTimeExceeded, wire::kTimeExceededTtl, 0}; }
  static IcmpErrorSpec reassembly_time_exceeded() {
    return {wire::IcmpType::kTimeExceeded, wire::kTimeExceededReassembly, 0};
  }
  static IcmpErrorSpec parameter_problem(std::uint8_t pointer) {
    return {wire::IcmpType::kParameterProblem, 0, static_cast<std::uint32_t>(pointer) << 24};
  }
};

}  // namespace tapir::ip
