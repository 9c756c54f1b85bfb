// SPDX-License-Identifier: Apache-2.0
// A stack that runs: with a lock, a clock, devices that are waited on, and socket calls that block. For any
// number of threads.
//
// One of the threads that wait in a call *drives* the stack: it polls the devices, runs turns, and completes
// the calls of the others. So a program of one thread pays no hand-off. When none of the program's threads
// waits, a service thread drives.
//
//   a call        lock, step; answered -> output, unlock, return
//                 not answered -> enlisted; nobody drives -> drive, else sleep
//   the driver    turn, complete whoever became ready, unlock, poll {devices, kick} until the next deadline,
//   lock, …
//                 its own call answered -> leaves, and wakes one sleeper to drive
//   start()       a call that no thread waits in: who completes it tells its Finished, without the lock, or
//   puts it where an event
//                 loop's thread looks (Completions), which waits in a call of its own and so drives as others
//                 do
//   the service   ticks every drive_grace while calls or turns run, and runs a turn when none ran since its
//   last tick; when calls
//                 have ceased too it drives, until a call comes
#pragma once

#include <poll.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "drivers/descriptor.h"
#include "drivers/packet.h"
#include "drivers/tap.h"
#include "link/capture.h"
#include "runtime/clock.h"
#include "runtime/futex.h"
#include "runtime/given_buffers.h"
#include "runtime/steerer.h"
#include "socket/blocking_call.h"
#include "socket/sockets.h"
#include "stack/stack.h"

namespace tapir::runtime {

using socket::Descriptor;
using socket::Result;

struct HostConfig {
  stack::StackConfig stack;  // seed 0: from the kernel's entropy; wall_clock_offset_ns 0: the machine's clock
  Duration drive_grace = 1ms;  // the service thread leaves the devices alone so long after a turn of a call;
                               // a call takes a turn when none was for half as long
  Duration spin =
      Duration::zero();        // a driver looks at the devices so long before it sleeps: latency for CPU time
  bool service_thread = true;  // without it the stack stands still while no call waits
  Descriptor first_descriptor = 3;  // see socket::Sockets
  std::size_t descriptors_max = 65536;
  int first_kernel_descriptor = 0;  // the host's own kernel descriptors are numbered from here on
  // What happened to a socket that has a number (Sockets::signal_number), kSignal*: told with the lock held;
  // it may not call the host.
  void (*on_signal)(int number, std::uint8_t what) = nullptr;
};

// What running cost, since the start.
struct HostStats {
  std::uint64_t turns = 0;   // over the devices
  std::uint64_t polls = 0;   // ppoll(2) on the devices
  std::uint64_t sleeps = 0;  // futex waits of calls
  std::uint64_t contended =
      0;  // how often a thread found the lock taken: at most a futex wait and a wake-up each
  std::uint64_t wakes = 0;          // futex wake-ups of calls and of the service thread
  std::uint64_t kicks = 0;          // wake-ups of a driver
  std::uint64_t ticks = 0;          // of the service thread
  std::uint64_t service_turns = 0;  // turns that the service thread ran
};

class StackHost {
 public:
  explicit StackHost(HostConfig config = {});
  // No call may be under way.
  ~StackHost();
  StackHost(const StackHost&) = delete;
  StackHost& operator=(const StackHost&) = delete;

  // ---- set-up ----
  InterfaceId add_interface(stack::InterfaceConfig config, std::unique_ptr<link::Device> device);
  // Opens the device (drivers/) and makes an interface of it; `interface.name` empty = the device's. Errors
  // are one sentence.
  std::expected<InterfaceId, std::string> add_tap(const drivers::TapConfig& tap,
                                                  stack::InterfaceConfig interface);
  std::expected<InterfaceId, std::string> add_packet(const drivers::PacketConfig& packet,
                                                     stack::InterfaceConfig interface);
  // A TAP that another process has opened and set up; takes the descriptor.
  std::expected<InterfaceId, std::string> add_inherited_tap(drivers::KernelDescriptor tap,
                                                            stack::InterfaceConfig interface);
  // The kernel's end of a TAP: its address, if any, and up.
  static std::expected<void, std::string> set_up_kernel_end(const std::string& tap,
                                                            const std::optional<IpPrefix>& address);
  // What the kernel's end of this TAP receives is handled on the processors where most gets through
  // (SteeringTrials). Nothing where that may not be set. Once.
  void steer_receiver(const std::string& tap);
  // Writes the frames of interfaces that are added from now on to a pcapng file. Once, before any interface.
  std::expected<void, std::string> capture_to(const std::string& path);
  // As stack::Stack.
  bool add_route(IpPrefix destination, IpAddress gateway, InterfaceId interface, std::uint32_t metric = 0);
  std::expected<std::string, std::string> sysctl_get(std::string_view name);
  std::expected<void, std::string> sysctl_set(std::string_view name, std::string_view value);

