// SPDX-License-Identifier: Apache-2.0
// The C library's own functions, behind those that this library puts in front of them; and how such a one is
// defined.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <poll.h>
#include <resolv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

// Defines libc's function `name` under a name of our own, so that no declaration of libc's headers (nonnull,
// redirections, throw()) says how it must be written.
#define TAPIR_LIBC(result, name, ...)                              \
  extern "C" result tapir_libc_##name(__VA_ARGS__) __asm__(#name); \
  extern "C" result tapir_libc_##name(__VA_ARGS__)

namespace tapir::preload {

// name, result, parameters.
#define TAPIR_REAL_FUNCTIONS(X)                                                                  \
  X(socket, int, (int, int, int))                                                                \
  X(bind, int, (int, const sockaddr*, socklen_t))                                                \
  X(listen, int, (int, int))                                                                     \
  X(accept4, int, (int, sockaddr*, socklen_t*, int))                                             \
  X(accept, int, (int, sockaddr*, socklen_t*))                                                   \
  X(connect, int, (int, const sockaddr*, socklen_t))                                             \
  X(shutdown, int, (int, int))                                                                   \
  X(getsockname, int, (int, sockaddr*, socklen_t*))                                              \
  X(getpeername, int, (int, sockaddr*, socklen_t*))                                              \
  X(getsockopt, int, (int, int, int, void*, socklen_t*))                                         \
  X(setsockopt, int, (int, int, int, const void*, socklen_t))                                    \
  X(send, ssize_t, (int, const void*, std::size_t, int))                                         \
  X(sendto, ssize_t, (int, const void*, std::size_t, int, const sockaddr*, socklen_t))           \
  X(sendmsg, ssize_t, (int, const msghdr*, int))                                                 \
  X(sendmmsg, int, (int, mmsghdr*, unsigned, int))                                               \
  X(recv, ssize_t, (int, void*, std::size_t, int))                                               \
  X(recvfrom, ssize_t, (int, void*, std::size_t, int, sockaddr*, socklen_t*))                    \
  X(recvmsg, ssize_t, (int, msghdr*, int))                                                       \
  X(recvmmsg, int, (int, mmsghdr*, unsigned, int, timespec*))                                    \
  X(read, ssize_t, (int, void*, std::size_t))                                                    \
  X(write, ssize_t, (int, const void*, std::size_t))                                             \
  X(readv, ssize_t, (int, const iovec*, int))                                                    \
  X(writev, ssize_t, (int, const iovec*, int))                                                   \
  X(preadv2, ssize_t, (int, const iovec*, int, off_t, int))                                      \
  X(pwritev2, ssize_t, (int, const iovec*, int, off_t, int))                                     \
  X(sockatmark, int, (int))                                                                      \
  X(sendfile, ssize_t, (int, int, off_t*, std::size_t))                                          \
  X(splice, ssize_t, (int, off64_t*, int, off64_t*, std::size_t, unsigned))                      \
  X(close, int, (int))                                                                           \
  X(close_range, int, (unsigned, unsigned, int))                                                 \
  X(closefrom, void, (int))                                                                      \
  X(dup, int, (int))                                                                             \
  X(dup2, int, (int, int))                                                                       \
  X(dup3, int, (int, int, int))                                                                  \
  X(fcntl, int, (int, int, long))                                                                \
  X(ioctl, int, (int, unsigned long, void*))                                                     \
  X(poll, int, (pollfd*, nfds_t, int))                                                           \
  X(ppoll, int, (pollfd*, nfds_t, const timespec*, const sigset_t*))                             \
  X(select, int, (int, fd_set*, fd_set*, fd_set*, timeval*))                                     \
  X(pselect, int, (int, fd_set*, fd_set*, fd_set*, const timespec*, const sigset_t*))            \
  X(epoll_create, int, (int))                                                                    \
  X(epoll_create1, int, (int))                                                                   \
  X(epoll_ctl, int, (int, int, int, epoll_event*))                                               \
  X(epoll_wait, int, (int, epoll_event*, int, int))                                              \
  X(epoll_pwait, int, (int, epoll_event*, int, int, const sigset_t*))                            \
  X(epoll_pwait2, int, (int, epoll_event*, int, const timespec*, const sigset_t*))               \
  X(syscall, long, (long, long, long, long, long, long, long))                                   \
  X(fdopen, FILE*, (int, const char*))                                                           \
  X(fileno, int, (FILE*))                                                                        \
  X(fclose, int, (FILE*))                                                                        \
  X(getaddrinfo, int, (const char*, const char*, const addrinfo*, addrinfo**))                   \
  X(freeaddrinfo, void, (addrinfo*))                                                             \
  X(getnameinfo, int, (const sockaddr*, socklen_t, char*, socklen_t, char*, socklen_t, int))     \
  X(getifaddrs, int, (ifaddrs**))                                                                \
  X(freeifaddrs, void, (ifaddrs*))                                                               \
  X(if_nametoindex, unsigned, (const char*))                                                     \
  X(if_indextoname, char*, (unsigned, char*))                                                    \
  X(_exit, void, (int))                                                                          \
  X(sigaction, int, (int, const struct sigaction*, struct sigaction*))                           \
  X(longjmp, void, (__jmp_buf_tag*, int))                                                        \
  X(_longjmp, void, (__jmp_buf_tag*, int))                                                       \
  X(siglongjmp, void, (__jmp_buf_tag*, int))                                                     \
  X(__longjmp_chk, void, (__jmp_buf_tag*, int))                                                  \
  X(__read_chk, ssize_t, (int, void*, std::size_t, std::size_t))                                 \
  X(__recv_chk, ssize_t, (int, void*, std::size_t, std::size_t, int))                            \
  X(__recvfrom_chk, ssize_t, (int, void*, std::size_t, std::size_t, int, sockaddr*, socklen_t*)) \
  X(__poll_chk, int, (pollfd*, nfds_t, int, std::size_t))                                        \
  X(__ppoll_chk, int, (pollfd*, nfds_t, const timespec*, const sigset_t*, std::size_t))          \
  X(__chk_fail, void, ())

struct Libc {
#define TAPIR_DECLARE(name, result, parameters) result(*name) parameters;
  TAPIR_REAL_FUNCTIONS(TAPIR_DECLARE)
#undef TAPIR_DECLARE
};

// libc's functions. A function that this libc lacks is one that fails with ENOSYS.
const Libc& libc();

}  // namespace tapir::preload
