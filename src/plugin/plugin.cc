// SPDX-License-Identifier: Apache-2.0
// libtapir-packetdrill.so: packetdrill's --so_filename. Each entry turns the libc form of a call into a step
// on the stack's sockets.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "plugin/host.h"
#include "plugin/tool_interface.h"
#include "socket/blocking_call.h"

namespace tapir::plugin {

namespace {

using socket::Result;
using socket::Sockets;

// Whom the interposed functions below serve; the table's own entries are told by their userdata.
std::atomic<Host*> current{nullptr};

Host& host(void* userdata) { return *static_cast<Host*>(userdata); }

template <typename T>
std::optional<Result<long>> answer(const Result<T>& result) {
  if (!result) return Result<long>(std::unexpected(result.error()));
  return Result<long>(static_cast<long>(*result));
}

// A call that answers at once.
template <typename Call>
Host::Step at_once(Call call) {
  return [call](Sockets& sockets, Instant now) { return answer(call(sockets, now)); };
}

// One of blocking_call.h's.
template <typename Call>
long wait(void* userdata, const std::shared_ptr<Call>& call) {
  return host(userdata).call([call](Sockets& sockets, Instant now) { return call->step(sockets, now); },
                             [call] { return call->deadline(); });
}

long transmit(void* userdata, int fd, const msghdr& message, int flags) {
  return wait(userdata, std::make_shared<socket::BlockingSend>(fd, message, flags));
}
long receive(void* userdata, int fd, msghdr* message, int flags) {
  return wait(userdata, std::make_shared<socket::BlockingReceive>(fd, message, flags));
}

msghdr message_of(const iovec* pieces, std::size_t count, const void* name = nullptr, socklen_t length = 0) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces);
  message.msg_iovlen = count;
  message.msg_name = const_cast<void*>(name);
  message.msg_namelen = length;
  return message;
}

void release(void* userdata) {
  Host* mine = &host(userdata);
  Host* expected = mine;
  current.compare_exchange_strong(expected, nullptr);
  delete mine;
}

// ---- making and ending sockets ----

int do_socket(void* userdata, int domain, int type, int protocol) {
  return host(userdata).call_for_descriptor(
      at_once([=](Sockets& s, Instant now) { return s.socket(domain, type, protocol, now); }));
}

int do_bind(void* userdata, int fd, const sockaddr* address, socklen_t length) {
  const auto ours = host(userdata).find(fd);
  if (!ours) return ::bind(fd, address, length);
  if (address != nullptr && length >= 8 && address->sa_family == AF_INET) {
    std::uint8_t bits[4];
    std::memcpy(bits, reinterpret_cast<const std::uint8_t*>(address) + 4, sizeof(bits));
    host(userdata).learn_local(IpAddress::v4(bits[0], bits[1], bits[2], bits[3]));
  }
  return static_cast<int>(host(userdata).call(
      at_once([=](Sockets& s, Instant now) { return s.bind(*ours, address, length, now); })));
}

int do_listen(void* userdata, int fd, int backlog) {
  const auto ours = host(userdata).find(fd);
  if (!ours) return ::listen(fd, backlog);
  return static_cast<int>(
      host(userdata).call(at_once([=](Sockets& s, Instant now) { return s.listen(*ours, backlog, now); })));
}

int do_accept(void* userdata, int fd, sockaddr* address, socklen_t* length) {
  const auto ours = host(userdata).find(fd);
  if (!ours) return ::accept(fd, address, length);
  auto call = std::make_shared<socket::BlockingAccept>(*ours, address, length, 0);
  return host(userdata).call_for_descriptor(
      [call](Sockets& sockets, Instant now) { return call->step(sockets, now); },
      [call] { return call->deadline(); });
}

int do_connect(void* userdata, int fd, const sockaddr* address, socklen_t length) {
  const auto ours = host(userdata).find(fd);
  if (!ours) return ::connect(fd, address, length);
  return static_cast<int>(wait(userdata, std::make_shared<socket::BlockingConnect>(*ours, address, length)));
}

int do_close(void* userdata, int fd) {
  const auto ours = host(userdata).find(fd);
  if (!ours) return ::close(fd);
  auto call = std::make_shared<socket::LingeringClose>(*ours);
  return host(userdata).close(
      fd, [call](Sockets& sockets, Instant now) { return call->step(sockets, now); },
      [call] { return call->deadline(); });
}

