// SPDX-License-Identifier: Apache-2.0
// What a thread's calls know of its signal handlers, when somebody stands between the kernel and them
// (preload/): that one has run since the call began, also before the call could sleep; and that none runs
// while the thread holds a stack's lock.
#pragma once

#include <atomic>

#include "runtime/futex.h"

namespace tapir::runtime {

struct SignalWatch {
  std::atomic<unsigned> handled = 0;      // handlers that have run
  std::atomic<unsigned> unrestarted = 0;  // of those, without SA_RESTART
  std::atomic<int> bell = -1;             // eventfd that ends the thread's wait; -1: it does not wait on one
  std::atomic<Futex*> futex = nullptr;    // posted instead
  int cancel_state = 0;       // the thread's own, while busy: nobody is cancelled in the midst of the stack
  std::atomic<int> busy = 0;  // locks held: a handler must wait until 0
  std::atomic<bool> deferred = false;  // one waits
  int calls = 0;                       // of the thread, that wait: more than one when a handler calls too
};

// This thread's. Constant-initialized, so that a handler may ask.
SignalWatch& signal_watch();

// Runs what was deferred; set once by who stands between, before any handler is installed. Null: nobody does.
using RunDeferred = void (*)();
extern std::atomic<RunDeferred> run_deferred;
inline bool signals_are_watched() { return run_deferred.load(std::memory_order_relaxed) != nullptr; }

// For the handler's side: one has run in this thread; ends its wait, if it waits. May be called in a signal
// handler.
void note_signal(bool restarts);

}  // namespace tapir::runtime
