// SPDX-License-Identifier: Apache-2.0
#include "runtime/steering_trials.h"

#include <algorithm>

namespace tapir::runtime {
namespace {

// A program that uses so much of a processor may be held up by it; one that uses so little is not, and is
// spared interrupts of others.
constexpr double kBusy = 0.8;
constexpr double kIdle = 0.5;
// What a candidate has to move, to what the place kept does: less is noise.
constexpr double kClearlyMore = 1.05;

// Which windows of a trial are the candidate's.
constexpr std::array<bool, SteeringTrials::kTrialLength> kCandidates = {true, false, false, true,
                                                                        true, false, false, true};

// The one of the three that is neither.
ReceiverOn third(ReceiverOn one, ReceiverOn other) {
  return static_cast<ReceiverOn>(3 - static_cast<int>(one) - static_cast<int>(other));
}

}  // namespace

ReceiverOn SteeringTrials::now() const {
  return trying() && kCandidates[static_cast<std::size_t>(step_)] ? candidate_ : kept_;
}

ReceiverOn SteeringTrials::after(const Window& window) {
  if (window.busy < kIdle) {
    *this = {};
  } else if (!window.steady) {
    give_up();
  } else if (trying()) {
    passed_[kCandidates[static_cast<std::size_t>(step_)]] += window.bytes_per_second;
    if (++step_ == kTrialLength) decide();
  } else if ((window.busy >= kBusy || kept_ != ReceiverOn::kWriter) && --wait_ == 0) {
    step_ = 0;
    passed_ = {};
  }
  return now();
}

// What was seen so far says nothing.
void SteeringTrials::give_up() {
  if (trying()) wait_ = kFirstWait;
  step_ = -1;
}

void SteeringTrials::decide() {
  const ReceiverOn tried = candidate_;
  candidate_ = third(kept_, tried);
  if (passed_[1] > kClearlyMore * passed_[0]) {
    kept_ = tried;
    wait_after_failure_ = kFirstWait;
  } else {
    wait_after_failure_ = std::min(2 * wait_after_failure_, kWaitMax);
  }
  wait_ = wait_after_failure_;
  step_ = -1;
}

}  // namespace tapir::runtime