int do_shutdown(void* userdata, int fd, int how) {
  const auto ours = host(userdata).find(fd);
  if (!ours) return ::shutdown(fd, how);
  return static_cast<int>(
      host(userdata).call(at_once([=](Sockets& s, Instant now) { return s.shutdown(*ours, how, now); })));
}

// ---- data ----

ssize_t do_recvmsg(void* userdata, int fd, msghdr* message, int flags) {
  const auto ours = host(userdata).find(fd);
  if (!ours) return ::recvmsg(fd, message, flags);
  return receive(userdata, *ours, message, flags);
}

ssize_t do_recvfrom(void* userdata, int fd, void* data, std::size_t size, int flags, sockaddr* from,
                    socklen_t* length) {
  const auto ours = host(userdata).find(fd);
  if (!ours) return ::recvfrom(fd, data, size, flags, from, length);
  const iovec piece{data, size};
  msghdr message = message_of(&piece, 1, from, from != nullptr && length != nullptr ? *length : 0);
  const long got = receive(userdata, *ours, &message, flags);
  if (got >= 0 && from != nullptr && length != nullptr) *length = message.msg_namelen;
  return got;
}

ssize_t do_recv(void* userdata, int fd, void* data, std::size_t size, int flags) {
  return do_recvfrom(userdata, fd, data, size, flags, nullptr, nullptr);
}

ssize_t do_read(void* userdata, int fd, void* data, std::size_t size) {
  if (!host(userdata).find(fd)) return ::read(fd, data, size);
  return do_recv(userdata, fd, data, size, 0);
}

ssize_t do_readv(void* userdata, int fd, const iovec* pieces, int count) {
  if (!host(userdata).find(fd)) return ::readv(fd, pieces, count);
  msghdr message = message_of(pieces, static_cast<std::size_t>(std::max(count, 0)));
  return do_recvmsg(userdata, fd, &message, 0);
}

ssize_t do_sendmsg(void* userdata, int fd, const msghdr* message, int flags) {
  const auto ours = host(userdata).find(fd);
  if (!ours) return ::sendmsg(fd, message, flags);
  return transmit(userdata, *ours, *message, flags);
}

ssize_t do_sendto(void* userdata, int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
                  socklen_t length) {
  const auto ours = host(userdata).find(fd);
  if (!ours) return ::sendto(fd, data, size, flags, to, length);
  const iovec piece{const_cast<void*>(data), size};
  return transmit(userdata, *ours, message_of(&piece, 1, to, to != nullptr ? length : 0), flags);
}

ssize_t do_send(void* userdata, int fd, const void* data, std::size_t size, int flags) {
  return do_sendto(userdata, fd, data, size, flags, nullptr, 0);
}

ssize_t do_write(void* userdata, int fd, const void* data, std::size_t size) {
  if (!host(userdata).find(fd)) return ::write(fd, data, size);
  return do_send(userdata, fd, data, size, 0);
}

ssize_t do_writev(void* userdata, int fd, const iovec* pieces, int count) {
  if (!host(userdata).find(fd)) return ::writev(fd, pieces, count);
  const msghdr message = message_of(pieces, static_cast<std::size_t>(std::max(count, 0)));
  return do_sendmsg(userdata, fd, &message, 0);
}

// ---- descriptors and options ----

int do_fcntl(void* userdata, int fd, int command, ...) {
  va_list list;
  va_start(list, command);
  const bool takes_argument =
      command == F_SETFL || command == F_SETFD || command == F_DUPFD || command == F_DUPFD_CLOEXEC;
  const int argument = takes_argument ? va_arg(list, int) : 0;
  va_end(list);
  const auto ours = host(userdata).find(fd);
  if (!ours) return ::fcntl(fd, command, argument);
  return static_cast<int>(
      host(userdata).call(at_once([=](Sockets& s, Instant) { return s.fcntl(*ours, command, argument); })));
}

int do_ioctl(void* userdata, int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  int* argument = va_arg(list, int*);
  va_end(list);
  const auto ours = host(userdata).find(fd);
  if (!ours) return ::ioctl(fd, request, argument);
  return static_cast<int>(host(userdata).call(
      at_once([=](Sockets& s, Instant now) { return s.ioctl(*ours, request, argument, now); })));
}

