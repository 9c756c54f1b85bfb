// SPDX-License-Identifier: Apache-2.0
// The socket calls, with Linux's signatures. Two worlds implement them: the kernel, and a tapir stack.
#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <memory>
#include <string>
#include <vector>

namespace tapir::differential {

// Every call answers what the manual page says, or minus the errno.
class Api {
 public:
  virtual ~Api() = default;
  virtual long socket(int domain, int type, int protocol) = 0;
  virtual long bind(int fd, const sockaddr* address, socklen_t length) = 0;
  virtual long listen(int fd, int backlog) = 0;
  virtual long accept4(int fd, sockaddr* address, socklen_t* length, int flags) = 0;
  virtual long connect(int fd, const sockaddr* address, socklen_t length) = 0;
  virtual long sendto(int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
                      socklen_t length) = 0;
  virtual long recvfrom(int fd, void* data, std::size_t size, int flags, sockaddr* from,
                        socklen_t* length) = 0;
  virtual long sendmsg(int fd, const msghdr* message, int flags) = 0;
  virtual long recvmsg(int fd, msghdr* message, int flags) = 0;
  virtual long sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) = 0;
  virtual long recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) = 0;
  virtual long readv(int fd, const iovec* pieces, int count) = 0;
  virtual long writev(int fd, const iovec* pieces, int count) = 0;
  virtual long shutdown(int fd, int how) = 0;
  virtual long close(int fd) = 0;
  virtual long dup(int fd) = 0;
  virtual long dup3(int fd, int to, int flags) = 0;
  virtual long getsockname(int fd, sockaddr* address, socklen_t* length) = 0;
  virtual long getpeername(int fd, sockaddr* address, socklen_t* length) = 0;
  virtual long getsockopt(int fd, int level, int name, void* value, socklen_t* length) = 0;
  virtual long setsockopt(int fd, int level, int name, const void* value, socklen_t length) = 0;
  virtual long ioctl(int fd, unsigned long request, void* argument) = 0;
  virtual long fcntl(int fd, int command, long argument) = 0;
  virtual long poll(pollfd* descriptors, nfds_t count, int timeout_ms) = 0;
  virtual long epoll_create1(int flags) = 0;
  virtual long epoll_ctl(int set, int operation, int fd, epoll_event* event) = 0;
  virtual long epoll_wait(int set, epoll_event* events, int most, int timeout_ms) = 0;
  // Lets time go by: real, or virtual.
  virtual void pass(int milliseconds) = 0;
  // The world's clock.
  virtual long now_milliseconds() = 0;
  // What TCP sent over loopback since the last call, pure ACKs left out: "P0>eph SYN", "eph>P0 5 PSH" …
  virtual std::vector<std::string> segments() = 0;
};

// Where one script runs: its ports are base + 0, 1, 2 …, and its addresses 127.x.y.1 and 127.x.y.2 are no
// other script's.
struct Place {
  unsigned port_base = 0;
  unsigned net = 0;  // x and y
};

// The kernel, in the network namespace of this thread.
std::unique_ptr<Api> make_kernel(const Place& place);
// A new stack of tapir with loopback, on virtual time.
std::unique_ptr<Api> make_tapir(const Place& place, bool privileged);

// The kernel's setting of this name ("net.core.rmem_max"), "" when it has none.
std::string kernel_setting(const std::string& name);

// Moves this process to a fresh network namespace with loopback up, and reno as congestion control. False:
// not allowed, or no such thing here; `why` says what.
bool enter_fresh_namespace(std::string& why);
// Gives up every capability of this process, or takes all it may have again: the kernel asks for effective
// ones alone.
bool use_privileges(bool use);

}  // namespace tapir::differential
