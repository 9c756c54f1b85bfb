// SPDX-License-Identifier: Apache-2.0
// Signal handlers: each is called by one of ours, which tells the calls that wait (runtime/signal_watch.h),
// and puts the handler off while its thread holds the stack's lock: a handler may call what it likes.
#include <signal.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "preload/libc.h"
#include "preload/process.h"
#include "runtime/signal_watch.h"

namespace tapir::preload {
namespace {

using Handler = void (*)(int, siginfo_t*, void*);

// What the program has installed. Read in handlers: every field by itself.
struct Action {
  std::atomic<Handler> handler = nullptr;
  std::atomic<int> flags = 0;
};
constinit std::array<Action, NSIG> actions;

// A signal that came at the wrong time. One of each kind waits, as in the kernel.
struct Deferred {
  std::atomic<std::uint64_t> signals = 0;  // bit: signal number
  std::array<siginfo_t, NSIG> info{};
};
__attribute__((tls_model("initial-exec"))) constinit thread_local Deferred* deferred = nullptr;

std::uint64_t bit_of(int signal) { return std::uint64_t{1} << (signal & 63); }

// A thread raises these by what it does: they cannot wait.
bool is_fault(int signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL || signal == SIGTRAP ||
         signal == SIGABRT || signal == SIGSYS;
}

void call(int signal, siginfo_t* info, void* context) {
  Action& action = actions[static_cast<std::size_t>(signal)];
  const Handler handler = action.handler.load();
  const int flags = action.flags.load();
  if (handler == nullptr) return;
  runtime::note_signal((flags & SA_RESTART) != 0);
  if ((flags & SA_SIGINFO) != 0) {
    handler(signal, info, context);
  } else {
    reinterpret_cast<void (*)(int)>(reinterpret_cast<void*>(handler))(signal);
  }
}

// Static storage for the first threads that need it: a handler may not allocate. A thread that finds none is
// served at once.
constexpr std::size_t kDeferringThreadsMax = 64;
std::array<Deferred, kDeferringThreadsMax> storage;
std::atomic<std::size_t> storage_used = 0;

void on_signal(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  runtime::SignalWatch& watch = runtime::signal_watch();
  if (watch.busy.load() != 0 && !is_fault(signal)) {
    if (deferred == nullptr) {
      const std::size_t index = storage_used.fetch_add(1);
      if (index < storage.size()) deferred = &storage[index];
    }
    if (deferred != nullptr) {
      deferred->info[static_cast<std::size_t>(signal)] = *info;
      deferred->signals.fetch_or(bit_of(signal));
      watch.deferred.store(true);
      errno = error;
      return;
    }
  }
  call(signal, info, context);
  errno = error;
}

void run_deferred_signals() {
  const int error = errno;
  runtime::signal_watch().deferred.store(false);
  if (deferred != nullptr) {
    for (std::uint64_t waiting = deferred->signals.exchange(0); waiting != 0; waiting &= waiting - 1) {
      const int number = __builtin_ctzll(waiting);
      const int signal = number != 0 ? number : 64;
      siginfo_t info = deferred->info[static_cast<std::size_t>(signal)];
      call(signal, &info, nullptr);
    }
  }
  errno = error;
}

void leave_calls() {
  if (runtime::signal_watch().calls != 0 && has_stack() && !is_other_process()) stack().leave_calls();
}

using SigactionCall = int (*)(int, const struct sigaction*, struct sigaction*);

bool is_ours(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == on_signal;
}

int set_action(int signal, const struct sigaction* wanted, struct sigaction* before) {
  const SigactionCall real = libc().sigaction;
  if (signal <= 0 || signal >= NSIG) return real(signal, wanted, before);
  Action& action = actions[static_cast<std::size_t>(signal)];
  const Handler old_handler = action.handler.load();
  const int old_flags = action.flags.load();
  struct sigaction installed{};
  if (wanted != nullptr) {
    installed = *wanted;
    // For the defaults the table stays: a vforked child that sets them shares it with us.
    const bool handled = (wanted->sa_flags & SA_SIGINFO) != 0 ||
                         (wanted->sa_handler != SIG_DFL && wanted->sa_handler != SIG_IGN);
    if (handled) {
      runtime::run_deferred.store(run_deferred_signals);
      action.flags.store(wanted->sa_flags);
      action.handler.store((wanted->sa_flags & SA_SIGINFO) != 0
                               ? wanted->sa_sigaction
                               : reinterpret_cast<Handler>(reinterpret_cast<void*>(wanted->sa_handler)));
      installed.sa_sigaction = on_signal;
      installed.sa_flags |= SA_SIGINFO;
    }
  }
  struct sigaction previous{};
  const int result = real(signal, wanted != nullptr ? &installed : nullptr, &previous);
  if (result != 0) {
    action.handler.store(old_handler);
    action.flags.store(old_flags);
    return result;
  }
  if (before != nullptr) {
    *before = previous;
    if (is_ours(previous)) {
      before->sa_sigaction = old_handler;
      before->sa_flags = (previous.sa_flags & ~SA_SIGINFO) | (old_flags & SA_SIGINFO);
    }
  }
  return 0;
}

using Plain = void (*)(int);

Plain set_plain(int signal, Plain handler, int flags) {
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = handler;
  action.sa_flags = flags;
  return set_action(signal, &action, &before) == 0 ? before.sa_handler : SIG_ERR;
}

}  // namespace

TAPIR_LIBC(int, sigaction, int signal, const struct sigaction* wanted, struct sigaction* before) {
  return set_action(signal, wanted, before);
}
TAPIR_LIBC(int, __sigaction, int signal, const struct sigaction* wanted, struct sigaction* before) {
  return set_action(signal, wanted, before);
}
TAPIR_LIBC(Plain, signal, int number, Plain handler) { return set_plain(number, handler, SA_RESTART); }
TAPIR_LIBC(Plain, bsd_signal, int number, Plain handler) { return set_plain(number, handler, SA_RESTART); }
TAPIR_LIBC(Plain, ssignal, int number, Plain handler) { return set_plain(number, handler, SA_RESTART); }
TAPIR_LIBC(Plain, sysv_signal, int number, Plain handler) {
  return set_plain(number, handler, static_cast<int>(SA_RESETHAND) | SA_NODEFER);
}
TAPIR_LIBC(Plain, __sysv_signal, int number, Plain handler) {
  return set_plain(number, handler, static_cast<int>(SA_RESETHAND) | SA_NODEFER);
}
TAPIR_LIBC(int, siginterrupt, int number, int interrupts) {
  struct sigaction action{};
  if (set_action(number, nullptr, &action) != 0) return -1;
  action.sa_flags = interrupts != 0 ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
  return set_action(number, &action, nullptr);
}

// A handler that jumps out of a call that waits: the call is over.
TAPIR_LIBC(void, longjmp, __jmp_buf_tag* to, int value) {
  leave_calls();
  libc().longjmp(to, value);
}
TAPIR_LIBC(void, _longjmp, __jmp_buf_tag* to, int value) {
  leave_calls();
  libc()._longjmp(to, value);
}
TAPIR_LIBC(void, siglongjmp, __jmp_buf_tag* to, int value) {
  leave_calls();
  libc().siglongjmp(to, value);
}
TAPIR_LIBC(void, __longjmp_chk, __jmp_buf_tag* to, int value) {
  leave_calls();
  libc().__longjmp_chk(to, value);
}

}  // namespace tapir::preload
