// SPDX-License-Identifier: Apache-2.0
// Cutting an IPv4 packet to fragments (RFC 791 §3.2), without copying its payload.
#pragma once

#include <array>
#include <cstdint>

#include "frame/outgoing_frame.h"
#include "wire/ipv4.h"

namespace tapir::ip {

// Cuts `packet` (its IP header at network_offset, which must be 0: no link header yet) to fragments of at
// most `mtu` bytes of IP packet. A fragment cut again keeps its offset and its "more fragments". `packet`
// must live, unchanged, as long as the fragments do. Options without the copy flag stay in the first only,
// NOPs in their place (Linux's ip_options_fragment).
class Fragmenter {
 public:
  Fragmenter(const OutgoingFrame& packet, std::uint32_t mtu);
  // Writes the next fragment, in order, to `out` (cleared first); false when there are no more. False at once
  // when `mtu` leaves no room for eight bytes of payload.
  bool next(OutgoingFrame& out);

 private:
  const OutgoingFrame& packet_;
  wire::Ipv4Header header_;
  std::array<std::uint8_t, 40> later_options_{};  // what fragments but the first carry
  std::uint32_t payload_size_ = 0;
  std::uint32_t step_ = 0;  // payload bytes of each fragment but the last; 0 = cannot be cut
  std::uint32_t at_ = 0;
};

}  // namespace tapir::ip
