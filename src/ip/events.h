// SPDX-License-Identifier: Apache-2.0
// What ip/ reports to a Probe. Addresses are words of their IPv4 bits, or of the last 64 bits of an IPv6
// address.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "inet/ip_address.h"
#include "trace/record.h"

namespace tapir::ip {

// The subject is the interface.
enum class Event : std::uint16_t {
  kReceived = static_cast<std::uint16_t>(
      trace::EventBase::kIp),  // words: source, destination, protocol, payload bytes
  kDropped,                    // words: DropReason, source, destination
  kFragmentHeld,               // words: source, destination, id, offset
  kReassembled,                // words: source, destination, id, payload bytes
  kIcmpReceived,               // words: source, type, code
  kIcmpSent,                   // words: destination, type, code
  kNeighborState,              // words: address, NeighborState before, NeighborState after
  kArpSent,                    // words: target address, ArpOperation
  kArpReceived,                // words: sender address, ArpOperation
};

// An address in a trace word.
inline std::uint64_t trace_word(const IpAddress& address) {
  return address.is_v4() ? address.v4_bits() : load_be<std::uint64_t>(address.bytes(), 8);
}

}  // namespace tapir::ip
