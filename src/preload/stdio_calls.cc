// SPDX-License-Identifier: Apache-2.0
// stdio on sockets. libc's stdio reads and writes inside libc, where nothing can be put in front of it; a
// stream over a socket of ours is a stream with functions of its own (fopencookie(3)).
#include <cerrno>
#include <map>
#include <mutex>

#include "preload/data_calls.h"
#include "preload/libc.h"
#include "preload/process.h"

extern "C" int tapir_libc_close(int fd) __asm__("close");

namespace tapir::preload {
namespace {

std::mutex streams_mutex;
// fileno(3) of the streams over sockets of ours.
std::map<FILE*, int>& streams() {
  static auto* map = new std::map<FILE*, int>;
  return *map;
}
std::atomic<bool> any_streams = false;

int number_in(void* cookie) { return static_cast<int>(reinterpret_cast<std::intptr_t>(cookie)); }

ssize_t read_stream(void* cookie, char* data, std::size_t size) {
  const Number number = number_of(number_in(cookie));
  if (!number || !usable()) return answer<ssize_t>(socket::Result<long>(socket::fail(EBADF)));
  return answer<ssize_t>(stack().recv(number.descriptor, data, size));
}

// fopencookie's write answers 0 for an error, never less.
ssize_t write_stream(void* cookie, const char* data, std::size_t size) {
  const Number number = number_of(number_in(cookie));
  if (!number || !usable()) {
    errno = EBADF;
    return 0;
  }
  std::size_t written = 0;
  while (written < size) {
    const ssize_t once = write_to(number, data + written, size - written);
    if (once <= 0) break;
    written += static_cast<std::size_t>(once);
  }
  return static_cast<ssize_t>(written);
}

int no_seek(void*, off64_t*, int) {
  errno = ESPIPE;
  return -1;
}

int close_stream(void* cookie) {
  {
    const std::lock_guard lock(streams_mutex);
    for (auto it = streams().begin(); it != streams().end(); ++it)
      if (it->second == number_in(cookie)) {
        streams().erase(it);
        break;
      }
  }
  return tapir_libc_close(number_in(cookie));
}

}  // namespace

TAPIR_LIBC(FILE*, fdopen, int fd, const char* mode) {
  if (!number_of(fd).is_socket()) return libc().fdopen(fd, mode);
  FILE* stream = ::fopencookie(reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)), mode,
                               {read_stream, write_stream, no_seek, close_stream});
  if (stream == nullptr) return nullptr;
  const std::lock_guard lock(streams_mutex);
  streams()[stream] = fd;
  any_streams.store(true);
  return stream;
}

TAPIR_LIBC(int, fileno, FILE* stream) {
  if (any_streams.load(std::memory_order_relaxed)) {
    const std::lock_guard lock(streams_mutex);
    if (const auto found = streams().find(stream); found != streams().end()) return found->second;
  }
  return libc().fileno(stream);
}
TAPIR_LIBC(int, fileno_unlocked, FILE* stream) { return tapir_libc_fileno(stream); }

// ---- the program's end ----

extern "C" [[noreturn]] void tapir_libc__exit(int status) __asm__("_exit");
extern "C" [[noreturn]] void tapir_libc__exit(int status) {
  finish();
  libc()._exit(status);
  __builtin_unreachable();
}
extern "C" [[noreturn]] void tapir_libc__Exit(int status) __asm__("_Exit");
extern "C" [[noreturn]] void tapir_libc__Exit(int status) { tapir_libc__exit(status); }

}  // namespace tapir::preload
