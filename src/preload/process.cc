// SPDX-License-Identifier: Apache-2.0
#include "preload/process.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <string>

#include "preload/control.h"
#include "preload/libc.h"
#include "preload/signal_relays.h"
#include "runtime/signal_watch.h"

namespace tapir::preload {
namespace {

// How long a process that ends waits for its peers to take what it has sent. The kernel would go on for
// minutes, without it.
constexpr Duration kFinishMax = 15s;
// How often it looks. The service thread meanwhile drives.
constexpr Duration kFinishTick = 500us;

enum class State : unsigned char { kNone, kRunning, kFailed, kCopy };

std::atomic<State> state = State::kNone;
std::mutex starting;
std::atomic<pid_t> owner = 0;
std::atomic<unsigned> said = 0;
int failure = ENETDOWN;
// Never destroyed: other threads may be in it until the process is gone.
alignas(runtime::StackHost) std::byte host_memory[sizeof(runtime::StackHost)];
alignas(Settings) std::byte settings_memory[sizeof(Settings)];
std::atomic<int> first_of_internals = kNumbersMax;
thread_local int inside = 0;
thread_local bool forking = false;

runtime::StackHost& host() { return *std::launder(reinterpret_cast<runtime::StackHost*>(host_memory)); }
Settings& settings_of_process() { return *std::launder(reinterpret_cast<Settings*>(settings_memory)); }

pid_t pid_now() { return static_cast<pid_t>(libc().syscall(SYS_getpid, 0, 0, 0, 0, 0, 0)); }

// By the limit of this moment: the program may have changed it since it began.
void choose_internals() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = 1024;
  first_of_internals.store(
      std::max(static_cast<int>(std::min<rlim_t>(limit.rlim_cur, kNumbersMax)) - kInternalMax, 3));
}

// Only one process may read the TAP. An abstract unix name is held until its holder is gone, whatever ends
// it.
std::expected<void, std::string> take_device(const std::string& device) {
  const int fd = libc().socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return {};
  int held = libc().fcntl(fd, F_DUPFD_CLOEXEC, first_internal());
  if (held >= 0) {
    libc().close(fd);
  } else {
    held = fd;
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "tapir-device-" + device;
  std::memcpy(address.sun_path + 1, name.data(), std::min(name.size(), sizeof address.sun_path - 1));
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (libc().bind(held, reinterpret_cast<const sockaddr*>(&address), length) == 0) return {};
  libc().close(held);
  return std::unexpected(
      "another program has the device " + device +
      " and its stack: programs that use sockets at the same time need a `tapir run` each");
}

std::expected<void, std::string> make_interface(Settings& wanted) {
  stack::InterfaceConfig interface;
  interface.addresses = wanted.addresses;
  std::expected<InterfaceId, std::string> made;
  if (wanted.device_fd) {
    if (auto taken = take_device(wanted.device.value_or("tap")); !taken) return taken;
    // It stays open for the programs that this one may become by exec.
    const int fd = libc().fcntl(*wanted.device_fd, F_DUPFD_CLOEXEC, first_internal());
    if (fd < 0)
      return std::unexpected("the device of `tapir run` (descriptor " + std::to_string(*wanted.device_fd) +
                             ") was closed");
    made = host().add_inherited_tap(drivers::KernelDescriptor(fd), interface);
    if (made && wanted.device) host().steer_receiver(*wanted.device);
  } else if (wanted.device) {
    made = host().add_tap({.name = *wanted.device}, interface);
    if (made) {
      if (auto up = runtime::StackHost::set_up_kernel_end(*wanted.device, wanted.peer); !up) return up;
    }
  } else {
    return std::unexpected("there is no device: start the program with `tapir run`, or set TAPIR_DEV");
  }
  if (!made) return std::unexpected(made.error());
  if (wanted.gateway && !host().add_route(IpPrefix{IpAddress::any_v4(), 0}, *wanted.gateway, *made))
    return std::unexpected("the gateway " + wanted.gateway->to_string() + " is in no network of the stack");
  return {};
}

std::expected<void, std::string> make_stack() {
  auto wanted = read_settings();
  if (!wanted) return std::unexpected(wanted.error());
  Settings& kept = *new (settings_memory) Settings(std::move(*wanted));
  runtime::HostConfig config;
  config.first_descriptor = 0;
  config.descriptors_max = static_cast<std::size_t>(kNumbersMax);
  choose_internals();
  config.first_kernel_descriptor = first_internal();
  config.on_signal = relay_signal;
  config.stack.privileged = ::geteuid() == 0;
  new (host_memory) runtime::StackHost(config);
  if (kept.pcap) {
    if (auto capture = host().capture_to(*kept.pcap); !capture) return capture;
  }
  for (const auto& [name, value] : kept.sysctls)
    if (auto set = host().sysctl_set(name, value); !set) return set;
  if (auto made = make_interface(kept); !made) return made;
  if (kept.control) return open_control(*kept.control, host());
  return {};
}

void before_fork() {
  if (state.load() != State::kRunning) return;
  forking = true;
  // A handler that ran now and used a socket would wait for this thread for ever.
  runtime::signal_watch().busy.fetch_add(1);
  host().lock_for_fork();
}

void after_fork_in_parent() {
  if (!std::exchange(forking, false)) return;
  host().unlock_after_fork();
  runtime::SignalWatch& signals = runtime::signal_watch();
  if (signals.busy.fetch_sub(1) == 1 && signals.deferred.load()) runtime::run_deferred.load()();
}

void after_fork_in_child() {
  if (state.load() == State::kFailed) state.store(State::kNone);
  if (!std::exchange(forking, false)) return;
  // What came to the parent meanwhile is the parent's.
  runtime::signal_watch().busy.fetch_sub(1);
  runtime::signal_watch().deferred.store(false);
  state.store(State::kCopy);
  // The parent's device and wake-ups.
  for (int fd = first_internal(); fd < first_internal() + kInternalMax; ++fd) libc().close(fd);
}

__attribute__((constructor)) void begin() {
  (void)libc();
  ::pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

__attribute__((destructor)) void end() { finish(); }

}  // namespace

Inside::Inside() { ++inside; }
Inside::~Inside() { --inside; }

bool is_inside() { return inside != 0; }

int first_internal() { return first_of_internals.load(std::memory_order_relaxed); }

bool is_internal(int fd) {
  return fd >= first_internal() && fd < first_internal() + kInternalMax && inside == 0 &&
         state.load(std::memory_order_relaxed) == State::kRunning;
}

runtime::StackHost* start_stack() {
  if (state.load(std::memory_order_acquire) == State::kRunning) return &host();
  const std::lock_guard lock(starting);
  if (state.load() == State::kCopy) {
    say_once(Topic::kChild,
             "a child of the program that has the stack asks for a socket: it can have none (the stack lives "
             "in its parent)");
    errno = ENETDOWN;
    return nullptr;
  }
  if (state.load() == State::kNone) {
    const Inside guard;
    owner.store(pid_now());
    if (const auto made = make_stack(); made) {
      state.store(State::kRunning, std::memory_order_release);
    } else {
      say_once(Topic::kStack, made.error());
      state.store(State::kFailed);
    }
  }
  if (state.load() == State::kRunning) return &host();
  errno = failure;
  return nullptr;
}

runtime::StackHost& stack() { return host(); }
bool has_stack() { return state.load(std::memory_order_acquire) == State::kRunning; }
const Settings* settings() { return has_stack() ? &settings_of_process() : nullptr; }

bool is_copy() { return state.load(std::memory_order_relaxed) == State::kCopy; }
bool is_other_process() {
  return is_copy() ||
         (owner.load(std::memory_order_relaxed) != 0 && pid_now() != owner.load(std::memory_order_relaxed));
}

bool usable() {
  // Most of libc's socket calls are points where a thread may be cancelled; within the stack it cannot be.
  ::pthread_testcancel();
  if (!is_copy()) [[likely]]
    return true;
  say_once(
      Topic::kChild,
      "a child process uses a socket of its parent's stack: that cannot be, its descriptors are closed here");
  errno = EBADF;
  return false;
}

void say_once(Topic topic, std::string_view sentence) {
  const unsigned bit = 1u << static_cast<unsigned>(topic);
  if ((said.fetch_or(bit) & bit) != 0) return;
  const std::string line = "tapir: " + std::string(sentence) + ".\n";
  (void)!libc().write(STDERR_FILENO, line.data(), line.size());
}

void finish() {
  if (!has_stack() || is_other_process()) return;
  {
    const Inside guard;
    close_control();
  }
  for (int fd = 0; fd < numbers_end(); ++fd)
    if (const Number number = take_number(fd); number.is_socket()) (void)stack().abandon(number.descriptor);
  const Instant until = runtime::monotonic_now() + kFinishMax;
  const timespec tick{0, std::chrono::nanoseconds(kFinishTick).count()};
  while (stack().unfinished() != 0 && runtime::monotonic_now() < until) ::nanosleep(&tick, nullptr);
}

}  // namespace tapir::preload
