// SPDX-License-Identifier: Apache-2.0
// The C API: libc's convention around StackHost's calls.
#include "tapir/posix.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "api/mixed_sets.h"
#include "inet/ip_address.h"
#include "runtime/host_pipe.h"
#include "runtime/stack_host.h"

struct tapir_stack {
  tapir::runtime::StackHost host;
  tapir::api::MixedSets sets{host};
  std::mutex mutex;                                                   // of what follows
  std::vector<std::pair<tapir::IpPrefix, tapir::InterfaceId>> links;  // nets that gateways may be on
};

namespace {

using tapir::IpAddress;
using tapir::IpPrefix;
using tapir::socket::Result;

thread_local std::string last_error;

int fail(std::string sentence) {
  last_error = std::move(sentence);
  return -1;
}

std::optional<IpPrefix> prefix_of(const char* text) {
  return text == nullptr ? std::nullopt : IpPrefix::parse(text);
}

int fail_address(const char* text) {
  return fail("'" + std::string(text == nullptr ? "" : text) +
              "' is no address with a prefix length, such as 10.0.0.1/24");
}

void remember(tapir_stack* stack, const IpPrefix& prefix, tapir::InterfaceId interface) {
  const std::lock_guard lock(stack->mutex);
  stack->links.emplace_back(prefix, interface);
}

int added(tapir_stack* stack, const IpPrefix& prefix,
          const std::expected<tapir::InterfaceId, std::string>& interface) {
  if (!interface) return fail(interface.error());
  remember(stack, prefix, *interface);
  return 0;
}

tapir::stack::InterfaceConfig interface_with(const IpPrefix& prefix) {
  tapir::stack::InterfaceConfig config;
  config.addresses.push_back(prefix);
  return config;
}

// What libc answers: the value, or -1 and errno.
template <typename To, typename From>
To answer(const Result<From>& result) {
  if (!result) {
    errno = static_cast<int>(result.error());
    return -1;
  }
  return static_cast<To>(*result);
}

// `copy`, a new number of the file of `fd`, or -1.
int copied(tapir_stack* stack, int fd, int copy) {
  if (copy >= 0) stack->sets.copied(fd, copy);
  return copy;
}

std::optional<tapir::Duration> timeout_of(int milliseconds) {
  if (milliseconds < 0) return std::nullopt;
  return std::chrono::milliseconds(milliseconds);
}

}  // namespace

