// SPDX-License-Identifier: Apache-2.0
// The 802.1Q tag: the 4 bytes that follow an Ethernet header whose type is kEtherTypeVlan.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace tapir::wire {

inline constexpr std::size_t kVlanTagLength = 4;

struct VlanTag {
  std::uint8_t priority = 0;    // PCP, 0–7
  bool drop_eligible = false;   // DEI
  std::uint16_t id = 0;         // VLAN, 0–4095; 0 = priority only
  std::uint16_t ethertype = 0;  // of what follows
  friend bool operator==(const VlanTag&, const VlanTag&) = default;
};

// The tag at the front of `bytes` (what follows the Ethernet header); nothing when there are fewer than 4
// bytes.
std::optional<VlanTag> parse_vlan(Bytes bytes);
// Writes 4 bytes and returns 4. Bits of `priority` and `id` beyond their fields are cut off.
std::size_t emit_vlan(const VlanTag& tag, MutableBytes out);

}  // namespace tapir::wire
