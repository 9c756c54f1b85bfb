// SPDX-License-Identifier: Apache-2.0
// syscall(2) with a number of ours: node closes sockets so, dig sends by it.
#include <sys/syscall.h>
#include <time.h>

#include "preload/libc.h"
#include "preload/process.h"
#include "preload/wait_calls.h"

extern "C" {
// Defined beside, each under libc's name.
#define TAPIR_OF_OURS(name, result, parameters) result tapir_libc_##name parameters __asm__(#name);
TAPIR_REAL_FUNCTIONS(TAPIR_OF_OURS)
#undef TAPIR_OF_OURS
}

namespace tapir::preload {
namespace {

template <typename To>
To as(long argument) {
  if constexpr (std::is_pointer_v<To>) {
    return reinterpret_cast<To>(argument);
  } else {
    return static_cast<To>(argument);
  }
}

// Calls `function` with the first arguments of `from`, each in its own type.
template <typename Result, typename... Parameters>
long call(Result (*function)(Parameters...), const long* from) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return static_cast<long>(function(as<Parameters>(from[I])...));
  }(std::index_sequence_for<Parameters...>());
}

}  // namespace

TAPIR_LIBC(long, syscall, long number, long a, long b, long c, long d, long e, long f) {
  const long arguments[] = {a, b, c, d, e, f};
  switch (number) {
#define TAPIR_BY_NUMBER(name) \
  case SYS_##name:            \
    return call(&tapir_libc_##name, arguments);
    TAPIR_BY_NUMBER(socket)
    TAPIR_BY_NUMBER(bind)
    TAPIR_BY_NUMBER(listen)
    TAPIR_BY_NUMBER(accept)
    TAPIR_BY_NUMBER(accept4)
    TAPIR_BY_NUMBER(connect)
    TAPIR_BY_NUMBER(shutdown)
    TAPIR_BY_NUMBER(getsockname)
    TAPIR_BY_NUMBER(getpeername)
    TAPIR_BY_NUMBER(getsockopt)
    TAPIR_BY_NUMBER(setsockopt)
    TAPIR_BY_NUMBER(sendto)
    TAPIR_BY_NUMBER(sendmsg)
    TAPIR_BY_NUMBER(sendmmsg)
    TAPIR_BY_NUMBER(recvfrom)
    TAPIR_BY_NUMBER(recvmsg)
    TAPIR_BY_NUMBER(recvmmsg)
    TAPIR_BY_NUMBER(read)
    TAPIR_BY_NUMBER(write)
    TAPIR_BY_NUMBER(readv)
    TAPIR_BY_NUMBER(writev)
    TAPIR_BY_NUMBER(sendfile)
    TAPIR_BY_NUMBER(splice)
    TAPIR_BY_NUMBER(close)
    TAPIR_BY_NUMBER(close_range)
    TAPIR_BY_NUMBER(dup)
    TAPIR_BY_NUMBER(dup2)
    TAPIR_BY_NUMBER(dup3)
    TAPIR_BY_NUMBER(fcntl)
    TAPIR_BY_NUMBER(ioctl)
    TAPIR_BY_NUMBER(poll)
    TAPIR_BY_NUMBER(epoll_ctl)
    TAPIR_BY_NUMBER(epoll_wait)
#undef TAPIR_BY_NUMBER
    // The kernel's has the mask's size as one argument more.
    case SYS_ppoll:
      return ppoll_of_program(as<pollfd*>(a), as<nfds_t>(b), as<const timespec*>(c), as<const sigset_t*>(d));
    case SYS_epoll_pwait:
      return tapir_libc_epoll_pwait(as<int>(a), as<epoll_event*>(b), as<int>(c), as<int>(d),
                                    as<const sigset_t*>(e));
    case SYS_io_uring_setup:
      say_once(
          Topic::kUnknown,
          "the program uses io_uring: sockets that it opens or serves by it are the kernel's, not tapir's");
      [[fallthrough]];
    default:
      return libc().syscall(number, a, b, c, d, e, f);
  }
}

}  // namespace tapir::preload