extern "C" {

struct tapir_stack* tapir_stack_create(void) { return new (std::nothrow) tapir_stack; }

void tapir_stack_destroy(struct tapir_stack* stack) { delete stack; }

int tapir_add_tap(struct tapir_stack* stack, const char* name, const char* address) {
  const auto prefix = prefix_of(address);
  if (!prefix) return fail_address(address);
  return added(stack, *prefix, stack->host.add_tap({.name = name}, interface_with(*prefix)));
}

int tapir_add_packet(struct tapir_stack* stack, const char* interface, const char* address) {
  const auto prefix = prefix_of(address);
  if (!prefix) return fail_address(address);
  return added(stack, *prefix, stack->host.add_packet({.interface = interface}, interface_with(*prefix)));
}

int tapir_add_cable(struct tapir_stack* one, const char* address_of_one, struct tapir_stack* other,
                    const char* address_of_other) {
  const auto first = prefix_of(address_of_one);
  if (!first) return fail_address(address_of_one);
  const auto second = prefix_of(address_of_other);
  if (!second) return fail_address(address_of_other);
  auto [end, other_end] = tapir::runtime::make_host_pipe();
  const auto attach = [](tapir_stack* stack, const IpPrefix& prefix,
                         std::unique_ptr<tapir::link::Device> device) {
    tapir::stack::InterfaceConfig config = interface_with(prefix);
    {
      const std::lock_guard lock(stack->mutex);
      config.name = "cable" + std::to_string(stack->links.size());
    }
    const tapir::InterfaceId id = stack->host.add_interface(std::move(config), std::move(device));
    if (id == tapir::kNoInterface) return fail("the stack has as many interfaces as it can have");
    remember(stack, prefix, id);
    return 0;
  };
  const int attached = attach(one, *first, std::move(end));
  return attached != 0 ? attached : attach(other, *second, std::move(other_end));
}

int tapir_add_route(struct tapir_stack* stack, const char* prefix, const char* gateway) {
  const auto destination = prefix_of(prefix);
  if (!destination)
    return fail("'" + std::string(prefix == nullptr ? "" : prefix) + "' is no prefix, such as 0.0.0.0/0");
  const auto next_hop = gateway == nullptr ? std::nullopt : IpAddress::parse(gateway);
  if (!next_hop)
    return fail("'" + std::string(gateway == nullptr ? "" : gateway) + "' is no address of a gateway");
  tapir::InterfaceId interface = tapir::kNoInterface;
  {
    const std::lock_guard lock(stack->mutex);
    for (const auto& [net, id] : stack->links)
      if (net.contains(*next_hop)) interface = id;
  }
  if (interface == tapir::kNoInterface)
    return fail(std::string("the gateway ") + gateway + " is on no link of this stack");
  if (!stack->host.add_route(*destination, *next_hop, interface))
    return fail(std::string("the route to ") + prefix + " is there already");
  return 0;
}

int tapir_sysctl(struct tapir_stack* stack, const char* name, const char* value) {
  const auto set = stack->host.sysctl_set(name, value);
  return set ? 0 : fail(set.error());
}

const char* tapir_error(void) { return last_error.c_str(); }

int tapir_socket(struct tapir_stack* stack, int domain, int type, int protocol) {
  return answer<int>(stack->host.socket(domain, type, protocol));
}

int tapir_bind(struct tapir_stack* stack, int fd, const struct sockaddr* address, socklen_t length) {
  return answer<int>(stack->host.bind(fd, address, length));
}

int tapir_listen(struct tapir_stack* stack, int fd, int backlog) {
  return answer<int>(stack->host.listen(fd, backlog));
}

int tapir_accept(struct tapir_stack* stack, int fd, struct sockaddr* address, socklen_t* length) {
  return answer<int>(stack->host.accept(fd, address, length));
}

int tapir_accept4(struct tapir_stack* stack, int fd, struct sockaddr* address, socklen_t* length, int flags) {
  return answer<int>(stack->host.accept(fd, address, length, flags));
}

int tapir_connect(struct tapir_stack* stack, int fd, const struct sockaddr* address, socklen_t length) {
  return answer<int>(stack->host.connect(fd, address, length));
}

ssize_t tapir_send(struct tapir_stack* stack, int fd, const void* data, size_t size, int flags) {
  return answer<ssize_t>(stack->host.send(fd, data, size, flags));
}

ssize_t tapir_sendto(struct tapir_stack* stack, int fd, const void* data, size_t size, int flags,
                     const struct sockaddr* to, socklen_t length) {
  return answer<ssize_t>(stack->host.sendto(fd, data, size, flags, to, length));
}

ssize_t tapir_sendmsg(struct tapir_stack* stack, int fd, const struct msghdr* message, int flags) {
  if (message == nullptr) return answer<ssize_t>(Result<long>(tapir::socket::fail(EFAULT)));
  return answer<ssize_t>(stack->host.sendmsg(fd, *message, flags));
}

ssize_t tapir_recv(struct tapir_stack* stack, int fd, void* data, size_t size, int flags) {
  return answer<ssize_t>(stack->host.recv(fd, data, size, flags));
}

ssize_t tapir_recvfrom(struct tapir_stack* stack, int fd, void* data, size_t size, int flags,
                       struct sockaddr* from, socklen_t* length) {
  return answer<ssize_t>(stack->host.recvfrom(fd, data, size, flags, from, length));
}

ssize_t tapir_recvmsg(struct tapir_stack* stack, int fd, struct msghdr* message, int flags) {
  if (message == nullptr) return answer<ssize_t>(Result<long>(tapir::socket::fail(EFAULT)));
  return answer<ssize_t>(stack->host.recvmsg(fd, *message, flags));
}

int tapir_sendmmsg(struct tapir_stack* stack, int fd, struct mmsghdr* messages, unsigned count, int flags) {
  return answer<int>(stack->host.sendmmsg(fd, messages, count, flags));
}

int tapir_recvmmsg(struct tapir_stack* stack, int fd, struct mmsghdr* messages, unsigned count, int flags,
                   struct timespec* timeout) {
  return answer<int>(stack->host.recvmmsg(fd, messages, count, flags, timeout));
}

ssize_t tapir_readv(struct tapir_stack* stack, int fd, const struct iovec* pieces, int count) {
  return answer<ssize_t>(stack->host.readv(fd, pieces, count));
}

ssize_t tapir_writev(struct tapir_stack* stack, int fd, const struct iovec* pieces, int count) {
  return answer<ssize_t>(stack->host.writev(fd, pieces, count));
}

ssize_t tapir_read(struct tapir_stack* stack, int fd, void* data, size_t size) {
  const iovec piece{data, size};
  return tapir_readv(stack, fd, &piece, 1);
}

ssize_t tapir_write(struct tapir_stack* stack, int fd, const void* data, size_t size) {
  return tapir_send(stack, fd, data, size, 0);
}

int tapir_shutdown(struct tapir_stack* stack, int fd, int how) {
  return answer<int>(stack->host.shutdown(fd, how));
}

int tapir_close(struct tapir_stack* stack, int fd) {
  stack->sets.closed(fd);
  return answer<int>(stack->host.close(fd));
}

int tapir_dup(struct tapir_stack* stack, int fd) {
  return copied(stack, fd, answer<int>(stack->host.dup(fd)));
}

int tapir_dup2(struct tapir_stack* stack, int fd, int to) {
  // dup2(2) of a descriptor onto itself only asks whether it is open.
  if (fd == to) return tapir_fcntl(stack, fd, F_GETFD, 0) < 0 ? -1 : fd;
  return tapir_dup3(stack, fd, to, 0);
}

int tapir_dup3(struct tapir_stack* stack, int fd, int to, int flags) {
  return copied(stack, fd, answer<int>(stack->host.dup3(fd, to, flags)));
}

int tapir_getsockname(struct tapir_stack* stack, int fd, struct sockaddr* address, socklen_t* length) {
  return answer<int>(stack->host.getsockname(fd, address, length));
}

int tapir_getpeername(struct tapir_stack* stack, int fd, struct sockaddr* address, socklen_t* length) {
  return answer<int>(stack->host.getpeername(fd, address, length));
}

int tapir_getsockopt(struct tapir_stack* stack, int fd, int level, int name, void* value, socklen_t* length) {
  return answer<int>(stack->host.getsockopt(fd, level, name, value, length));
}

int tapir_setsockopt(struct tapir_stack* stack, int fd, int level, int name, const void* value,
                     socklen_t length) {
  return answer<int>(stack->host.setsockopt(fd, level, name, value, length));
}

int tapir_ioctl(struct tapir_stack* stack, int fd, unsigned long request, void* argument) {
  return answer<int>(stack->host.ioctl(fd, request, argument));
}

int tapir_fcntl(struct tapir_stack* stack, int fd, int command, long argument) {
  const int result = answer<int>(stack->host.fcntl(fd, command, argument));
  return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(stack, fd, result) : result;
}

int tapir_poll(struct tapir_stack* stack, struct pollfd* descriptors, nfds_t count, int timeout) {
  return answer<int>(stack->host.poll({descriptors, count}, timeout_of(timeout)));
}

int tapir_epoll_create1(struct tapir_stack* stack, int flags) {
  const int set = answer<int>(stack->host.epoll_create1(flags));
  if (set >= 0) stack->sets.created(set);
  return set;
}

int tapir_epoll_ctl(struct tapir_stack* stack, int epfd, int operation, int fd, struct epoll_event* event) {
  return answer<int>(stack->sets.control(epfd, operation, fd, event));
}

int tapir_epoll_ctl_kernel(struct tapir_stack* stack, int epfd, int operation, int kernel_fd,
                           struct epoll_event* event) {
  return answer<int>(stack->sets.control_kernel(epfd, operation, kernel_fd, event));
}

int tapir_epoll_wait(struct tapir_stack* stack, int epfd, struct epoll_event* events, int events_max,
                     int timeout) {
  return answer<int>(stack->sets.wait(epfd, {events, static_cast<std::size_t>(std::max(events_max, 0))},
                                      timeout_of(timeout)));
}

}  // extern "C"
