// SPDX-License-Identifier: Apache-2.0
// The lock: who wants it is counted, signals and cancellation wait while it is held, and wake-ups are sent
// once it is free.
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/signal_watch.h"
#include "runtime/stack_host.h"

namespace tapir::runtime {

void StackHost::Lock::acquire() {
  SignalWatch& signals = signal_watch();
  if (signals.busy.fetch_add(1, std::memory_order_relaxed) == 0)
    ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &signals.cancel_state);
  if (host_.mutex_.try_lock()) return;
  host_.contenders_.fetch_add(1, std::memory_order_relaxed);
  host_.mutex_.lock();
  host_.contenders_.fetch_sub(1, std::memory_order_relaxed);
  ++host_.stats_.contended;
}

void StackHost::Lock::release() {
  if (host_.to_wake_count_ == 0 && host_.finished_.empty() && host_.given_back_.empty()) {
    host_.mutex_.unlock();
    return leave();
  }
  std::array<WakeUp, 16> to_wake;
  const std::size_t count = std::exchange(host_.to_wake_count_, 0);
  std::copy_n(host_.to_wake_.begin(), count, to_wake.begin());
  std::vector<Operation*> finished;
  std::vector<std::shared_ptr<void>> given_back;
  finished.swap(host_.finished_);
  given_back.swap(host_.given_back_);
  host_.mutex_.unlock();
  for (std::size_t i = 0; i < count; ++i) to_wake[i].send();
  leave();
  // The program's code, which may call again, and more: `host_` is not touched after it.
  for (Operation* operation : finished) tell(std::unique_ptr<Operation>(operation));
}

// The thread holds one lock less.
void StackHost::Lock::leave() {
  SignalWatch& signals = signal_watch();
  const int cancel_state = signals.cancel_state;
  if (signals.busy.fetch_sub(1, std::memory_order_relaxed) == 1) {
    ::pthread_setcancelstate(cancel_state, nullptr);
    if (signals.deferred.load(std::memory_order_relaxed)) run_deferred.load()();
  }
}

void StackHost::WakeUp::send() const {
  if (bell >= 0) {
    ::eventfd_write(bell, 1);
  } else {
    Futex::wake(futex);
  }
}

void StackHost::let_others_in(Lock& lock) {
  if (contenders_.load(std::memory_order_relaxed) == 0 && to_wake_count_ == 0) return;
  lock.release();
  ::sched_yield();
  lock.acquire();
}

void StackHost::wake(Futex& futex, int bell) {
  ++stats_.wakes;
  futex.post();
  const WakeUp wake_up{&futex, bell};
  if (to_wake_count_ == to_wake_.size()) return wake_up.send();
  to_wake_[to_wake_count_++] = wake_up;
}

void StackHost::kick() {
  if (std::exchange(kicked_, true)) return;
  ++stats_.kicks;
  ::eventfd_write(kick_.get(), 1);
}

}  // namespace tapir::runtime