  // Runs `act(stack::Stack&, socket::Sockets&, Instant now)` under the lock, and what follows from it, and
  // answers what it answered. It must not block. For everything that has no call below: counters, tables,
  // pings.
  template <typename Act>
  auto with(Act act) {
    Entry entry(*this);
    if constexpr (std::is_void_v<decltype(act(stack_, sockets_, entry.now))>) {
      act(stack_, sockets_, entry.now);
    } else {
      return act(stack_, sockets_, entry.now);
    }
  }

  HostStats stats();

  // What a program may ask of interfaces; the kernel's numbers count from 1, so do these.
  struct InterfaceView {
    InterfaceId id = kNoInterface;
    std::string name;
    bool loopback = false;
    bool up = false;
    std::uint32_t mtu = 0;
    link::MacAddress mac{};
    std::vector<IpPrefix> addresses;
  };
  std::vector<InterfaceView> interfaces();
  // close(), but what lingers (SO_LINGER) goes on by itself.
  Result<int> abandon(Descriptor fd);
  // Connections without a descriptor that still have something to deliver to their peers.
  std::size_t unfinished();

  // In a signal's handler that will not go back to where its thread was (longjmp(3)): the calls that this
  // thread waits in are over, as their memory is about to be something else.
  void leave_calls();

  // Around fork(2): no other thread is in the stack meanwhile. In the child the stack may not be used any
  // more.
  void lock_for_fork() { mutex_.lock(); }
  void unlock_after_fork() { mutex_.unlock(); }

  // ---- socket calls: as socket::Sockets, and those that Linux lets block do ----
  Result<Descriptor> socket(int domain, int type, int protocol);
  Result<int> bind(Descriptor fd, const sockaddr* address, socklen_t length);
  Result<int> listen(Descriptor fd, int backlog);
  Result<Descriptor> accept(Descriptor fd, sockaddr* address = nullptr, socklen_t* length = nullptr,
                            int flags = 0);
  Result<int> connect(Descriptor fd, const sockaddr* address, socklen_t length);
  Result<long> send(Descriptor fd, const void* data, std::size_t size, int flags = 0);
  Result<long> sendto(Descriptor fd, const void* data, std::size_t size, int flags, const sockaddr* to,
                      socklen_t length);
  Result<long> sendmsg(Descriptor fd, const msghdr& message, int flags = 0);
  // send() of bytes that a stream may point at until its peer has them, and the caller leaves as they are
  // while loan.users, which is guarded by the stack's lock (with()), is not 0.
  Result<long> send_lent(Descriptor fd, const void* data, std::size_t size, Loan& loan, int flags);
  Result<long> recv(Descriptor fd, void* data, std::size_t size, int flags = 0);
  Result<long> recvfrom(Descriptor fd, void* data, std::size_t size, int flags, sockaddr* from,
                        socklen_t* length);
  Result<long> recvmsg(Descriptor fd, msghdr& message, int flags = 0);
  // Answers how many messages went or came.
  Result<int> sendmmsg(Descriptor fd, mmsghdr* messages, unsigned count, int flags);
  Result<int> recvmmsg(Descriptor fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout);
  Result<long> readv(Descriptor fd, const iovec* pieces, int count);
  Result<long> writev(Descriptor fd, const iovec* pieces, int count);
  Result<int> shutdown(Descriptor fd, int how);
  // Calls of other threads that wait on this descriptor wait on, and hold the socket until they end, as in
  // Linux.
  Result<int> close(Descriptor fd);
  // Ends all calls that wait on this descriptor, with ECANCELED; the second closes it too.
  void cancel(Descriptor fd);
  Result<int> cancel_and_close(Descriptor fd);
  Result<Descriptor> dup(Descriptor fd);
  Result<Descriptor> dup3(Descriptor fd, Descriptor to, int flags);
  Result<int> getsockname(Descriptor fd, sockaddr* address, socklen_t* length);
  Result<int> getpeername(Descriptor fd, sockaddr* address, socklen_t* length);
  Result<int> getsockopt(Descriptor fd, int level, int name, void* value, socklen_t* length);
  Result<int> setsockopt(Descriptor fd, int level, int name, const void* value, socklen_t length);
  Result<int> ioctl(Descriptor fd, unsigned long request, void* argument);
  Result<int> fcntl(Descriptor fd, int command, long argument);
  // Timeout: none is for ever. Zero looks at the devices first, when nobody else does.
  Result<int> poll(std::span<pollfd> descriptors, std::optional<Duration> timeout);
  Result<Descriptor> epoll_create1(int flags);
  Result<int> epoll_ctl(Descriptor epfd, int operation, Descriptor fd, epoll_event* event);
  Result<int> epoll_wait(Descriptor epfd, std::span<epoll_event> events, std::optional<Duration> timeout);
  // ---- zero copy: socket::Sockets's of these names, and the calls that wait ----
  Result<socket::Sockets::Lent> lend(Descriptor fd, int flags);
  void give_back(std::uint64_t name);
  // Sends `bytes`, which live as long as `owner`; that is let go, without the lock, when nothing of them
  // waits to be acknowledged.
  Result<long> give(Descriptor fd, Bytes bytes, std::shared_ptr<void> owner, int flags);

