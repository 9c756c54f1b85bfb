/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BSD sockets on a TCP/IP stack in this process, for C.
 *
 *     struct tapir_stack* stack = tapir_stack_create();
 *     if (tapir_add_tap(stack, "tap0", "10.0.0.1/24") != 0) { puts(tapir_error()); return 1; }
 *     int fd = tapir_socket(stack, AF_INET, SOCK_STREAM, 0);
 *
 * Socket calls take the stack first, and for the rest are those of the manual pages of section 2: what they
 * answer, -1 and errno, when they wait. Descriptors are numbers of the stack's own (3, 4, …), not the
 * kernel's: hand them to no other call. Set-up calls answer 0, or -1 and leave a sentence for tapir_error().
 * All calls may come from any thread.
 */
#ifndef TAPIR_POSIX_H
#define TAPIR_POSIX_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tapir_stack;

/* ---- set-up ---- */

/* A new stack with nothing but loopback (127.0.0.1). NULL: no memory, or no thread. Never fails for want of
 * privilege. */
struct tapir_stack* tapir_stack_create(void);
/* Ends a stack. No call on it may be under way; its descriptors end with it. NULL is nothing. What closed
   sockets still have to send is lost, as when a machine is switched off: a program that ends its stack sets
   SO_LINGER, and close() waits until the peer has everything. */
void tapir_stack_destroy(struct tapir_stack* stack);

/* A TAP interface of the kernel (it takes CAP_NET_ADMIN and /dev/net/tun), with our address "10.0.0.1/24".
 * The kernel's end has no address and is not up. */
int tapir_add_tap(struct tapir_stack* stack, const char* name, const char* address);
/* A packet socket on an interface of the kernel, best one end of a veth pair (it takes CAP_NET_RAW), with our
 * address. */
int tapir_add_packet(struct tapir_stack* stack, const char* interface, const char* address);
/* A cable in memory between two stacks, each with its address on it. */
int tapir_add_cable(struct tapir_stack* one, const char* address_of_one, struct tapir_stack* other,
                    const char* address_of_other);
/* A route to "0.0.0.0/0" or another prefix by way of a gateway that is on the link of one of the stack's
 * addresses. */
int tapir_add_route(struct tapir_stack* stack, const char* prefix, const char* gateway);
/* Sets a knob under Linux's name ("net.ipv4.tcp_syn_retries"). */
int tapir_sysctl(struct tapir_stack* stack, const char* name, const char* value);
/* What the last set-up call of this thread that failed says, one sentence; "" before. Valid until the next
 * such call. */
const char* tapir_error(void);

/* ---- sockets: socket(2), bind(2), … ---- */

int tapir_socket(struct tapir_stack* stack, int domain, int type, int protocol);
int tapir_bind(struct tapir_stack* stack, int fd, const struct sockaddr* address, socklen_t length);
int tapir_listen(struct tapir_stack* stack, int fd, int backlog);
int tapir_accept(struct tapir_stack* stack, int fd, struct sockaddr* address, socklen_t* length);
int tapir_accept4(struct tapir_stack* stack, int fd, struct sockaddr* address, socklen_t* length, int flags);
int tapir_connect(struct tapir_stack* stack, int fd, const struct sockaddr* address, socklen_t length);
/* No SIGPIPE is raised: EPIPE alone tells. */
ssize_t tapir_send(struct tapir_stack* stack, int fd, const void* data, size_t size, int flags);
ssize_t tapir_sendto(struct tapir_stack* stack, int fd, const void* data, size_t size, int flags,
                     const struct sockaddr* to, socklen_t length);
ssize_t tapir_sendmsg(struct tapir_stack* stack, int fd, const struct msghdr* message, int flags);
ssize_t tapir_recv(struct tapir_stack* stack, int fd, void* data, size_t size, int flags);
ssize_t tapir_recvfrom(struct tapir_stack* stack, int fd, void* data, size_t size, int flags,
                       struct sockaddr* from, socklen_t* length);
ssize_t tapir_recvmsg(struct tapir_stack* stack, int fd, struct msghdr* message, int flags);
/* struct mmsghdr is the C library's (_GNU_SOURCE). */
struct mmsghdr;
struct timespec;
int tapir_sendmmsg(struct tapir_stack* stack, int fd, struct mmsghdr* messages, unsigned count, int flags);
int tapir_recvmmsg(struct tapir_stack* stack, int fd, struct mmsghdr* messages, unsigned count, int flags,
                   struct timespec* timeout);
ssize_t tapir_readv(struct tapir_stack* stack, int fd, const struct iovec* pieces, int count);
ssize_t tapir_writev(struct tapir_stack* stack, int fd, const struct iovec* pieces, int count);
ssize_t tapir_read(struct tapir_stack* stack, int fd, void* data, size_t size);
ssize_t tapir_write(struct tapir_stack* stack, int fd, const void* data, size_t size);
int tapir_shutdown(struct tapir_stack* stack, int fd, int how);
int tapir_close(struct tapir_stack* stack, int fd);
int tapir_dup(struct tapir_stack* stack, int fd);
int tapir_dup2(struct tapir_stack* stack, int fd, int to);
int tapir_dup3(struct tapir_stack* stack, int fd, int to, int flags);
int tapir_getsockname(struct tapir_stack* stack, int fd, struct sockaddr* address, socklen_t* length);
int tapir_getpeername(struct tapir_stack* stack, int fd, struct sockaddr* address, socklen_t* length);
int tapir_getsockopt(struct tapir_stack* stack, int fd, int level, int name, void* value, socklen_t* length);
int tapir_setsockopt(struct tapir_stack* stack, int fd, int level, int name, const void* value,
                     socklen_t length);
/* FIONREAD, FIONBIO, SIOCOUTQ …; `argument` as ioctl(2)'s third. */
int tapir_ioctl(struct tapir_stack* stack, int fd, unsigned long request, void* argument);
/* F_GETFL, F_SETFL (O_NONBLOCK), F_GETFD, F_SETFD, F_DUPFD. */
int tapir_fcntl(struct tapir_stack* stack, int fd, int command, long argument);

/* ---- readiness: poll(2), epoll(7); timeouts in milliseconds, negative = for ever ---- */

int tapir_poll(struct tapir_stack* stack, struct pollfd* descriptors, nfds_t count, int timeout);
int tapir_epoll_create1(struct tapir_stack* stack, int flags);
int tapir_epoll_ctl(struct tapir_stack* stack, int epfd, int operation, int fd, struct epoll_event* event);
/* The same for a descriptor of the kernel's, which may stand in the same set. */
int tapir_epoll_ctl_kernel(struct tapir_stack* stack, int epfd, int operation, int kernel_fd,
                           struct epoll_event* event);
int tapir_epoll_wait(struct tapir_stack* stack, int epfd, struct epoll_event* events, int events_max,
                     int timeout);

#ifdef __cplusplus
}
#endif

#endif
