// SPDX-License-Identifier: Apache-2.0
#include "preload/libc.h"

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>

namespace tapir::preload {
namespace {

long absent() {
  errno = ENOSYS;
  return -1;
}

Libc table;
std::atomic<bool> complete = false;

template <typename Function>
void find(Function& into, const char* name) {
  void* found = ::dlsym(RTLD_NEXT, name);
  into = reinterpret_cast<Function>(found != nullptr ? found : reinterpret_cast<void*>(&absent));
}

const Libc& complete_table() {
#define TAPIR_FIND(name, result, parameters) find(table.name, #name);
  TAPIR_REAL_FUNCTIONS(TAPIR_FIND)
#undef TAPIR_FIND
  complete.store(true, std::memory_order_release);
  return table;
}

}  // namespace

// Called before main() by other libraries' constructors too: found when first asked. Two threads that both do
// write the same.
const Libc& libc() { return complete.load(std::memory_order_acquire) ? table : complete_table(); }

}  // namespace tapir::preload

// What the stack itself calls when it waits: it polls kernel halves of epoll sets, which for the program are
// more than that.
extern "C" int tapir_wrapped_ppoll(pollfd* descriptors, nfds_t count, const timespec* timeout,
                                   const sigset_t* mask) __asm__("__wrap_ppoll");
extern "C" int tapir_wrapped_ppoll(pollfd* descriptors, nfds_t count, const timespec* timeout,
                                   const sigset_t* mask) {
  // A thread that is cancelled here would leave its call on the stack's list.
  int before = 0;
  ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
  const int result = tapir::preload::libc().ppoll(descriptors, count, timeout, mask);
  const int error = errno;
  ::pthread_setcancelstate(before, nullptr);
  errno = error;
  return result;
}
