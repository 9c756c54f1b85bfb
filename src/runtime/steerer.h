// SPDX-License-Identifier: Apache-2.0
// Tells the kernel's end of a TAP on which processors to handle what the program sends, as its trials go.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "base/time.h"
#include "drivers/receive_steering.h"
#include "runtime/steering_trials.h"

namespace tapir::runtime {

class Steerer {
 public:
  // Of a trial: long enough for hundreds of requests, too short for the machine to change meanwhile.
  static constexpr Duration kWindow = 60ms;

  explicit Steerer(drivers::ReceiveSteering steering) : steering_(std::move(steering)) {}

  // To be called every few milliseconds while the program runs, by one thread. `processor`: where its last
  // turn ran. `bytes_passed`, asked once a window: all that passed the devices since they were there.
  void tick(Instant now, int processor, const std::function<std::uint64_t()>& bytes_passed);

 private:
  void tell(ReceiverOn where, int processor);

  drivers::ReceiveSteering steering_;
  SteeringTrials trials_;
  bool refused_ = false;  // by the kernel: no more is asked
  ReceiverOn told_ = ReceiverOn::kWriter;
  int told_of_ = -1;  // the program's processor then
  // The window under way.
  Instant began_{};
  Duration spent_before_{};  // processor time of this process's, until then
  std::uint64_t passed_before_ = 0;
  int processor_ = -1;
  bool steady_ = false;
};

}  // namespace tapir::runtime
