// SPDX-License-Identifier: Apache-2.0
#include "runtime/restart.h"

#include <signal.h>

namespace tapir::runtime {
namespace {

// A thread raises these itself, by what it does: they do not end a wait (and sanitizers handle them, without
// SA_RESTART).
bool is_fault(int signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL || signal == SIGTRAP ||
         signal == SIGABRT;
}

}  // namespace

bool all_handlers_restart() {
  for (int signal = 1; signal < NSIG; ++signal) {
    if (is_fault(signal)) continue;
    struct sigaction action{};
    if (::sigaction(signal, nullptr, &action) != 0) continue;  // reserved by libc
    if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) continue;
    if ((action.sa_flags & SA_RESTART) == 0) return false;
  }
  return true;
}

}  // namespace tapir::runtime