int do_getsockopt(void* userdata, int fd, int level, int name, void* value, socklen_t* length) {
  const auto ours = host(userdata).find(fd);
  if (!ours) return ::getsockopt(fd, level, name, value, length);
  return static_cast<int>(host(userdata).call(at_once(
      [=](Sockets& s, Instant now) { return s.getsockopt(*ours, level, name, value, length, now); })));
}

int do_setsockopt(void* userdata, int fd, int level, int name, const void* value, socklen_t length) {
  const auto ours = host(userdata).find(fd);
  if (!ours) return ::setsockopt(fd, level, name, value, length);
  return static_cast<int>(host(userdata).call(at_once(
      [=](Sockets& s, Instant now) { return s.setsockopt(*ours, level, name, value, length, now); })));
}

// ---- waiting for many ----

std::optional<Duration> milliseconds(int timeout) {
  if (timeout < 0) return std::nullopt;
  return std::chrono::milliseconds(timeout);
}

int do_poll(void* userdata, pollfd* descriptors, nfds_t count, int timeout_ms) {
  std::vector<pollfd> inside(descriptors, descriptors + count);
  bool any = false;
  for (pollfd& each : inside) {
    const auto ours = host(userdata).find(each.fd);
    any = any || ours;
    if (ours)
      each.fd = *ours;
    else if (each.fd >= 0)
      each.fd = -1;  // files and pipes are not mixed with sockets here
  }
  if (!any) return ::poll(descriptors, count, timeout_ms);
  const int ready = static_cast<int>(
      wait(userdata, std::make_shared<socket::BlockingPoll>(inside, milliseconds(timeout_ms))));
  for (nfds_t i = 0; i < count; ++i) descriptors[i].revents = inside[i].revents;
  return ready;
}

int do_epoll_create(void* userdata, int size) {
  if (size <= 0) {
    errno = EINVAL;
    return -1;
  }
  return host(userdata).call_for_descriptor(at_once([](Sockets& s, Instant) { return s.epoll_create1(0); }));
}

int do_epoll_ctl(void* userdata, int epfd, int operation, int fd, epoll_event* event) {
  const auto set = host(userdata).find(epfd);
  if (!set) return ::epoll_ctl(epfd, operation, fd, event);
  const int member = host(userdata).find(fd).value_or(-1);
  return static_cast<int>(host(userdata).call(
      at_once([=](Sockets& s, Instant now) { return s.epoll_ctl(*set, operation, member, event, now); })));
}

int do_epoll_wait(void* userdata, int epfd, epoll_event* events, int most, int timeout_ms) {
  const auto set = host(userdata).find(epfd);
  if (!set) return ::epoll_wait(epfd, events, most, timeout_ms);
  if (most <= 0) {
    errno = EINVAL;
    return -1;
  }
  const std::span<epoll_event> room(events, static_cast<std::size_t>(most));
  return static_cast<int>(
      wait(userdata, std::make_shared<socket::BlockingEpollWait>(*set, room, milliseconds(timeout_ms))));
}

// ---- the device, the clock ----

int do_netdev_send(void* userdata, const void* packet, std::size_t size) {
  return host(userdata).inject(packet, size);
}

int do_netdev_receive(void* userdata, void* packet, std::size_t* size, long long* time_usecs) {
  return host(userdata).receive(packet, size, time_usecs);
}

int do_usleep(void* userdata, useconds_t usecs) { return host(userdata).sleep(usecs); }

int do_gettimeofday(void* userdata, timeval* now, struct timezone*) { return host(userdata).time(now); }

// ---- pipes and files are the system's; what moves between them and sockets goes through here ----

int do_pipe(void*, int descriptors[2]) { return ::pipe(descriptors); }

// Bytes at a time.
constexpr std::size_t kMoveMax = 65536;