  // ---- calls that no thread waits in ----
  // Told once, with the answer, by whichever thread has completed the call (the caller of start() among
  // them), without the lock.
  using Finished = std::move_only_function<void(Result<long>)>;
  // An event loop's answers.
  class Completions;
  // For `fd` of start() and run(): nothing that happens to sockets lets the call go on, its deadline alone.
  static constexpr Descriptor kNowhere = -2;
  // As run(), but at once. `to`: the answer waits there, for wait_for_completions(). A signal does not end
  // it.
  template <typename Call>
  void start(Call call, Descriptor fd, Finished finished, Completions* to = nullptr) {
    begin(std::make_unique<OwnedCall<Call>>(std::move(call), fd, std::move(finished), to));
  }
  // Waits until `of` has answers, or is rung, and tells them. Other threads' calls are driven meanwhile.
  void wait_for_completions(Completions& of);
  void ring(Completions& of);
  // Forgets the calls whose answers were to go there, unanswered.
  void abandon(Completions& of);

  // Runs a call of socket/blocking_call.h to its answer. `fd`: the descriptor whose touches let it go on; -1
  // = any. A signal ends it as it ends Linux's: EINTR or a short count, unless every handler of the process
  // has SA_RESTART and the call is one that Linux restarts (signal(7)).
  template <typename Call>
  Result<long> run(Call& call, Descriptor fd) {
    CallWaiter<Call> waiter(call, fd);
    return run_to_answer(waiter);
  }

 private:
  class Operation;

  // Who may drive. `polling` and `poll_until` are true of the time the lock is not held.
  struct Driver {
    bool polling = false;
    Instant poll_until = kNever;
  };

  // A call that waits, on its thread's stack.
  class Waiter : public Driver {
   public:
    explicit Waiter(Descriptor fd) : fd_(fd) {}
    virtual ~Waiter() = default;
    virtual std::optional<Result<long>> step(socket::Sockets& sockets, Instant now) = 0;
    virtual Instant deadline() const = 0;
    // It ends before it has answered by itself; what it noted elsewhere is undone.
    virtual void leave() = 0;
    virtual Result<long> interrupted() const = 0;
    virtual bool restartable() const = 0;
    // It asks what is ready: the devices are looked at first.
    virtual bool looks() const = 0;
    // It has what is ready in a list: to ask it before the devices costs next to nothing.
    virtual bool has_list() const = 0;
    // It waits for something of the stack that is no socket's: it is stepped after every turn and call.
    virtual bool watches_stack() const = 0;
    // It waits for data, of which signals do not tell meanwhile.
    virtual bool waits_for_data() const = 0;
    // Descriptors of the kernel that it waits for too, and the signal mask of its wait (null: the thread's
    // own).
    virtual std::span<pollfd> kernel() = 0;
    virtual const sigset_t* mask() const = 0;
    // The descriptor was closed while the call waits; its file has this other number now.
    virtual void move_to(Descriptor fd) = 0;
    // Where a poll() that waits for `fd` holds the file of it when it is closed; null: it does not wait for
    // it. -1: in any case.
    virtual socket::HeldFiles* held(Descriptor fd) = 0;

