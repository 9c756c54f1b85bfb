// SPDX-License-Identifier: Apache-2.0
#include "preload/libc.h"

#include <dlfcn.h>

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
