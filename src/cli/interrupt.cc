// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.h"

#include <sys/time.h>

namespace tapir::cli {
namespace {

// A handler can reach nothing but a global.
volatile std::sig_atomic_t received = 0;

// A signal between a look at the flag and a call that waits would be slept over: until it is heeded, it is
// repeated.
void note(int signal) {
  received = signal;
  static constexpr itimerval kRepeat = {{0, 20'000}, {0, 20'000}};
  ::setitimer(ITIMER_REAL, &kRepeat, nullptr);
}
void interrupt_only(int) {}

}  // namespace

void catch_interrupts() {
  struct sigaction action{};
  action.sa_handler = note;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // and no SA_RESTART
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  action.sa_flags = 0;
  action.sa_handler = interrupt_only;
  ::sigaction(SIGALRM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
}

void forget_interrupt() {
  static constexpr itimerval kOff{};
  ::setitimer(ITIMER_REAL, &kOff, nullptr);
  received = 0;
  catch_interrupts();
}

const volatile std::sig_atomic_t& interrupted() { return received; }

void wait_for_interrupt() {
  sigset_t ending;
  sigset_t before;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  // Blocked but for the sleep itself, so that none comes between the look and the sleep.
  ::pthread_sigmask(SIG_BLOCK, &ending, &before);
  while (received == 0) ::sigsuspend(&before);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace tapir::cli
