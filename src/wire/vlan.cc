// SPDX-License-Identifier: Apache-2.0
#include "wire/vlan.h"

namespace tapir::wire {

std::optional<VlanTag> parse_vlan(Bytes bytes) {
  if (bytes.size() < kVlanTagLength) return std::nullopt;
  const auto control = load_be<std::uint16_t>(bytes, 0);
  VlanTag tag;
  tag.priority = static_cast<std::uint8_t>(control >> 13);
  tag.drop_eligible = (control & 0x1000) != 0;
  tag.id = control & 0x0fff;
  tag.ethertype = load_be<std::uint16_t>(bytes, 2);
  return tag;
}

std::size_t emit_vlan(const VlanTag& tag, MutableBytes out) {
  const unsigned control =
      (tag.priority & 7U) << 13 | (tag.drop_eligible ? 0x1000U : 0U) | (tag.id & 0x0fffU);
  store_be<std::uint16_t>(out, 0, static_cast<std::uint16_t>(control));
  store_be<std::uint16_t>(out, 2, tag.ethertype);
  return kVlanTagLength;
}

}  // namespace tapir::wire
