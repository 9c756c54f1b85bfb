// SPDX-License-Identifier: Apache-2.0
#include "runtime/signal_watch.h"

#include <sys/eventfd.h>

namespace tapir::runtime {

namespace {
__attribute__((tls_model("initial-exec"))) constinit thread_local SignalWatch watch;
}

std::atomic<RunDeferred> run_deferred = nullptr;

SignalWatch& signal_watch() { return watch; }

void note_signal(bool restarts) {
  watch.handled.fetch_add(1);
  if (!restarts) watch.unrestarted.fetch_add(1);
  if (const int bell = watch.bell.load(); bell >= 0) ::eventfd_write(bell, 1);
  if (Futex* futex = watch.futex.load(); futex != nullptr) futex->post();
}

}  // namespace tapir::runtime
