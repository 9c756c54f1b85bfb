// SPDX-License-Identifier: Apache-2.0
// Calls that wait: which, until they are answered; asleep, interrupted, or their descriptor closed under
// them.
#include <pthread.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/restart.h"
#include "runtime/signal_watch.h"
#include "runtime/stack_host.h"
#include "stack/parts.h"

namespace tapir::runtime {
namespace {

// Frames that wait to be read when a look at what is ready leaves the devices alone: two super-segments, with
// a turn's 256 KiB more a part of a core's cache. A queue that grows to the window instead is read from
// memory, at a fifth of the speed.
constexpr std::size_t kUnreadFramesMax = 2;
// Bytes that a program writes between two looks for ACKs. What is acknowledged gives its memory back, so that
// a stream goes through as much as this and no more: a quarter of a core's cache. The window instead is
// memory, for both copies.
constexpr std::size_t kWrittenBytesMax = 256 * 1024;

}  // namespace

// ---- which ----

StackHost::Waiter** StackHost::chain_of(Descriptor fd) {
  if (fd == kNowhere) return nullptr;
  if (fd < 0) return &anywhere_;
  const auto index = static_cast<std::size_t>(fd);
  return index < chains_.size() ? &chains_[index] : nullptr;
}

void StackHost::enlist(Waiter& waiter) {
  if (waiter.fd_ >= 0 && static_cast<std::size_t>(waiter.fd_) >= chains_.size())
    chains_.resize(static_cast<std::size_t>(waiter.fd_) * 2 + 8);
  waiter.previous_ = waiter.next_ = nullptr;
  if (Waiter** head = chain_of(waiter.fd_)) {
    waiter.next_ = *head;
    if (*head != nullptr) (*head)->previous_ = &waiter;
    *head = &waiter;
  }
  Waiter*& newest = waiter.operation_ != nullptr ? newest_started_ : newest_;
  waiter.newer_ = nullptr;
  waiter.older_ = newest;
  if (newest != nullptr) newest->newer_ = &waiter;
  newest = &waiter;
  waiter.enlisted_ = true;
  if (waiter.watches_stack()) ++watchers_;
}

void StackHost::delist(Waiter& waiter) {
  if (!std::exchange(waiter.enlisted_, false)) return;
  if (waiter.watches_stack()) --watchers_;
  if (waiter.fd_ != kNowhere) {
    if (waiter.next_ != nullptr) waiter.next_->previous_ = waiter.previous_;
    (waiter.previous_ != nullptr ? waiter.previous_->next_ : *chain_of(waiter.fd_)) = waiter.next_;
  }
  if (waiter.newer_ != nullptr) waiter.newer_->older_ = waiter.older_;
  if (waiter.older_ != nullptr) waiter.older_->newer_ = waiter.newer_;
  Waiter*& newest = waiter.operation_ != nullptr ? newest_started_ : newest_;
  if (newest == &waiter) newest = waiter.older_;
}

void StackHost::answer(Waiter& waiter, Result<long> with) {
  waiter.answer_ = with;
  delist(waiter);
  if (waiter.operation_ != nullptr) return complete(*waiter.operation_);
  if (driver_ != &waiter) {
    wake(waiter.futex_, waiter.bell_);
  } else if (waiter.polling) {
    kick();
  }
}

void StackHost::answer_all(Descriptor fd, Result<long> with) {
  Waiter** chain = chain_of(fd);
  if (fd < 0 || chain == nullptr) return;
  while (*chain != nullptr) {
    (*chain)->leave();
    answer(**chain, with);
  }
}

bool StackHost::complete_ready(Instant now) {
  const std::span<const socket::Woken> woken = sockets_.take_woken(now);
  if (sockets_.signals()) [[unlikely]]
    tell_signals();
  if ((woken.empty() && watchers_ == 0) || (newest_ == nullptr && newest_started_ == nullptr)) return false;
  candidates_.clear();
  const auto collect = [this](Waiter* chain) {
    for (; chain != nullptr; chain = chain->next_)
      if (!std::exchange(chain->candidate_, true)) candidates_.push_back(chain);
  };
  for (const socket::Woken& one : woken)
    if (Waiter** chain = chain_of(one.descriptor); chain != nullptr) collect(*chain);
  collect(anywhere_);
  // Chains run from the last come to the first; who came first is served first.
  for (std::size_t i = candidates_.size(); i-- > 0;) {
    Waiter& waiter = *candidates_[i];
    waiter.candidate_ = false;
    if (waiter.answer_) continue;  // by what an earlier one did
    if (auto answered = waiter.step(sockets_, now)) answer(waiter, *answered);
  }
  return !candidates_.empty();
}

void StackHost::tell_signals() {
  for (auto one = sockets_.poll_signal(); one.number >= 0; one = sockets_.poll_signal()) {
    Waiter** const chain = one.descriptor >= 0 ? chain_of(one.descriptor) : nullptr;
    for (const Waiter* waiter = chain != nullptr ? *chain : nullptr; waiter != nullptr;
         waiter = waiter->next_)
      if (waiter->waits_for_data())
        one.what &= static_cast<std::uint8_t>(~(socket::kSignalReadable | socket::kSignalHangUp));
    if (one.what != 0 && config_.on_signal != nullptr) config_.on_signal(one.number, one.what);
  }
}

// ---- until they are answered ----

std::size_t StackHost::send_bytes() { return stack_.parts().tcp.env().chunks.bytes_in_use(); }

Result<long> StackHost::run_to_answer(Waiter& waiter) {
  waiter.handled_ = signal_watch().handled.load(std::memory_order_relaxed);
  waiter.unrestarted_ = signal_watch().unrestarted.load(std::memory_order_relaxed);
  Lock lock(*this);
  ++calls_;
  const Instant now = monotonic_now();
  // Frames stay with the devices while the program has enough to read: what is taken early is cold when it is
  // read. But not for long, or a program that always finds something ready would leave them to the service
  // thread.
  const bool may_turn = driver_ == nullptr || driver_ == &service_;
  // So an epoll set tells what it has before more comes: a server that accepts one connection a wait (nginx)
  // takes those that one turn brought before the next brings their requests. Else each wait serves all that
  // were accepted, and who came last waits until the others were served as often as there are connections
  // before it.
  const bool has_enough = stack_.frames().in_use() > kUnreadFramesMax || waiter.has_list();
  bool looked = false;
  const auto look = [&] { looked = !turn(now); };
  const bool wrote_much = send_bytes() > send_bytes_at_turn_ + kWrittenBytesMax;
  if (may_turn &&
      ((waiter.looks() && !has_enough) || wrote_much || now - last_turn_ >= config_.drive_grace / 2))
    look();
  auto answered = waiter.step(sockets_, now);
  // A look that finds nothing must not miss what waits in the devices.
  if (may_turn && has_enough && last_turn_ != now && waiter.looks() &&
      (!answered || answered->value_or(1) == 0)) {
    look();
    answered = waiter.step(sockets_, now);
  }
  if (answered) {
    settle(now);
    return *answered;
  }
  waiter.thread_ = &signal_watch();
  ++signal_watch().calls;
  enlist(waiter);
  settle(now);
  while (!waiter.answer_) {
    if (driver_ == nullptr || driver_ == &service_) {
      drive(lock, waiter, std::exchange(looked, false));
    } else {
      sleep(lock, waiter);
    }
  }
  // Not so when a handler has left all of them and then came back.
  if (signal_watch().calls != 0) --signal_watch().calls;
  let_go_of_aside(waiter);
  // Whom the driver that left has woken may be about to leave too: nobody may be left asleep without a
  // driver.
  if (driver_ == nullptr) hand_over();
  return *waiter.answer_;
}

void StackHost::interrupt(Waiter& waiter) {
  if (waiter.answer_) return;
  if (waiter.restartable()) {
    const SignalWatch& signals = signal_watch();
    const bool restarts =
        signals_are_watched() ? signals.unrestarted.load() == waiter.unrestarted_ : all_handlers_restart();
    waiter.handled_ = signals.handled.load();
    if (restarts) return;
  }
  delist(waiter);
  waiter.leave();
  waiter.answer_ = waiter.interrupted();
}

void StackHost::leave_calls() {
  SignalWatch& mine = signal_watch();
  if (mine.calls == 0) return;
  // The wait has put cancellation off; nobody else turns it on again.
  ::pthread_setcancelstate(mine.cancel_state, nullptr);
  Lock lock(*this);
  mine.calls = 0;
  mine.bell.store(-1);
  mine.futex.store(nullptr);
  const auto next = [&] {
    Waiter* waiter = newest_;
    while (waiter != nullptr && waiter->thread_ != &mine) waiter = waiter->older_;
    return waiter;
  };
  while (Waiter* const waiter = next()) {
    delist(*waiter);
    waiter->leave();
    // Should the handler come back after all, the call has been interrupted.
    waiter->answer_ = waiter->interrupted();
    if (driver_ == waiter) driver_ = nullptr;
    if (waiter->bell_ >= 0) bells_.push_back(std::exchange(waiter->bell_, -1));
    let_go_of_aside(*waiter);
  }
  if (driver_ == nullptr) hand_over();
}

void StackHost::sleep(Lock& lock, Waiter& waiter) {
  ++stats_.sleeps;
  waiter.futex_.arm();
  const Instant deadline = waiter.deadline();
  const bool in_kernel = !waiter.kernel().empty() || waiter.mask() != nullptr;
  Futex::Outcome outcome;
  if (in_kernel) {
    outcome = sleep_in_kernel(lock, waiter, deadline);
  } else {
    SignalWatch& signals = signal_watch();
    signals.futex.store(&waiter.futex_);
    lock.release();
    outcome = signals.handled.load() != waiter.handled_ ? Futex::Outcome::kInterrupted
                                                        : waiter.futex_.wait(deadline);
    signals.futex.store(nullptr);
    lock.acquire();
    if (signals.handled.load() != waiter.handled_) outcome = Futex::Outcome::kInterrupted;
  }
  if (waiter.answer_) return;
  if (outcome == Futex::Outcome::kInterrupted) return interrupt(waiter);
  if (std::exchange(waiter.kernel_ready_, false) || outcome == Futex::Outcome::kDeadline) {
    const Instant now = monotonic_now();
    if (auto answered = waiter.step(sockets_, now)) {
      delist(waiter);
      waiter.answer_ = answered;
    }
    settle(now);
  }
}

int StackHost::borrow_bell() {
  if (bells_.empty()) return drivers::make_eventfd(config_.first_kernel_descriptor).release();
  const int bell = bells_.back();
  bells_.pop_back();
  // A wake-up that came late, for another's sleep.
  eventfd_t value = 0;
  ::eventfd_read(bell, &value);
  return bell;
}

Futex::Outcome StackHost::sleep_in_kernel(Lock& lock, Waiter& waiter, Instant deadline) {
  const int bell = waiter.bell_ = borrow_bell();
  TAPIR_INVARIANT(bell >= 0, "the process has a descriptor left for an eventfd");
  const std::span<pollfd> kernel = waiter.kernel();
  std::vector<pollfd> polled{{bell, POLLIN, 0}};
  polled.insert(polled.end(), kernel.begin(), kernel.end());
  const timespec timeout = to_timespec(std::max(deadline - monotonic_now(), Duration::zero()));
  SignalWatch& signals = signal_watch();
  signals.bell.store(bell);
  lock.release();
  const bool early = signals.handled.load() != waiter.handled_;
  const int result =
      early ? -1
            : ::ppoll(polled.data(), polled.size(), deadline == kNever ? nullptr : &timeout, waiter.mask());
  const int error = early ? EINTR : errno;
  signals.bell.store(-1);
  lock.acquire();
  if (std::exchange(waiter.bell_, -1) >= 0) bells_.push_back(bell);
  if ((result < 0 && error == EINTR) || signals.handled.load() != waiter.handled_)
    return Futex::Outcome::kInterrupted;
  if (result == 0) return Futex::Outcome::kDeadline;
  take_kernel_readiness(waiter, std::span(polled).subspan(1));
  return Futex::Outcome::kWoken;
}

void StackHost::take_kernel_readiness(Waiter& waiter, std::span<const pollfd> polled) {
  std::copy(polled.begin(), polled.end(), waiter.kernel().begin());
  waiter.kernel_ready_ =
      std::any_of(polled.begin(), polled.end(), [](const pollfd& one) { return one.revents != 0; });
}

// ---- a descriptor that is closed while calls wait on it ----

void StackHost::set_aside_waiters(Descriptor fd) {
  hold_for_polls(fd);
  Waiter** chain = fd >= 0 ? chain_of(fd) : nullptr;
  if (chain == nullptr || *chain == nullptr) return;
  const Result<Descriptor> aside = sockets_.set_aside(fd);
  if (!aside) return answer_all(fd, socket::fail(EBADF));
  std::vector<Waiter*> oldest_last;
  for (Waiter* waiter = *chain; waiter != nullptr; waiter = waiter->next_) oldest_last.push_back(waiter);
  for (std::size_t i = oldest_last.size(); i-- > 0;) {
    Waiter& waiter = *oldest_last[i];
    delist(waiter);
    waiter.fd_ = *aside;
    waiter.move_to(*aside);
    enlist(waiter);
  }
}

void StackHost::hold_for_polls(Descriptor fd) {
  if (fd < 0) return;
  for (Waiter* waiter = anywhere_; waiter != nullptr; waiter = waiter->next_) {
    socket::HeldFiles* held = waiter->held(fd);
    if (held == nullptr || held->full()) continue;
    if (const Result<Descriptor> aside = sockets_.set_aside(fd)) held->hold(fd, *aside);
  }
}

// The last call that held the file is over: so is the file.
void StackHost::let_go_of_aside(Waiter& waiter) {
  if (socket::HeldFiles* held = waiter.held(-1)) {
    for (Descriptor aside = held->release(); aside >= 0; aside = held->release()) {
      const Instant now = monotonic_now();
      static_cast<void>(sockets_.close(aside, now));
      settle(now);
    }
  }
  if (waiter.fd_ < 0 || !sockets_.is_aside(waiter.fd_) || *chain_of(waiter.fd_) != nullptr) return;
  const Instant now = monotonic_now();
  static_cast<void>(sockets_.close(waiter.fd_, now));
  settle(now);
}

}  // namespace tapir::runtime
