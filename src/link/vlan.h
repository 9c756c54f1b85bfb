// SPDX-License-Identifier: Apache-2.0
// One VLAN of an Ethernet link (IEEE 802.1Q): what is sent gets its tag, what arrives with it loses it, all
// else is somebody else's.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "link/device.h"
#include "trace/counters.h"

namespace tapir::link {

class VlanDevice final : public Device {
 public:
  // `id`: 1 to 4094. `inner` is an Ethernet device. `counters`: where frames of other VLANs are counted
  // (kVlan); null: nowhere.
  VlanDevice(std::unique_ptr<Device> inner, std::uint16_t id, trace::Counters* counters);

  std::uint32_t mtu() const override { return inner_->mtu(); }
  MacAddress mac() const override { return inner_->mac(); }
  // What the inner device does it does behind a tag too (virtio's offsets count from the frame's front).
  Offloads offloads() const override { return inner_->offloads(); }
  std::size_t room() const override { return inner_->room(); }
  std::size_t transmit(std::span<const OutgoingFrame> batch, Instant now) override;
  std::size_t receive(std::span<Frame> batch, FramePool& pool, Instant now) override;
  Instant next_timeout() const override { return inner_->next_timeout(); }
  int wait_descriptor() const override { return inner_->wait_descriptor(); }

 private:
  static constexpr std::size_t kStaged = 32;  // frames tagged at a time

  std::unique_ptr<Device> inner_;
  std::uint16_t id_;
  trace::Counters* counters_;
  std::vector<OutgoingFrame> staged_;
};

// One of several VLANs of a link whose device is somebody else's: what is sent gets its tag and leaves by
// that device. What arrives is the owner's to sort out, by the tag.
class VlanPort final : public Device {
 public:
  // `id`: 1 to 4094. `trunk` is an Ethernet device that does in software what it lacks (link/offload), and
  // outlives this.
  VlanPort(Device& trunk, std::uint16_t id) : trunk_(trunk), id_(id), staged_(kStaged) {}

  std::uint32_t mtu() const override { return trunk_.mtu(); }
  MacAddress mac() const override { return trunk_.mac(); }
  Offloads offloads() const override { return trunk_.offloads(); }
  std::size_t room() const override { return trunk_.room(); }
  std::size_t transmit(std::span<const OutgoingFrame> batch, Instant now) override;
  std::size_t receive(std::span<Frame>, FramePool&, Instant) override { return 0; }
  std::uint16_t id() const { return id_; }

 private:
  static constexpr std::size_t kStaged = 32;  // frames tagged at a time

  Device& trunk_;
  std::uint16_t id_;
  std::vector<OutgoingFrame> staged_;
};

// Takes the tag out of a tagged frame; it begins with an Ethernet header of its inner type then.
void strip_vlan_tag(Frame& frame);

}  // namespace tapir::link
