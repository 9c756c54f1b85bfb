// SPDX-License-Identifier: Apache-2.0
// A bad network in front of a device: loss, bursts, delay, jitter, a rate, reordering, duplicates,
// corruption, an MTU hole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/rng.h"
#include "frame/frame_pool.h"
#include "frame/memory_budget.h"
#include "link/device.h"
#include "link/impair_config.h"
#include "link/offload.h"

namespace tapir::link {

// Bytes of buffers that the frames in both directions may take. Beyond it a frame is lost as at a full queue;
// without it a limit counted in frames would admit 6 GB of the largest.
inline constexpr std::size_t kImpairBytesMax = 256 << 20;
// Frames that pass without delay may come many at once, for they are split; they have places beside the
// limit.
inline constexpr std::size_t kImpairPassingMax = 4096;
// How long frames that are due wait when the inner device has no room, or the receiver no memory.
inline constexpr Duration kImpairRetry = 1ms;

// What happened to the frames of one direction; frames are counted after super-segments have been split.
struct ImpairStats {
  std::uint64_t seen = 0;
  std::uint64_t lost = 0;        // by loss and bursts
  std::uint64_t over_mtu = 0;    // gone in the black hole
  std::uint64_t over_limit = 0;  // the queue, or memory, was full
  std::uint64_t malformed = 0;   // a super-segment or partial checksum that its headers do not bear out
  std::uint64_t duplicated = 0;
  std::uint64_t corrupted = 0;
  std::uint64_t truncated = 0;
  std::uint64_t reordered = 0;
  std::uint64_t passed = 0;  // handed on, duplicates included
};

// One direction: decides the fate of each frame as it comes, and holds it until it is due.
class ImpairLane {
 public:
  ImpairLane(const ImpairConfig& config, const Rng& rng, std::size_t link_header);

  void configure(const ImpairConfig& config);
  // Takes a plain frame with a complete checksum.
  void admit(Frame frame, FramePool& pool, Instant now);
  // No place is left for another frame.
  bool full() const { return waiting_.size() == waiting_.capacity(); }
  // When the next frame is due; kNever when none waits.
  Instant due() const { return waiting_.empty() ? kNever : waiting_.front().due; }
  // The frame that due() speaks of: a look, and taking it out.
  const Frame& front() const { return waiting_.front().frame; }
  Frame pop();
  ImpairStats& stats() { return stats_; }
  const ImpairStats& stats() const { return stats_; }

 private:
  struct Waiting {
    Instant due;
    std::uint64_t order;  // of admission: frames due at once leave in it
    Frame frame;
  };
  static bool leaves_later(const Waiting& a, const Waiting& b) {
    return a.due != b.due ? a.due > b.due : a.order > b.order;
  }

  bool delays() const;
  bool loses();
  void damage(Frame& frame);
  Instant departure(std::size_t size, Instant now);
  void hold(Frame frame, Instant due);

  ImpairConfig config_;
  Rng rng_;
  std::size_t link_header_;  // bytes in front of the IP packet: never damaged, not counted by the MTU
  bool burst_ = false;       // the bad state
  Instant link_free_{};      // when the last frame will have left at the configured rate
  Instant last_due_{};       // of the last frame that kept its place
  std::uint64_t order_ = 0;
  std::vector<Waiting>
      waiting_;  // a heap, the next due in front; reserved to the limit and kImpairPassingMax
  ImpairStats stats_;
};

// Wraps a device. Above, it takes super-segments and checksum requests, and does both before anything is
// lost, so that losses strike segments and corruption strikes finished packets. A direction that is not
// impaired passes untouched. Frames in flight belong to it, not to the stack: they outlive a stack that is
// destroyed. Same config, seed and input: same output.
class Impair final : public Device {
 public:
  // `seed` when the config names none.
  Impair(std::unique_ptr<Device> inner, const ImpairConfig& config, std::uint64_t seed = 1);

  std::uint32_t mtu() const override { return inner_.mtu(); }
  MacAddress mac() const override { return inner_.mac(); }
  LinkType link_type() const override { return inner_.link_type(); }
  Offloads offloads() const override { return inner_.offloads(); }
  // A turn's worth: what does not fit the queue is the network's loss, not the device's refusal.
  std::size_t room() const override { return config_.out ? kTurnFramesMax : inner_.room(); }
  std::size_t transmit(std::span<const OutgoingFrame> batch, Instant now) override;
  std::size_t receive(std::span<Frame> batch, FramePool& pool, Instant now) override;
  Instant next_timeout() const override;
  int wait_descriptor() const override { return inner_.wait_descriptor(); }

  // From now on; frames already delayed keep their time.
  void configure(const ImpairConfig& config);
  const ImpairStats& out_stats() const { return out_.stats(); }
  const ImpairStats& in_stats() const { return in_.stats(); }
  Device& inner() { return inner_.inner(); }

 private:
  void admit_out(const OutgoingFrame& frame, Instant now);
  void admit_copy(const OutgoingFrame& frame, ImpairLane& lane, Instant now);
  void admit_in(Frame frame, Instant now);
  void release_out(Instant now);
  std::size_t release_in(std::span<Frame> batch, FramePool& pool, Instant now);

  Offload inner_;  // does what the device below lacks, for the direction that is not impaired
  ImpairConfig config_;
  std::size_t link_header_;
  MemoryBudget budget_{kImpairBytesMax};
  FramePool pool_{budget_};
  ImpairLane out_;
  ImpairLane in_;
  std::vector<OutgoingFrame> outgoing_;    // while frames are handed to the inner device; sized once
  std::vector<Frame> incoming_;            // while frames come from it; sized once
  Instant out_retry_at_ = Instant::min();  // not before this: the inner device had no room
  Instant in_retry_at_ = Instant::min();   // … the receiver had no memory
};

}  // namespace tapir::link
