// SPDX-License-Identifier: Apache-2.0
// The table that packetdrill (Google's, 2026) fills from a library named by --so_filename: 33 pointers, no
// version, no size. Every call is given `userdata` first and answers as the libc function of its name does:
// -1 and errno on failure.
#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>

namespace tapir::plugin {

struct ToolInterface {
  void* userdata;
  void (*free)(void* userdata);  // at the end of a script that did not die
  int (*socket)(void* userdata, int domain, int type, int protocol);
  int (*bind)(void* userdata, int fd, const sockaddr* address, socklen_t length);
  int (*listen)(void* userdata, int fd, int backlog);
  int (*accept)(void* userdata, int fd, sockaddr* address, socklen_t* length);
  int (*connect)(void* userdata, int fd, const sockaddr* address, socklen_t length);
  ssize_t (*read)(void* userdata, int fd, void* data, std::size_t size);
  ssize_t (*readv)(void* userdata, int fd, const iovec* pieces, int count);
  ssize_t (*recv)(void* userdata, int fd, void* data, std::size_t size, int flags);
  ssize_t (*recvfrom)(void* userdata, int fd, void* data, std::size_t size, int flags, sockaddr* from,
                      socklen_t* length);
  ssize_t (*recvmsg)(void* userdata, int fd, msghdr* message, int flags);
  ssize_t (*write)(void* userdata, int fd, const void* data, std::size_t size);
  ssize_t (*writev)(void* userdata, int fd, const iovec* pieces, int count);
  ssize_t (*send)(void* userdata, int fd, const void* data, std::size_t size, int flags);
  ssize_t (*sendto)(void* userdata, int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
                    socklen_t length);
  ssize_t (*sendmsg)(void* userdata, int fd, const msghdr* message, int flags);
  int (*fcntl)(void* userdata, int fd, int command, ...);
  int (*ioctl)(void* userdata, int fd, unsigned long request, ...);
  int (*close)(void* userdata, int fd);
  int (*shutdown)(void* userdata, int fd, int how);
  int (*getsockopt)(void* userdata, int fd, int level, int name, void* value, socklen_t* length);
  int (*setsockopt)(void* userdata, int fd, int level, int name, const void* value, socklen_t length);
  int (*poll)(void* userdata, pollfd* descriptors, nfds_t count, int timeout_ms);
  int (*netdev_send)(void* userdata, const void* packet,
                     std::size_t size);  // into the stack: an IP packet, checksums right
  // The next packet out of the stack: waits (on the clock of gettimeofday) until there is one. `size`: room,
  // then length; `time_usecs`: when it was sent.
  int (*netdev_receive)(void* userdata, void* packet, std::size_t* size, long long* time_usecs);
  int (*usleep)(void* userdata, useconds_t usecs);
  int (*gettimeofday)(void* userdata, timeval* now, struct timezone* zone);
  int (*epoll_create)(void* userdata, int size);
  int (*epoll_ctl)(void* userdata, int epfd, int operation, int fd, epoll_event* event);
  int (*epoll_wait)(void* userdata, int epfd, epoll_event* events, int most, int timeout_ms);
  int (*pipe)(void* userdata, int descriptors[2]);
  int (*splice)(void* userdata, int in, loff_t* in_offset, int out, loff_t* out_offset, std::size_t size,
                unsigned flags);
};
static_assert(sizeof(ToolInterface) == 33 * sizeof(void*));
static_assert(offsetof(ToolInterface, netdev_send) == 192 && offsetof(ToolInterface, splice) == 256);

}  // namespace tapir::plugin