   private:
    friend class StackHost;
    Descriptor fd_;
    Operation* operation_ = nullptr;  // of a call that no thread waits in
    int bell_ = -1;                   // eventfd that ends its sleep; -1: the futex does
    bool kernel_ready_ = false;       // one of kernel() is; to be stepped
    const void* thread_ = nullptr;    // whose call it is: its SignalWatch
    unsigned handled_ = 0;  // SignalWatch's counts when the call began, or when it was last restarted
    unsigned unrestarted_ = 0;
    std::optional<Result<long>> answer_;
    bool enlisted_ = false;
    bool candidate_ = false;      // to be stepped, in complete_ready()
    Waiter* previous_ = nullptr;  // in the chain of its descriptor
    Waiter* next_ = nullptr;
    Waiter* older_ = nullptr;  // among all waiters
    Waiter* newer_ = nullptr;
    Futex futex_;
  };

  template <typename Call>
  class CallWaiter final : public Waiter {
   public:
    CallWaiter(Call& call, Descriptor fd) : Waiter(fd), call_(call) {}
    std::optional<Result<long>> step(socket::Sockets& sockets, Instant now) override {
      return call_.step(sockets, now);
    }
    Instant deadline() const override { return call_.deadline(); }
    void leave() override {
      if constexpr (requires { call_.leave(); }) call_.leave();
    }
    Result<long> interrupted() const override {
      if constexpr (requires { call_.interrupted(); }) return call_.interrupted();
      return socket::fail(EINTR);
    }
    bool restartable() const override { return !looks() && call_.deadline() == kNever; }
    bool looks() const override {
      return std::is_same_v<Call, socket::BlockingPoll> || std::is_same_v<Call, socket::BlockingEpollWait> ||
             requires { call_.kernel(); };
    }
    bool has_list() const override {
      return std::is_same_v<Call, socket::BlockingEpollWait> || requires { call_.kernel_ready(); };
    }
    bool watches_stack() const override {
      return requires { call_.watches_stack(); };
    }
    bool waits_for_data() const override {
      return requires { Call::kWaitsForData; };
    }
    std::span<pollfd> kernel() override {
      if constexpr (requires { call_.kernel(); }) return call_.kernel();
      return {};
    }
    const sigset_t* mask() const override {
      if constexpr (requires { call_.mask(); }) return call_.mask();
      return nullptr;
    }
    void move_to(Descriptor fd) override {
      if constexpr (requires { call_.move_to(fd); }) call_.move_to(fd);
    }
    socket::HeldFiles* held(Descriptor fd) override {
      if constexpr (requires { call_.held(fd); }) return call_.held(fd);
      return nullptr;
    }

   private:
    Call& call_;
  };

  // A call of start(): owns itself until it is told.
  class Operation {
   public:
    Operation(Finished finished, Completions* to) : finished_(std::move(finished)), to_(to) {}
    virtual ~Operation() = default;
    virtual Waiter& waiter() = 0;

   private:
    friend class StackHost;
    Finished finished_;
    Completions* to_;
    std::multimap<Instant, Operation*>::iterator timed_;
    bool is_timed_ = false;
  };
  template <typename Call>
  class OwnedCall final : public Operation {
   public:
    OwnedCall(Call call, Descriptor fd, Finished finished, Completions* to)
        : Operation(std::move(finished), to), call_(std::move(call)), waiter_(call_, fd) {}
    Waiter& waiter() override { return waiter_; }

   private:
    Call call_;
    CallWaiter<Call> waiter_;
  };
  struct LoopWait;

  // The lock, counting who wants it, and sending the wake-ups once it is free. What the stack's own system
  // calls leave in errno is not the caller's: a call that succeeds leaves errno alone.
  class Lock {
   public:
    explicit Lock(StackHost& host) : host_(host), errno_before_(errno) { acquire(); }
    ~Lock() {
      release();
      errno = errno_before_;
    }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    void acquire();
    void release();

   private:
    static void leave();

    StackHost& host_;
    int errno_before_;
  };

  // A call that does not wait: the lock, the time, and at its end what follows from the call.
  struct Entry {
    explicit Entry(StackHost& h) : host(h), lock(h), now(monotonic_now()) { ++host.calls_; }
    ~Entry() { host.settle(now); }
    StackHost& host;
    Lock lock;
    Instant now;
  };

