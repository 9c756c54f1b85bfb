// SPDX-License-Identifier: Apache-2.0
// The stack of this process: made when the first socket is asked for, so that a program may fork and go to
// the background before; and what becomes of it at fork(2) and exit(3).
#pragma once

#include <cerrno>
#include <string_view>

#include "preload/numbers.h"
#include "preload/settings.h"
#include "runtime/stack_host.h"

namespace tapir::preload {

// The host; made by the first call. Null when it cannot be had (no device, or the process is a child of the
// one that has the stack): that has been said on stderr, once, and errno is what socket(2) shall answer.
runtime::StackHost* start_stack();
// The host that exists. A number that is ours implies one.
runtime::StackHost& stack();
bool has_stack();
// Null without a stack.
const Settings* settings();

// This process was forked from the one that has the stack, with its memory copied (fork) or shared (vfork):
// it may not use it. `in_shared_memory` costs a system call; the copied one is known without.
bool is_copy();
bool is_other_process();

// For calls on a number that is ours: true when it may be used here. Else the sentence has been said once and
// errno is EBADF.
bool usable();

// One sentence on stderr; each `topic` once a process.
enum class Topic : unsigned char { kStack, kChild, kPassed, kUnknown };
void say_once(Topic topic, std::string_view sentence);

// The host's own kernel descriptors are numbered from here on, out of the program's way: the last 64 that the
// process may have.
bool is_internal(int fd);
int first_internal();
inline constexpr int kInternalMax = 64;

// While it lives, this thread's calls on internal descriptors are the host's own.
class Inside {
 public:
  Inside();
  ~Inside();
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
};

// Whether there is one: socket calls are the host's own, and the kernel's.
bool is_inside();

// At the program's end: closes its sockets and lets TCP deliver what is still to be delivered, as the kernel
// would.
void finish();

// What libc answers: the value, or -1 and errno.
template <typename To, typename From>
To answer(const socket::Result<From>& result) {
  if (!result) {
    errno = static_cast<int>(result.error());
    return -1;
  }
  return static_cast<To>(*result);
}

}  // namespace tapir::preload
