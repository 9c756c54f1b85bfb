// SPDX-License-Identifier: Apache-2.0
#include "runtime/stack_host.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>

#include "drivers/netdev.h"
#include "runtime/entropy.h"
#include "runtime/file_sink.h"
#include "runtime/restart.h"
#include "runtime/signal_watch.h"

namespace tapir::runtime {
namespace {

// Rounds of output and completions after one call. What still follows then is the driver's next turn; without it two calls
// that feed each other over loopback would hold the lock for ever.
constexpr int kSettleRoundsMax = 64;
// Ticks without a turn after which the service thread sleeps for good, until a driver that leaves wakes it.
constexpr int kIdleTicksMax = 64;
// Frames that wait to be read when a look at what is ready leaves the devices alone: two super-segments, with a turn's 256 KiB more
// a part of a core's cache. A queue that grows to the window instead is read from memory, at a fifth of the speed.
constexpr std::size_t kUnreadFramesMax = 2;
// Looks in a row that find a device in error: then its interface is gone, and to look on would be to look without end. A packet
// socket tells of an interface that went down once or twice, and recovers.
constexpr int kDeviceErrorsMax = 16;

HostConfig completed(HostConfig config) {
  if (config.stack.seed == 0) config.stack.seed = random_seed();
  if (config.stack.wall_clock_offset_ns == 0) config.stack.wall_clock_offset_ns = wall_clock_offset_ns();
  return config;
}

drivers::KernelDescriptor make_eventfd(int first) {
  return drivers::KernelDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)).at_or_above(first);
}

}  // namespace

