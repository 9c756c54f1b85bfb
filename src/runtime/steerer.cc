// SPDX-License-Identifier: Apache-2.0
#include "runtime/steerer.h"

#include <time.h>

#include <chrono>

namespace tapir::runtime {
namespace {

Duration processor_time() {
  timespec spent{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
}

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

void Steerer::tick(Instant now, int processor, const std::function<std::uint64_t()>& bytes_passed) {
  if (refused_) return;
  steady_ = steady_ && processor == processor_;
  if (now - began_ < kWindow) return;
  const Duration spent = processor_time();
  const std::uint64_t passed = bytes_passed();
  const double length = seconds(now - began_);
  const ReceiverOn where = trials_.after({static_cast<double>(passed - passed_before_) / length,
                                          seconds(spent - spent_before_) / length, steady_});
  // A program that moves is not followed before it has come to rest: each change costs.
  if (steady_ || where == ReceiverOn::kWriter) tell(where, processor);
  began_ = now;
  spent_before_ = spent;
  passed_before_ = passed;
  processor_ = processor;
  steady_ = true;
}

// A change may reorder frames that are under way: a trial makes six at most.
void Steerer::tell(ReceiverOn where, int processor) {
  if (where == told_ && (processor == told_of_ || where == ReceiverOn::kWriter)) return;
  drivers::NetdevResult told;
  switch (where) {
    case ReceiverOn::kWriter:
      told = steering_.leave_to_writer();
      break;
    case ReceiverOn::kProgram:
      told = steering_.keep_on(processor);
      break;
    case ReceiverOn::kOthers:
      told = steering_.keep_off(processor);
      break;
  }
  refused_ = !told;
  told_ = where;
  told_of_ = processor;
}

}  // namespace tapir::runtime
