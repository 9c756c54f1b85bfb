// SPDX-License-Identifier: Apache-2.0
// Supplies in software what a device lacks, so that nothing above link/ needs to know what a device can do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "link/device.h"
#include "link/segmenter.h"

namespace tapir::link {

// Segments that a super-segment is split to in software at most. 64 KB at an MTU of 1500 are 45; room() has
// to keep this many places free for each frame, so a larger number would idle a queue of usual length.
inline constexpr std::uint16_t kSoftwareSegmentsMax = 64;
// Frames handed to the inner device at once.
inline constexpr std::size_t kOffloadBatch = 16;

// Completes checksums and splits TCP and UDP super-segments where the inner device does not. Offers
// super-segments of 64 KB above it always.
class Offload final : public Device {
 public:
  explicit Offload(std::unique_ptr<Device> inner);

  std::uint32_t mtu() const override { return inner_->mtu(); }
  MacAddress mac() const override { return inner_->mac(); }
  LinkType link_type() const override { return inner_->link_type(); }
  Offloads offloads() const override;
  // The inner device's, as if every frame became the most segments it may.
  std::size_t room() const override;
  std::size_t transmit(std::span<const OutgoingFrame> batch, Instant now) override;
  std::size_t receive(std::span<Frame> batch, FramePool& pool, Instant now) override {
    return inner_->receive(batch, pool, now);
  }
  Instant next_timeout() const override { return inner_->next_timeout(); }
  int wait_descriptor() const override { return inner_->wait_descriptor(); }

  Device& inner() { return *inner_; }
  // Frames and segments that the inner device refused after room() promised them, or whose headers made no
  // sense.
  std::uint64_t lost() const { return lost_; }

 private:
  bool splits(const OutgoingFrame& frame) const;
  bool sums(const OutgoingFrame& frame) const { return frame.checksum.wanted && !granted_.tx_checksum; }
  // Takes one frame; false when the inner device has not the room now.
  bool take(const OutgoingFrame& frame, Instant now);
  bool take_super(const OutgoingFrame& frame, Instant now);
  void flush(Instant now);

  std::unique_ptr<Device> inner_;
  Offloads granted_;                   // the inner device's, asked once
  std::uint16_t segments_max_;         // a super-segment becomes at most so many frames of the inner device
  std::vector<OutgoingFrame> staged_;  // built, not yet handed on; sized once
  std::size_t staged_count_ = 0;
  std::size_t inner_room_ = 0;  // during transmit(): places not yet spoken for
  std::uint64_t lost_ = 0;
};

}  // namespace tapir::link