StackHost::StackHost(HostConfig config)
    : config_(completed(std::move(config))), stack_(config_.stack, monotonic_now()),
      sockets_(stack_, config_.first_descriptor, config_.descriptors_max), kick_(make_eventfd(config_.first_kernel_descriptor)) {
  TAPIR_INVARIANT(kick_, "the process has a descriptor left for an eventfd");
  polled_.push_back({kick_.get(), POLLIN, 0});
  device_errors_.push_back(0);
  if (!config_.service_thread) return;
  // Signals are the program's threads' own: the service thread begins with all of them blocked.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  service_thread_ = std::thread([this] { serve(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

StackHost::~StackHost() {
  {
    Lock lock(*this);
    TAPIR_INVARIANT(newest_ == nullptr, "no call is under way when its stack is destroyed");
    while (newest_started_ != nullptr) answer(*newest_started_, socket::fail(ECANCELED));
    stopping_ = true;
    wake(service_futex_);
    kick();
  }
  if (service_thread_.joinable()) service_thread_.join();
  for (const int bell : bells_) ::close(bell);
}

// ---- the lock ------------------------------------------------------------------------------------------------------

void StackHost::Lock::acquire() {
  SignalWatch& signals = signal_watch();
  if (signals.busy.fetch_add(1, std::memory_order_relaxed) == 0) ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &signals.cancel_state);
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

// ---- who waits -----------------------------------------------------------------------------------------------------

StackHost::Waiter** StackHost::chain_of(Descriptor fd) {
  if (fd == kNowhere) return nullptr;
  if (fd < 0) return &anywhere_;
  const auto index = static_cast<std::size_t>(fd);
  return index < chains_.size() ? &chains_[index] : nullptr;
}

void StackHost::enlist(Waiter& waiter) {
  if (waiter.fd_ >= 0 && static_cast<std::size_t>(waiter.fd_) >= chains_.size()) chains_.resize(static_cast<std::size_t>(waiter.fd_) * 2 + 8);
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
  while (*chain != nullptr) answer(**chain, with);
}

bool StackHost::complete_ready(Instant now) {
  const std::span<const socket::Woken> woken = sockets_.take_woken(now);
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

void StackHost::settle(Instant now) {
  for (int round = 0; round < kSettleRoundsMax; ++round) {
    stack_.poll_output(now);
    // What nobody waits for is told at the next turn, or to the call that asks.
    const bool waits = newest_ != nullptr || newest_started_ != nullptr;
    const bool stepped = waits && complete_ready(now);
    const bool due = stack_.next_timeout() <= now;
    if (due) stack_.turn(now);
    if (!stepped && !due) break;
  }
  given_.collect(given_back_);
  if (driver_ != nullptr && driver_->polling && next_deadline() < driver_->poll_until) kick();
}

// ---- a call that waits ---------------------------------------------------------------------------------------------

Result<long> StackHost::run_to_answer(Waiter& waiter) {
  waiter.handled_ = signal_watch().handled.load(std::memory_order_relaxed);
  waiter.unrestarted_ = signal_watch().unrestarted.load(std::memory_order_relaxed);
  Lock lock(*this);
  ++calls_;
  const Instant now = monotonic_now();
  // Frames stay with the devices while the program has enough to read: what is taken early is cold when it is read. But not for
  // long, or a program that always finds something ready would leave them to the service thread.
  const bool may_turn = driver_ == nullptr || driver_ == &service_;
  // So an epoll set tells what it has before more comes: a server that accepts one connection a wait (nginx) takes those that one
  // turn brought before the next brings their requests. Else each wait serves all that were accepted, and who came last waits until
  // the others were served as often as there are connections before it.
  const bool has_enough = stack_.frames().in_use() > kUnreadFramesMax || waiter.has_list();
  bool looked = false;
  const auto look = [&] { looked = !turn(now); };
  if (may_turn && ((waiter.looks() && !has_enough) || now - last_turn_ >= config_.drive_grace / 2)) look();
  auto answered = waiter.step(sockets_, now);
  // A look that finds nothing must not miss what waits in the devices.
  if (may_turn && has_enough && last_turn_ != now && waiter.looks() && (!answered || answered->value_or(1) == 0)) {
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
  // Whom the driver that left has woken may be about to leave too: nobody may be left asleep without a driver.
  if (driver_ == nullptr) hand_over();
  return *waiter.answer_;
}

void StackHost::interrupt(Waiter& waiter) {
  if (waiter.answer_) return;
  if (waiter.restartable()) {
    const SignalWatch& signals = signal_watch();
    const bool restarts = signals_are_watched() ? signals.unrestarted.load() == waiter.unrestarted_ : all_handlers_restart();
    waiter.handled_ = signals.handled.load();
    if (restarts) return;
  }
  delist(waiter);
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
    outcome = signals.handled.load() != waiter.handled_ ? Futex::Outcome::kInterrupted : waiter.futex_.wait(deadline);
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
  if (bells_.empty()) return make_eventfd(config_.first_kernel_descriptor).release();
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
  const int result = early ? -1 : ::ppoll(polled.data(), polled.size(), deadline == kNever ? nullptr : &timeout, waiter.mask());
  const int error = early ? EINTR : errno;
  signals.bell.store(-1);
  lock.acquire();
  if (std::exchange(waiter.bell_, -1) >= 0) bells_.push_back(bell);
  if ((result < 0 && error == EINTR) || signals.handled.load() != waiter.handled_) return Futex::Outcome::kInterrupted;
  if (result == 0) return Futex::Outcome::kDeadline;
  take_kernel_readiness(waiter, std::span(polled).subspan(1));
  return Futex::Outcome::kWoken;
}

void StackHost::take_kernel_readiness(Waiter& waiter, std::span<const pollfd> polled) {
  std::copy(polled.begin(), polled.end(), waiter.kernel().begin());
  waiter.kernel_ready_ = std::any_of(polled.begin(), polled.end(), [](const pollfd& one) { return one.revents != 0; });
}

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
  const bool more = stack_.turn(now);
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

// ---- the service thread --------------------------------------------------------------------------------------------

void StackHost::serve() {
  Lock lock(*this);
  std::uint64_t turns = stats_.turns;
  std::uint64_t calls = calls_;
  int idle_ticks = 0;
  while (!stopping_) {
    const bool no_turns = stats_.turns == turns;
    idle_ticks = no_turns ? idle_ticks + 1 : 0;
    if (driver_ == nullptr && no_turns) {
      // A program that is busy with calls will soon wait in one and drive; until then it is spared another thread that wakes for
      // every frame.
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
    // A tick that finds the lock taken has its answer: the program is in a call. To wait for the lock would cost that program a
    // system call at each of its own, for as long as it writes in bulk and the lock is rarely free.
    while (service_futex_.wait(until) == Futex::Outcome::kDeadline) {
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

void StackHost::service_turns(Lock& lock) {
  driver_ = &service_;
  while (driver_ == &service_ && !stopping_) {
    ++stats_.service_turns;
    if (!turn(monotonic_now())) break;
    let_others_in(lock);
  }
  service_leaves();
}

// Calls that found the service thread driving may sleep: one of them is to drive now, not only at the next tick.
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

// ---- set-up --------------------------------------------------------------------------------------------------------

InterfaceId StackHost::add_interface(stack::InterfaceConfig config, std::unique_ptr<link::Device> device) {
  Entry entry(*this);
  const int descriptor = device->wait_descriptor();
  if (capture_)
    device = std::make_unique<link::Capture>(std::move(device), *capture_, config.name,
                                             Duration(static_cast<std::int64_t>(wall_clock_offset_ns())));
  const InterfaceId id = stack_.add_interface(std::move(config), std::move(device), entry.now);
  if (descriptor >= 0 && id != kNoInterface) {
    polled_.push_back({descriptor, POLLIN, 0});
    device_errors_.push_back(0);
  }
  if (driver_ != nullptr && driver_->polling) kick();
  return id;
}

namespace {

std::expected<InterfaceId, std::string> added(InterfaceId id, const std::string& name) {
  if (id == kNoInterface) return std::unexpected("the stack has an interface named " + name + " already, or as many as it can have");
  return id;
}

}  // namespace

std::expected<InterfaceId, std::string> StackHost::add_tap(const drivers::TapConfig& tap, stack::InterfaceConfig interface) {
  auto device = drivers::open_tap(tap);
  if (!device) return std::unexpected(device.error());
  if (interface.name.empty()) interface.name = (*device)->name();
  (*device)->count_into(&stack_.counters());
  const std::string name = interface.name;
  return added(add_interface(std::move(interface), std::move(*device)), name);
}

std::expected<InterfaceId, std::string> StackHost::add_inherited_tap(drivers::KernelDescriptor tap, stack::InterfaceConfig interface) {
  auto device = drivers::adopt_tap(std::move(tap).at_or_above(config_.first_kernel_descriptor));
  if (!device) return std::unexpected(device.error());
  interface.name = (*device)->name();
  (*device)->count_into(&stack_.counters());
  const std::string name = interface.name;
  return added(add_interface(std::move(interface), std::move(*device)), name);
}

std::expected<void, std::string> StackHost::set_up_kernel_end(const std::string& tap, const std::optional<IpPrefix>& address) {
  if (address) {
    if (auto set = drivers::add_address(tap, *address); !set) return set;
  }
  return drivers::set_link_up(tap);
}

std::expected<void, std::string> StackHost::capture_to(const std::string& path) {
  auto sink = open_file_sink(path, config_.first_kernel_descriptor);
  if (!sink) return std::unexpected(sink.error());
  const Lock lock(*this);
  capture_sink_ = std::move(*sink);
  capture_.emplace(*capture_sink_);
  capture_->begin();
  return {};
}

std::expected<InterfaceId, std::string> StackHost::add_packet(const drivers::PacketConfig& packet, stack::InterfaceConfig interface) {
  auto device = drivers::open_packet(packet);
  if (!device) return std::unexpected(device.error());
  if (interface.name.empty()) interface.name = (*device)->name();
  (*device)->count_into(&stack_.counters());
  const std::string name = interface.name;
  return added(add_interface(std::move(interface), std::move(*device)), name);
}

bool StackHost::add_route(IpPrefix destination, IpAddress gateway, InterfaceId interface, std::uint32_t metric) {
  return with([&](stack::Stack& stack, socket::Sockets&, Instant now) { return stack.add_route(destination, gateway, interface, metric, now); });
}

std::expected<std::string, std::string> StackHost::sysctl_get(std::string_view name) {
  return with([&](stack::Stack& stack, socket::Sockets&, Instant) { return stack.sysctl_get(name); });
}

std::expected<void, std::string> StackHost::sysctl_set(std::string_view name, std::string_view value) {
  return with([&](stack::Stack& stack, socket::Sockets&, Instant now) { return stack.sysctl_set(name, value, now); });
}

HostStats StackHost::stats() {
  Lock lock(*this);
  return stats_;
}

}  // namespace tapir::runtime
