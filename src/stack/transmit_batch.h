// SPDX-License-Identifier: Apache-2.0
// Frames on their way to one device, handed over together.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "frame/frame.h"
#include "frame/outgoing_frame.h"
#include "inet/protocol.h"

namespace tapir::stack {

// slot() gives a frame to build in; commit() appends it. What is committed goes to one interface: whoever
// owns the batch hands it over and clears it before committing for another. A slot that is not committed is
// simply used again.
class TransmitBatch {
 public:
  // Frames per call of Device::transmit(). Linux's drivers ring their doorbell as rarely (netdev_xmit_more).
  static constexpr std::size_t kFramesMax = 32;

  TransmitBatch() : frames_(std::make_unique<std::array<OutgoingFrame, kFramesMax + 1>>()) {}

  bool empty() const { return count_ == 0; }
  bool full() const { return count_ == kFramesMax; }
  std::size_t size() const { return count_; }
  InterfaceId interface() const { return interface_; }
  // Some committed frame points into memory that the next frame in, or the next call, may free.
  bool borrows() const { return borrows_; }

  // The frame to build next; its content is undefined. One more than kFramesMax exists, so that there always
  // is one.
  OutgoingFrame& slot() { return (*frames_)[count_]; }
  // Appends the slot. `kept` owns the bytes its payload points into; empty when they are somebody else's.
  void commit(InterfaceId interface, Frame kept);
  std::span<const OutgoingFrame> frames() const { return {frames_->data(), count_}; }
  // Forgets what was committed; the slot, if one was being built, becomes the first.
  void clear();

 private:
  std::unique_ptr<std::array<OutgoingFrame, kFramesMax + 1>> frames_;
  std::array<Frame, kFramesMax> kept_;
  std::size_t count_ = 0;
  InterfaceId interface_ = kNoInterface;
  bool borrows_ = false;
};

}  // namespace tapir::stack