  Result<long> run_to_answer(Waiter& waiter);
  // `looked`: the devices had nothing more just now.
  void drive(Lock& lock, Waiter& waiter, bool looked);
  void sleep(Lock& lock, Waiter& waiter);
  Futex::Outcome sleep_in_kernel(Lock& lock, Waiter& waiter, Instant deadline);
  void take_kernel_readiness(Waiter& waiter, std::span<const pollfd> polled);
  int borrow_bell();
  void hand_over();
  // One turn and its consequences; true when a device may have more.
  bool turn(Instant now);
  // Polls the devices until `until`, without the lock. False when a signal ended it.
  bool wait_for_devices(Lock& lock, Driver& driver, Instant until, Instant now, Waiter* waiter = nullptr);
  bool spin(Lock& lock, const Waiter* waiter, Instant now);
  // What waits in send buffers, or for its ACK.
  // Both ways, over all devices; takes the lock.
  std::uint64_t bytes_passed();
  std::size_t send_bytes();
  // After every call into the stack: output, and the calls that can go on.
  void settle(Instant now);
  bool complete_ready(Instant now);
  void tell_signals();
  void answer(Waiter& waiter, Result<long> with);
  void begin(std::unique_ptr<Operation> operation);
  void complete(Operation& operation);
  static void tell(std::unique_ptr<Operation> operation);
  // Ends the operations whose time is over.
  void expire(Instant now);
  // When the driver must look up at the latest.
  Instant next_deadline() const {
    return timed_.empty() ? stack_.next_timeout() : std::min(stack_.next_timeout(), timed_.begin()->first);
  }
  // Calls that wait on `fd` go on under another number, as `fd` is about to be closed.
  void set_aside_waiters(Descriptor fd);
  void hold_for_polls(Descriptor fd);
  void let_go_of_aside(Waiter& waiter);
  // Ends every call that waits on `fd`.
  void answer_all(Descriptor fd, Result<long> with);
  void interrupt(Waiter& waiter);

  Waiter** chain_of(Descriptor fd);
  void notice_errors(std::span<const pollfd> polled);
  void enlist(Waiter& waiter);
  void delist(Waiter& waiter);
  void wake(Futex& futex, int bell = -1);
  void kick();
  void let_others_in(Lock& lock);

  void serve();
  void steer();
  void service_turns(Lock& lock);
  void service_drive(Lock& lock);
  void service_leaves();

  const HostConfig config_;
  GivenBuffers given_;  // goes after the stack, which points into them
  std::mutex mutex_;
  std::atomic<int> contenders_ = 0;  // threads at the mutex
  stack::Stack stack_;
  socket::Sockets sockets_;
  std::vector<pollfd> polled_;      // the kick, then the devices; -1 = a device that is gone
  std::vector<int> device_errors_;  // of each in polled_: looks in a row that found an error and no frame
  drivers::KernelDescriptor kick_;  // eventfd; readable = the driver shall look up
  bool kicked_ = false;
  Driver* driver_ = nullptr;            // who drives; null = nobody
  Instant last_turn_{};                 // over the devices
  std::size_t send_bytes_at_turn_ = 0;  // send_bytes() after it

  std::vector<Waiter*> chains_;                    // waiters by descriptor, last come first
  Waiter* anywhere_ = nullptr;                     // waiters for any descriptor
  Waiter* newest_ = nullptr;                       // of all waiters with a thread
  Waiter* newest_started_ = nullptr;               // of those without
  int watchers_ = 0;                               // of all waiters, who watch the stack
  std::multimap<Instant, Operation*> timed_;       // operations with a deadline
  std::vector<Operation*> finished_;               // to be told when the lock is released
  std::vector<std::shared_ptr<void>> given_back_;  // to be let go of then
  std::vector<Waiter*> candidates_;                // scratch of complete_ready()
  std::vector<int>
      bells_;  // eventfds that nobody sleeps on; never closed before the host, as a wake-up may be late
  std::unique_ptr<link::ByteSink> capture_sink_;
  std::optional<link::PcapngWriter> capture_;
  // Posted; woken when the lock is released. More are woken at once.
  struct WakeUp {
    const Futex* futex;
    int bell;
    void send() const;
  };
  std::array<WakeUp, 16> to_wake_;
  std::size_t to_wake_count_ = 0;
  HostStats stats_;
  std::uint64_t calls_ = 0;  // that the program made

  std::atomic<int> turn_processor_ = -1;  // where a thread of the program's ran the last turn
  std::optional<Steerer> steerer_;        // the service thread's, once steers_
  std::atomic<bool> steers_ = false;

  Driver service_;
  Futex service_futex_;
  bool service_asleep_ = false;  // sleeps until somebody wakes it, not for a tick
  bool stopping_ = false;
  std::thread service_thread_;
};

class StackHost::Completions {
 public:
  Completions() = default;
  Completions(const Completions&) = delete;
  Completions& operator=(const Completions&) = delete;

 private:
  friend class StackHost;
  std::vector<Operation*> done_;  // all under the host's lock
  Waiter* sleeper_ = nullptr;     // the loop's own call, while it waits
  bool rung_ = false;
};

}  // namespace tapir::runtime