// From a file or pipe into a socket. `offset` null: from where the file stands.
ssize_t move_in(void* userdata, int out, int in, off_t* offset, std::size_t size) {
  std::vector<char> data(std::min(size, kMoveMax));
  ssize_t moved = 0;
  while (static_cast<std::size_t>(moved) < size) {
    const std::size_t wanted = std::min(data.size(), size - static_cast<std::size_t>(moved));
    const ssize_t got =
        offset != nullptr ? ::pread(in, data.data(), wanted, *offset) : ::read(in, data.data(), wanted);
    if (got <= 0) return moved > 0 ? moved : got;
    const ssize_t sent = do_write(userdata, out, data.data(), static_cast<std::size_t>(got));
    if (sent < 0) return moved > 0 ? moved : sent;
    if (offset != nullptr) *offset += sent;
    moved += sent;
    if (sent < got) break;
    if (offset == nullptr && static_cast<std::size_t>(got) < wanted) break;  // a pipe that is empty now
  }
  return moved;
}

int do_splice(void* userdata, int in, loff_t* in_offset, int out, loff_t* out_offset, std::size_t size,
              unsigned flags) {
  const bool from_socket = host(userdata).find(in).has_value();
  const bool to_socket = host(userdata).find(out).has_value();
  if (to_socket && !from_socket) return static_cast<int>(move_in(userdata, out, in, nullptr, size));
  if (from_socket && !to_socket) {
    std::vector<char> data(std::min(size, kMoveMax));
    const ssize_t got =
        do_recv(userdata, in, data.data(), data.size(), (flags & SPLICE_F_NONBLOCK) != 0 ? MSG_DONTWAIT : 0);
    if (got <= 0) return static_cast<int>(got);
    return static_cast<int>(::write(out, data.data(), static_cast<std::size_t>(got)));
  }
  if (from_socket) {
    errno = EINVAL;
    return -1;
  }
  // The tool has no way to say NULL: zero stands for it.
  if (in_offset != nullptr && *in_offset == 0) in_offset = nullptr;
  if (out_offset != nullptr && *out_offset == 0) out_offset = nullptr;
  return static_cast<int>(::splice(in, in_offset, out, out_offset, size, flags));
}

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

}  // namespace tapir::plugin

using namespace tapir::plugin;

// What the tool looks up. `flags`: the text of --so_flags, or null.
extern "C" __attribute__((visibility("default"))) void packetdrill_interface_init(const char* flags,
                                                                                  ToolInterface* table) {
  const auto parsed = parse_flags(flags);
  if (!parsed) {
    std::fprintf(stderr, "tapir: %s\n", parsed.error().c_str());
    ::_exit(1);
  }
  auto* made = new Host(*parsed);
  current = made;
  *table = ToolInterface{
      made,           release,           do_socket,   do_bind,         do_listen,       do_accept,
      do_connect,     do_read,           do_readv,    do_recv,         do_recvfrom,     do_recvmsg,
      do_write,       do_writev,         do_send,     do_sendto,       do_sendmsg,      do_fcntl,
      do_ioctl,       do_close,          do_shutdown, do_getsockopt,   do_setsockopt,   do_poll,
      do_netdev_send, do_netdev_receive, do_usleep,   do_gettimeofday, do_epoll_create, do_epoll_ctl,
      do_epoll_wait,  do_pipe,           do_splice};
}

// ---- what the tool calls past its table ----
// With LD_PRELOAD=libtapir-packetdrill.so besides, these too reach the stack: getsockopt() of %{ }% snippets,
// sendfile(), and the script's shell commands, as far as they concern a stack.

extern "C" __attribute__((visibility("default"))) int getsockopt(int fd, int level, int name, void* value,
                                                                 socklen_t* length) noexcept {
  Host* active = current;
  if (active != nullptr && active->find(fd)) return do_getsockopt(active, fd, level, name, value, length);
  return next<int (*)(int, int, int, void*, socklen_t*)>("getsockopt")(fd, level, name, value, length);
}

extern "C" __attribute__((visibility("default"))) ssize_t sendfile(int out, int in, off_t* offset,
                                                                   std::size_t size) noexcept {
  Host* active = current;
  if (active != nullptr && active->find(out)) return move_in(active, out, in, offset, size);
  return next<ssize_t (*)(int, int, off_t*, std::size_t)>("sendfile")(out, in, offset, size);
}

extern "C" __attribute__((visibility("default"))) int system(const char* command) {
  Host* active = current;
  if (active != nullptr && command != nullptr)
    if (const auto status = active->run_command(command)) return *status;
  return next<int (*)(const char*)>("system")(command);
}
