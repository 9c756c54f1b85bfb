// SPDX-License-Identifier: Apache-2.0
#include "link/vlan.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "wire/ethernet.h"
#include "wire/vlan.h"

namespace tapir::link {
namespace {

// The two addresses stand before the tag.
constexpr std::size_t kAddresses = 12;

// The tag of `frame`, if it has one.
std::optional<wire::VlanTag> tag_of(const Frame& frame) {
  const auto header = wire::parse_ethernet(frame.bytes());
  if (!header || header->ethertype != wire::kEtherTypeVlan) return std::nullopt;
  return wire::parse_vlan(frame.bytes().subspan(wire::kEthernetHeaderLength));
}

// Hands `batch` to `device` with tags, as many at a time as `staged` holds; how many it took.
std::size_t transmit_tagged(Device& device, std::uint16_t id, std::span<const OutgoingFrame> batch,
                            std::span<OutgoingFrame> staged, Instant now) {
  std::size_t accepted = 0;
  while (accepted < batch.size()) {
    const std::size_t count = std::min(staged.size(), batch.size() - accepted);
    for (std::size_t i = 0; i < count; ++i) {
      OutgoingFrame& out = staged[i];
      out = batch[accepted + i];
      out.push_header(wire::kVlanTagLength);
      const MutableBytes header = out.mutable_header();
      std::memmove(header.data(), header.data() + wire::kVlanTagLength, kAddresses);
      const auto inner_type = load_be<std::uint16_t>(header, kAddresses + wire::kVlanTagLength);
      store_be<std::uint16_t>(header, kAddresses, wire::kEtherTypeVlan);
      wire::emit_vlan({.id = id, .ethertype = inner_type}, header.subspan(wire::kEthernetHeaderLength));
    }
    const std::size_t sent = device.transmit(staged.first(count), now);
    accepted += sent;
    if (sent != count) break;
  }
  return accepted;
}

}  // namespace

void strip_vlan_tag(Frame& frame) {
  const MutableBytes bytes = frame.mutable_bytes();
  std::memmove(bytes.data() + wire::kVlanTagLength, bytes.data(), kAddresses);
  frame.trim_front(wire::kVlanTagLength);
}

VlanDevice::VlanDevice(std::unique_ptr<Device> inner, std::uint16_t id, trace::Counters* counters)
    : inner_(std::move(inner)), id_(id), counters_(counters), staged_(kStaged) {}

std::size_t VlanDevice::transmit(std::span<const OutgoingFrame> batch, Instant now) {
  return transmit_tagged(*inner_, id_, batch, staged_, now);
}

std::size_t VlanPort::transmit(std::span<const OutgoingFrame> batch, Instant now) {
  return transmit_tagged(trunk_, id_, batch, staged_, now);
}

std::size_t VlanDevice::receive(std::span<Frame> batch, FramePool& pool, Instant now) {
  const std::size_t count = inner_->receive(batch, pool, now);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto tag = tag_of(batch[i]);
    if (!tag || tag->id != id_) {
      if (counters_ != nullptr) counters_->drop(trace::DropReason::kVlan);
      batch[i].reset();
      continue;
    }
    strip_vlan_tag(batch[i]);
    if (kept != i) batch[kept] = std::move(batch[i]);
    ++kept;
  }
  return kept;
}

}  // namespace tapir::link
