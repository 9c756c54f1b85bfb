// SPDX-License-Identifier: Apache-2.0
// On which processor the kernel's end of a wire had best handle what the program sends: found out by trying.
#pragma once

#include <array>
#include <cstdint>

namespace tapir::runtime {

// kWriter: within the write(2) of each frame, as the kernel does by itself. kProgram: on the same processor,
// but in a softirq of its own, in which pages that the peer has read come back while they are in the cache.
// kOthers: beside the program, at the price of an interrupt of another processor for each frame, which is
// little on some (virtual) machines and more than the work that it moves on others.
enum class ReceiverOn : std::uint8_t { kWriter, kProgram, kOthers };

// Now and then, while the program is busy, another place than the one kept is tried: eight windows of time,
// four each, in an order in which what drifts cancels out. Where clearly more bytes passed is kept. A trial
// that was in vain is followed by a wait twice as long. Single-threaded; knows neither time nor the kernel.
class SteeringTrials {
 public:
  // Lengths in windows (Steerer::kWindow): a second of waiting, so that short runs pay for no trial; a
  // minute, so that trials in vain cost less than a hundredth.
  static constexpr int kFirstWait = 16;
  static constexpr int kWaitMax = 1024;
  static constexpr int kTrialLength = 8;

  struct Window {
    double bytes_per_second = 0;  // that passed the devices, both ways
    double busy = 0;              // processor time that the program had, to the time that went by
    bool steady = true;           // all its turns ran on one processor
  };

  // What was seen in a window that has ended; answers where the next one shall run.
  ReceiverOn after(const Window& window);
  ReceiverOn now() const;
  ReceiverOn kept() const { return kept_; }
  bool trying() const { return step_ >= 0; }

 private:
  void give_up();
  void decide();

  ReceiverOn kept_ = ReceiverOn::kWriter;
  ReceiverOn candidate_ = ReceiverOn::kProgram;
  int step_ = -1;                   // of the trial: windows that are over; -1: none is under way
  std::array<double, 2> passed_{};  // of kept_ and of candidate_
  int wait_ = kFirstWait;           // busy windows before the next trial
  int wait_after_failure_ = kFirstWait;
};

}  // namespace tapir::runtime
