// SPDX-License-Identifier: Apache-2.0
// Who drives: a call that waits, or the service thread when none does.
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/signal_watch.h"
#include "runtime/stack_host.h"

namespace tapir::runtime {
namespace {

// Ticks without a turn after which the service thread sleeps for good, until a driver that leaves wakes it.
constexpr int kIdleTicksMax = 64;
// Looks in a row that find a device in error: then its interface is gone, and to look on would be to look
// without end. A packet socket tells of an interface that went down once or twice, and recovers.
constexpr int kDeviceErrorsMax = 16;

}  // namespace

void StackHost::drive(Lock& lock, Waiter& waiter, bool looked) {
  driver_ = &waiter;
  while (!waiter.answer_) {
    Instant now = monotonic_now();
    bool more = !std::exchange(looked, false) && turn(now);
    if (waiter.answer_) break;
    if (now >= waiter.deadline() || std::exchange(waiter.kernel_ready_, false)) {
      if (auto answered = waiter.step(sockets_, now)) {
        delist(waiter);
        waiter.answer_ = answered;
        settle(now);
        break;
      }
    }
    if (!more) more = spin(lock, &waiter, now);
    if (more || waiter.answer_) {
      let_others_in(lock);
      continue;
    }
    const Instant until = std::min(next_deadline(), waiter.deadline());
    if (!wait_for_devices(lock, waiter, until, now, &waiter)) interrupt(waiter);
  }
  if (driver_ == &waiter) driver_ = nullptr;
}

void StackHost::hand_over() {
  // The one that came last: its thread's caches are the warmest.
  if (newest_ != nullptr) {
    wake(newest_->futex_, newest_->bell_);
  } else if (service_.polling) {
    // It has not noticed yet that its place was taken: it has it back.
    driver_ = &service_;
    if (next_deadline() < service_.poll_until) kick();
  } else if (service_asleep_) {
    service_asleep_ = false;
    wake(service_futex_);
  }
}

bool StackHost::turn(Instant now) {
  ++stats_.turns;
  last_turn_ = now;
  if (driver_ != &service_) turn_processor_.store(::sched_getcpu(), std::memory_order_relaxed);
  const bool more = stack_.turn(now);
  send_bytes_at_turn_ = send_bytes();
  if (complete_ready(now)) settle(now);
  if (!timed_.empty() && timed_.begin()->first <= now) expire(now);
  given_.collect(given_back_);
  return more;
}

bool StackHost::spin(Lock& lock, const Waiter* waiter, Instant now) {
  if (config_.spin == Duration::zero()) return false;
  const Instant until = std::min(later(now, config_.spin), next_deadline());
  while (now < until && !waiter->answer_) {
    let_others_in(lock);
    now = monotonic_now();
    if (turn(now)) return true;
  }
  return false;
}

bool StackHost::wait_for_devices(Lock& lock, Driver& driver, Instant until, Instant now, Waiter* waiter) {
  if (until <= now) {
    let_others_in(lock);
    return true;
  }
  // The devices may change while the lock is free; more than a stack has is not needed.
  std::array<pollfd, 128> few;
  std::vector<pollfd> many;
  const std::span<pollfd> kernel = waiter != nullptr ? waiter->kernel() : std::span<pollfd>();
  const std::size_t count = std::min<std::size_t>(polled_.size(), 64);
  std::span<pollfd> descriptors(few);
  if (count + kernel.size() > few.size()) {
    many.resize(count + kernel.size());
    descriptors = many;
  }
  descriptors = descriptors.first(count + kernel.size());
  std::copy_n(polled_.begin(), count, descriptors.begin());
  std::copy(kernel.begin(), kernel.end(), descriptors.begin() + static_cast<std::ptrdiff_t>(count));
  const timespec timeout = to_timespec(until - now);
  driver.polling = true;
  driver.poll_until = until;
  ++stats_.polls;
  SignalWatch& signals = signal_watch();
  // A handler that runs from here on ends the wait, also one that runs before ppoll() has begun.
  signals.bell.store(kick_.get());
  lock.release();
  const auto handled = [&] { return waiter != nullptr && signals.handled.load() != waiter->handled_; };
  int result = -1;
  bool interrupted = handled();
  if (!interrupted) {
    result = ::ppoll(descriptors.data(), descriptors.size(), until == kNever ? nullptr : &timeout,
                     waiter != nullptr ? waiter->mask() : nullptr);
    interrupted = (result < 0 && errno == EINTR) || handled();
  }
  signals.bell.store(-1);
  lock.acquire();
  driver.polling = false;
  // Only the driver answers a kick: a service thread whose place was taken leaves it to the one who took it.
  if (driver_ == &driver && (std::exchange(kicked_, false) || interrupted)) {
    eventfd_t count_of_kicks = 0;
    ::eventfd_read(kick_.get(), &count_of_kicks);
  }
  if (result > 0) {
    notice_errors(descriptors.first(count));
    if (!kernel.empty()) take_kernel_readiness(*waiter, descriptors.subspan(count));
  }
  return !interrupted;
}

void StackHost::notice_errors(std::span<const pollfd> polled) {
  for (std::size_t i = 1; i < polled.size(); ++i) {
    const short seen = polled[i].revents;
    const bool broken = (seen & (POLLERR | POLLHUP | POLLNVAL)) != 0 && (seen & POLLIN) == 0;
    device_errors_[i] = broken ? device_errors_[i] + 1 : 0;
    if (device_errors_[i] >= kDeviceErrorsMax) polled_[i].fd = -1;
  }
}

// ---- the service thread ----

void StackHost::serve() {
  Lock lock(*this);
  std::uint64_t turns = stats_.turns;
  std::uint64_t calls = calls_;
  int idle_ticks = 0;
  while (!stopping_) {
    const bool no_turns = stats_.turns == turns;
    idle_ticks = no_turns ? idle_ticks + 1 : 0;
    if (driver_ == nullptr && no_turns) {
      // A program that is busy with calls will soon wait in one and drive; until then it is spared another
      // thread that wakes for every frame.
      if (calls_ == calls) {
        service_drive(lock);
      } else {
        service_turns(lock);
      }
      idle_ticks = 0;
    }
    turns = stats_.turns;
    calls = calls_;
    Instant until = later(monotonic_now(), config_.drive_grace);
    if (driver_ != nullptr && idle_ticks >= kIdleTicksMax) {
      service_asleep_ = true;
      until = kNever;
    }
    if (stopping_) break;
    ++stats_.ticks;
    service_futex_.arm();
    lock.release();
    // A tick that finds the lock taken has its answer: the program is in a call. To wait for the lock would
    // cost that program a system call at each of its own, for as long as it writes in bulk and the lock is
    // rarely free.
    while (service_futex_.wait(until) == Futex::Outcome::kDeadline) {
      steer();
      if (mutex_.try_lock()) {
        mutex_.unlock();
        break;
      }
      until = later(monotonic_now(), config_.drive_grace);
    }
    lock.acquire();
    service_asleep_ = false;
  }
}

// Without the lock.
void StackHost::steer() {
  if (!steers_.load(std::memory_order_acquire)) return;
  steerer_->tick(monotonic_now(), turn_processor_.load(std::memory_order_relaxed),
                 [this] { return bytes_passed(); });
}

void StackHost::service_turns(Lock& lock) {
  driver_ = &service_;
  while (driver_ == &service_ && !stopping_) {
    ++stats_.service_turns;
    if (!turn(monotonic_now())) break;
    let_others_in(lock);
  }
  service_leaves();
}

// Calls that found the service thread driving may sleep: one of them is to drive now, not only at the next
// tick.
void StackHost::service_leaves() {
  if (driver_ != &service_) return;
  driver_ = nullptr;
  if (newest_ != nullptr) hand_over();
}

void StackHost::service_drive(Lock& lock) {
  const std::uint64_t calls = calls_;
  driver_ = &service_;
  while (driver_ == &service_ && !stopping_) {
    const Instant now = monotonic_now();
    ++stats_.service_turns;
    if (turn(now)) {
      let_others_in(lock);
      continue;
    }
    if (calls_ != calls) break;
    wait_for_devices(lock, service_, next_deadline(), now);
  }
  service_leaves();
}

}  // namespace tapir::runtime
