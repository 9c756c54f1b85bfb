// SPDX-License-Identifier: Apache-2.0
// The calls: which descriptor, which kind of file; the rest is done where that kind lives.
#include "socket/sockets.h"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "socket/address.h"
#include "socket/events.h"
#include "socket/interface_ioctls.h"
#include "socket/options.h"
#include "socket/state.h"

namespace tapir::socket {
namespace {

// Linux's SOCK_MAX and IPPROTO_MAX.
constexpr int kTypeMax = 11;
constexpr int kTypeMask = 0xf;
constexpr int kProtocolMax = IPPROTO_MPTCP + 1;
constexpr int kFamilyMax = AF_MAX;

// Linux's inet_create, the look-up in inetsw: 0, or why there is no such socket.
int check_kind(int type, int protocol) {
  if (type < 0 || type >= kTypeMax) return EINVAL;
  if (protocol < 0 || protocol >= kProtocolMax) return EINVAL;
  switch (type) {
    case SOCK_STREAM:
      return protocol == 0 || protocol == IPPROTO_TCP ? 0 : EPROTONOSUPPORT;
    case SOCK_DGRAM:
      return protocol == 0 || protocol == IPPROTO_ICMP || protocol == IPPROTO_UDP ? 0 : EPROTONOSUPPORT;
    case SOCK_RAW:
      return protocol == 0 ? EPROTONOSUPPORT : 0;
    default:
      return ESOCKTNOSUPPORT;
  }
}

msghdr message_of(iovec& piece, void* name, socklen_t length) {
  msghdr message{};
  message.msg_name = name;
  message.msg_namelen = length;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  return message;
}

// Bytes of the message's pieces, for the trace.
std::uint64_t asked_for(const msghdr& message, const trace::Tracer& tracer) {
  std::uint64_t size = 0;
  if (!tracer.on()) return size;
  for (std::size_t i = 0; i < message.msg_iovlen; ++i) size += message.msg_iov[i].iov_len;
  return size;
}

}  // namespace

Sockets::Sockets(stack::Stack& stack, Descriptor first_descriptor, std::size_t descriptors_max)
    : stack_(stack), state_(std::make_unique<State>(stack, first_descriptor, descriptors_max)) {}

Sockets::~Sockets() = default;

Result<Descriptor> Sockets::socket(int domain, int type, int protocol, Instant now) {
  const int flags = type & ~kTypeMask;
  type &= kTypeMask;
  if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0) return fail(EINVAL);
  if (domain < 0 || domain >= kFamilyMax) return fail(EAFNOSUPPORT);
  if (type >= kTypeMax) return fail(EINVAL);
  if (domain != AF_INET && domain != AF_PACKET) return fail(EAFNOSUPPORT);
  State& state = *state_;
  if (domain == AF_INET)
    if (const int error = check_kind(type, protocol)) return fail(error);

  File* file = nullptr;
  if (domain == AF_PACKET || type == SOCK_RAW || protocol == IPPROTO_ICMP) {
    const Result<File*> opened =
        domain == AF_PACKET ? state.open_packet(type, protocol) : state.open_raw(type, protocol);
    if (!opened) return std::unexpected(opened.error());
    file = *opened;
  } else if (type == SOCK_STREAM) {
    const auto handle = state.streams.emplace();
    if (!handle) return fail(ENOBUFS);
    StreamSocket& s = *state.streams.get(handle);
    s.local.address = IpAddress::any_v4();
    file = &s;
  } else {
    const auto handle = state.datagrams.emplace();
    if (!handle) return fail(ENOBUFS);
    DatagramSocket& s = *state.datagrams.get(handle);
    s.local.address = IpAddress::any_v4();
    const udp::PortHandle port = state.parts.udp.open();
    if (!port || !state.attach_port(s, port)) {
      if (port) state.parts.udp.close(port);
      state.datagrams.erase(handle);
      return fail(ENOBUFS);
    }
    state.parts.udp.get(port)->receive_buffer = static_cast<std::size_t>(state.parts.knobs.rmem_default);
    file = &s;
  }
  file->nonblocking = (flags & SOCK_NONBLOCK) != 0;
  const int descriptor = state.descriptors.open(*file);
  if (descriptor < 0) {
    (void)state.destroy(*file, now);
    return fail(EMFILE);
  }
  state.descriptors.set_close_on_exec(descriptor, (flags & SOCK_CLOEXEC) != 0);
  return reported(state.parts.tracer, Call::kSocket, descriptor, Result<Descriptor>(descriptor), now);
}

Result<int> Sockets::bind(Descriptor fd, const sockaddr* address, socklen_t length, Instant now) {
  SocketFile* s = state_->find_socket(fd);
  if (s == nullptr) return fail(state_->why_no_socket(fd));
  return reported(state_->parts.tracer, Call::kBind, fd, state_->bind(*s, address, length, now), now);
}

Result<int> Sockets::listen(Descriptor fd, int backlog, Instant now) {
  SocketFile* s = state_->find_socket(fd);
  if (s == nullptr) return fail(state_->why_no_socket(fd));
  if (s->kind != FileKind::kStream) return fail(EOPNOTSUPP);
  return reported(state_->parts.tracer, Call::kListen, fd,
                  state_->listen(static_cast<StreamSocket&>(*s), backlog, now), now,
                  static_cast<std::uint64_t>(backlog));
}

Result<Descriptor> Sockets::accept4(Descriptor fd, sockaddr* address, socklen_t* length, int flags,
                                    Instant now) {
  if (state_->descriptors.find(fd) == nullptr) return fail(EBADF);
  if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0) return fail(EINVAL);
  SocketFile* s = state_->find_socket(fd);
  if (s == nullptr) return fail(ENOTSOCK);
  if (s->kind != FileKind::kStream) return fail(EOPNOTSUPP);
  return reported(state_->parts.tracer, Call::kAccept, fd,
                  state_->accept(static_cast<StreamSocket&>(*s), address, length, flags, now), now);
}

Result<int> Sockets::connect(Descriptor fd, const sockaddr* address, socklen_t length, Instant now) {
  if (state_->descriptors.find(fd) == nullptr) return fail(EBADF);
  if (length > sizeof(sockaddr_storage)) return fail(EINVAL);
  if (length != 0 && address == nullptr) return fail(EFAULT);
  SocketFile* s = state_->find_socket(fd);
  if (s == nullptr) return fail(ENOTSOCK);
  const Result<int> connected = s->kind == FileKind::kStream
                                    ? state_->connect(static_cast<StreamSocket&>(*s), address, length, now)
                                    : state_->connect(static_cast<DatagramSocket&>(*s), address, length, now);
  return reported(state_->parts.tracer, Call::kConnect, fd, connected, now);
}

Result<std::size_t> Sockets::sendmsg(Descriptor fd, const msghdr* message, int flags, Instant now,
                                     Loan* loan) {
  SocketFile* s = state_->find_socket(fd);
  if (s == nullptr) return fail(state_->why_no_socket(fd));
  if (message == nullptr) return fail(EFAULT);
  if (message->msg_controllen != 0 && message->msg_control == nullptr) return fail(EFAULT);
  const Result<std::size_t> sent =
      s->kind == FileKind::kStream ? state_->send(static_cast<StreamSocket&>(*s), *message, flags, now, loan)
                                   : state_->send(static_cast<DatagramSocket&>(*s), *message, flags, now);
  return reported(state_->parts.tracer, Call::kSend, fd, sent, now,
                  asked_for(*message, state_->parts.tracer));
}

Result<std::size_t> Sockets::recvmsg(Descriptor fd, msghdr* message, int flags, Instant now) {
  SocketFile* s = state_->find_socket(fd);
  if (s == nullptr) return fail(state_->why_no_socket(fd));
  if (message == nullptr) return fail(EFAULT);
  const Result<std::size_t> received =
      s->kind == FileKind::kStream ? state_->receive(static_cast<StreamSocket&>(*s), *message, flags, now)
                                   : state_->receive(static_cast<DatagramSocket&>(*s), *message, flags, now);
  return reported(state_->parts.tracer, Call::kReceive, fd, received, now,
                  asked_for(*message, state_->parts.tracer));
}

Result<std::size_t> Sockets::send(Descriptor fd, const void* data, std::size_t size, int flags, Instant now) {
  return sendto(fd, data, size, flags, nullptr, 0, now);
}

Result<std::size_t> Sockets::sendto(Descriptor fd, const void* data, std::size_t size, int flags,
                                    const sockaddr* to, socklen_t length, Instant now) {
  iovec piece{const_cast<void*>(data), std::min<std::size_t>(size, 0x7ffff000)};
  const msghdr message = message_of(piece, const_cast<sockaddr*>(to), to != nullptr ? length : 0);
  return sendmsg(fd, &message, flags, now);
}

Result<std::size_t> Sockets::recv(Descriptor fd, void* data, std::size_t size, int flags, Instant now) {
  return recvfrom(fd, data, size, flags, nullptr, nullptr, now);
}

Result<std::size_t> Sockets::recvfrom(Descriptor fd, void* data, std::size_t size, int flags, sockaddr* from,
                                      socklen_t* length, Instant now) {
  iovec piece{data, std::min<std::size_t>(size, 0x7ffff000)};
  if (from != nullptr && length == nullptr) return fail(EFAULT);
  if (from != nullptr && static_cast<int>(*length) < 0) return fail(EINVAL);
  msghdr message = message_of(piece, from, from != nullptr ? *length : 0);
  const Result<std::size_t> received = recvmsg(fd, &message, flags, now);
  if (received && from != nullptr) *length = message.msg_namelen;
  return received;
}

Result<int> Sockets::shutdown(Descriptor fd, int how, Instant now) {
  SocketFile* s = state_->find_socket(fd);
  if (s == nullptr) return fail(state_->why_no_socket(fd));
  const Result<int> shut = s->kind == FileKind::kStream
                               ? state_->shutdown(static_cast<StreamSocket&>(*s), how, now)
                               : state_->shutdown(static_cast<DatagramSocket&>(*s), how, now);
  return reported(state_->parts.tracer, Call::kShutdown, fd, shut, now);
}

Result<int> Sockets::close(Descriptor fd, Instant now) {
  File* file = state_->descriptors.close(fd);
  if (file == nullptr) return fail(EBADF);
  const Result<int> closed = file->references != 0 ? Result<int>(0) : state_->destroy(*file, now);
  return reported(state_->parts.tracer, Call::kClose, fd, closed, now);
}

Result<Descriptor> Sockets::dup(Descriptor fd) {
  File* file = state_->descriptors.find(fd);
  if (file == nullptr) return fail(EBADF);
  const int descriptor = state_->descriptors.open(*file);
  if (descriptor < 0) return fail(EMFILE);
  return descriptor;
}

// Linux's ksys_dup3.
Result<Descriptor> Sockets::dup3(Descriptor fd, Descriptor to, int flags, Instant now) {
  if ((flags & ~O_CLOEXEC) != 0) return fail(EINVAL);
  if (fd == to) return fail(EINVAL);
  File* file = state_->descriptors.find(fd);
  if (!state_->descriptors.may_hold(to)) return fail(EBADF);
  if (file == nullptr) return fail(EBADF);
  if (state_->descriptors.find(to) != nullptr) (void)close(to, now);
  if (state_->descriptors.open(*file, to) != to) return fail(EMFILE);
  state_->descriptors.set_close_on_exec(to, (flags & O_CLOEXEC) != 0);
  return to;
}

Result<int> Sockets::getsockname(Descriptor fd, sockaddr* address, socklen_t* length) {
  SocketFile* s = state_->find_socket(fd);
  if (s == nullptr) return fail(state_->why_no_socket(fd));
  if (s->kind == FileKind::kPacket)
    return state_->packet_name(static_cast<const PacketSocket&>(*s), address, length);
  return store_endpoint(state_->local_name(*s), address, length);
}

Result<int> Sockets::getpeername(Descriptor fd, sockaddr* address, socklen_t* length) {
  SocketFile* s = state_->find_socket(fd);
  if (s == nullptr) return fail(state_->why_no_socket(fd));
  if (s->kind == FileKind::kPacket) return fail(EOPNOTSUPP);
  const auto peer = state_->peer_name(*s);
  if (!peer || (peer->port == 0 && s->kind == FileKind::kDatagram)) return fail(ENOTCONN);
  return store_endpoint(*peer, address, length);
}

Result<int> Sockets::getsockopt(Descriptor fd, int level, int name, void* value, socklen_t* length,
                                Instant now) {
  SocketFile* s = state_->find_socket(fd);
  if (s == nullptr) return fail(state_->why_no_socket(fd));
  const Result<int> got = get_option(*state_, *s, level, name, value, length, now);
  state_->settle_options(*s);
  return got;
}

Result<int> Sockets::setsockopt(Descriptor fd, int level, int name, const void* value, socklen_t length,
                                Instant now) {
  SocketFile* s = state_->find_socket(fd);
  if (s == nullptr) return fail(state_->why_no_socket(fd));
  const Result<int> set = set_option(*state_, *s, level, name, value, length, now);
  state_->settle_options(*s);
  if (s->kind != FileKind::kStream) state_->raw_options_changed(static_cast<DatagramSocket&>(*s));
  return reported(state_->parts.tracer, Call::kSetOption, fd, set, now, static_cast<std::uint64_t>(name));
}

// Linux's tcp_ioctl and udp_ioctl.
Result<int> Sockets::ioctl(Descriptor fd, unsigned long request, void* argument, Instant) {
  File* file = state_->descriptors.find(fd);
  if (file == nullptr) return fail(EBADF);
  if (request == FIONBIO) {
    if (argument == nullptr) return fail(EFAULT);
    file->nonblocking = *static_cast<const int*>(argument) != 0;
    return 0;
  }
  if (file->kind == FileKind::kEpoll) return fail(EINVAL);
  // No stamp of the last packet is kept (SO_TIMESTAMP tells it with the data).
  if (request == SIOCGSTAMP_OLD || request == SIOCGSTAMPNS_OLD) return fail(ENOENT);
  if (const auto answered = interface_ioctl(state_->parts, request, argument);
      answered || answered.error() != Errno{ENOTTY})
    return answered;
  std::size_t count = 0;
  if (file->kind == FileKind::kStream) {
    const auto& s = static_cast<const StreamSocket&>(*file);
    const tcp::State tcp_state = state_->tcp_state(s);
    const bool known = request == SIOCINQ || request == SIOCOUTQ || request == SIOCOUTQNSD;
    if (tcp_state == tcp::State::kListen && known) return fail(EINVAL);
    const tcp::Connection* connection = state_->connection_of(s);
    switch (request) {
      case SIOCINQ:
        count = connection != nullptr ? connection->readable_bytes() : 0;
        if (connection != nullptr && !connection->options().urgent_inline)
          count = std::min(count, connection->bytes_before_mark());
        break;
      case SIOCOUTQ:
        count = connection != nullptr ? connection->unacked_bytes() : 0;
        break;
      case SIOCOUTQNSD:
        count = connection != nullptr ? connection->unsent_bytes() : 0;
        break;
      case SIOCATMARK:
        count = connection != nullptr && connection->at_mark() ? 1 : 0;
        break;
      default:
        return fail(ENOTTY);
    }
  } else {
    const auto& s = static_cast<const DatagramSocket&>(*file);
    const udp::DatagramPort* port = state_->parts.udp.get(s.port);
    const raw::ReceiveQueue* queue = state_->raw_queue(s);
    switch (request) {
      case SIOCINQ:
        count = queue != nullptr ? queue->first_size() : port->first_size();
        break;
      case SIOCOUTQ:
        break;
      default:
        return fail(ENOTTY);
    }
  }
  if (argument == nullptr) return fail(EFAULT);
  *static_cast<int*>(argument) = static_cast<int>(count);
  return 0;
}

Result<int> Sockets::fcntl(Descriptor fd, int command, long argument) {
  File* file = state_->descriptors.find(fd);
  if (file == nullptr) return fail(EBADF);
  DescriptorTable& table = state_->descriptors;
  switch (command) {
    case F_GETFL:
      return O_RDWR | (file->nonblocking ? O_NONBLOCK : 0);
    case F_SETFL:
      file->nonblocking = (argument & O_NONBLOCK) != 0;
      return 0;
    case F_GETFD:
      return table.close_on_exec(fd) ? FD_CLOEXEC : 0;
    case F_SETFD:
      table.set_close_on_exec(fd, (argument & FD_CLOEXEC) != 0);
      return 0;
    case F_DUPFD:
    case F_DUPFD_CLOEXEC: {
      if (argument < 0) return fail(EINVAL);
      const int descriptor = table.open(*file, static_cast<int>(std::min<long>(argument, 0x7fffffff)));
      if (descriptor < 0) return fail(EMFILE);
      table.set_close_on_exec(descriptor, command == F_DUPFD_CLOEXEC);
      return descriptor;
    }
    default:
      return fail(EINVAL);
  }
}

short Sockets::poll_events(Descriptor fd, short requested, Instant) {
  const File* file = state_->descriptors.find(fd);
  if (file == nullptr) return POLLNVAL;
  const std::uint32_t wanted =
      static_cast<std::uint16_t>(requested) | static_cast<std::uint32_t>(POLLERR | POLLHUP);
  return static_cast<short>(state_->readiness(*file) & wanted);
}

int Sockets::poll(std::span<pollfd> descriptors, Instant now) {
  int ready = 0;
  for (pollfd& each : descriptors) {
    each.revents = each.fd < 0 ? short{0} : poll_events(each.fd, each.events, now);
    if (each.revents != 0) ++ready;
  }
  return ready;
}

Result<Descriptor> Sockets::epoll_create1(int flags) {
  if ((flags & ~EPOLL_CLOEXEC) != 0) return fail(EINVAL);
  const auto handle = state_->sets.emplace();
  if (!handle) return fail(ENOMEM);
  const int descriptor = state_->descriptors.open(*state_->sets.get(handle));
  if (descriptor < 0) {
    state_->sets.erase(handle);
    return fail(EMFILE);
  }
  state_->descriptors.set_close_on_exec(descriptor, (flags & EPOLL_CLOEXEC) != 0);
  return descriptor;
}

// Linux's do_epoll_ctl.
Result<int> Sockets::epoll_ctl(Descriptor epfd, int operation, Descriptor fd, epoll_event* event,
                               Instant now) {
  if (operation != EPOLL_CTL_DEL && event == nullptr) return fail(EFAULT);
  File* set_file = state_->descriptors.find(epfd);
  File* file = state_->descriptors.find(fd);
  if (set_file == nullptr || file == nullptr) return fail(EBADF);
  if (set_file == file || set_file->kind != FileKind::kEpoll) return fail(EINVAL);
  state_->absorb_touched(now);
  auto& set = static_cast<EpollSet&>(*set_file);
  if (operation == EPOLL_CTL_MOD && (event->events & EPOLLEXCLUSIVE) != 0) return fail(EINVAL);
  if (operation == EPOLL_CTL_ADD) return state_->epoll_add(set, *file, fd, *event);
  if (operation != EPOLL_CTL_MOD && operation != EPOLL_CTL_DEL) return fail(EINVAL);
  EpollItem* item = state_->find_item(set, *file, fd);
  if (item == nullptr) return fail(ENOENT);
  if (operation == EPOLL_CTL_MOD) return state_->epoll_modify(*item, *event);
  state_->epoll_remove(*item);
  return 0;
}

Result<int> Sockets::epoll_wait(Descriptor epfd, std::span<epoll_event> events, Instant now) {
  File* file = state_->descriptors.find(epfd);
  if (file == nullptr) return fail(EBADF);
  if (events.empty()) return fail(EINVAL);
  if (events.data() == nullptr) return fail(EFAULT);
  if (file->kind != FileKind::kEpoll) return fail(EINVAL);
  state_->absorb_touched(now);
  return state_->epoll_collect(static_cast<EpollSet&>(*file), events);
}

// ---- for those who wait ----

bool Sockets::nonblocking(Descriptor fd) const {
  const File* file = state_->descriptors.find(fd);
  return file != nullptr && file->nonblocking;
}

Duration Sockets::receive_timeout(Descriptor fd) const {
  const SocketFile* s = state_->find_socket(fd);
  return s != nullptr ? s->receive_timeout : Duration::zero();
}

Duration Sockets::send_timeout(Descriptor fd) const {
  const SocketFile* s = state_->find_socket(fd);
  return s != nullptr ? s->send_timeout : Duration::zero();
}

int Sockets::why_no_socket(Descriptor fd) const {
  return state_->find_socket(fd) == nullptr ? state_->why_no_socket(fd) : 0;
}

int Sockets::take_error(Descriptor fd) {
  SocketFile* s = state_->find_socket(fd);
  if (s == nullptr) return 0;
  return s->kind == FileKind::kStream ? state_->take_error(static_cast<StreamSocket&>(*s))
                                      : state_->take_error(static_cast<DatagramSocket&>(*s));
}

void Sockets::set_error(Descriptor fd, Errno error) {
  if (SocketFile* s = state_->find_socket(fd)) s->error = static_cast<std::int32_t>(error);
}

void Sockets::hold_output(bool hold) { state_->output_held = hold; }

bool Sockets::receive_shut(Descriptor fd) const {
  const SocketFile* s = state_->find_socket(fd);
  return s != nullptr && (s->shutdown & kReceiveShutdown) != 0;
}

std::size_t Sockets::receive_low_water(Descriptor fd) const {
  StreamSocket* s = state_->find_stream(fd);
  if (s == nullptr) return 1;
  const tcp::Connection* connection = state_->connection_of(*s);
  const tcp::SocketOptions& options = connection != nullptr ? connection->options() : state_->options_of(*s);
  return static_cast<std::size_t>(std::max(options.receive_low_water, 1));
}

Result<int> Sockets::connect_result(Descriptor fd, Instant now) {
  StreamSocket* s = state_->find_stream(fd);
  return s != nullptr && s->state == SocketState::kConnecting ? state_->connect_result(*s, now) : 0;
}

bool Sockets::syn_deferred(Descriptor fd) const {
  StreamSocket* s = state_->find_stream(fd);
  const tcp::Connection* connection = s != nullptr ? state_->connection_of(*s) : nullptr;
  return connection != nullptr && connection->syn_deferred();
}

int Sockets::signal_number(Descriptor fd, bool give) {
  SocketFile* s = state_->find_socket(fd);
  if (s == nullptr || s->signal_number >= 0 || !give) return s == nullptr ? -1 : s->signal_number;
  // A number whose last file's end was not told yet is still taken.
  for (std::size_t i = 0; i < state_->signalled.size(); ++i) {
    if (state_->signalled[i].file != nullptr || state_->signalled[i].what != 0) continue;
    state_->signalled[i].file = s;
    ++state_->signalled_count;
    s->signal_number = static_cast<std::int8_t>(i);
    return s->signal_number;
  }
  return -1;
}

bool Sockets::signals() const { return state_->signalled_count != 0; }

Sockets::Signalled Sockets::poll_signal() {
  State& state = *state_;
  static_assert(kSignalledMax <= std::numeric_limits<decltype(state.signals_waiting)>::digits,
                "a bit for each");
  if (state.signals_waiting == 0) return {};
  const int number = std::countr_zero(state.signals_waiting);
  state.signals_waiting = static_cast<std::uint16_t>(state.signals_waiting & (state.signals_waiting - 1));
  State::SignalledFile& one = state.signalled[static_cast<std::size_t>(number)];
  const std::uint8_t what = std::exchange(one.what, std::uint8_t{0});
  if ((what & kSignalEnded) != 0) --state.signalled_count;
  return {number, one.file != nullptr ? one.file->first_descriptor : -1, what};
}

bool Sockets::fast_open_call_waits(Descriptor fd) const {
  const StreamSocket* s = state_->find_stream(fd);
  return s != nullptr && s->fast_open_call;
}

void Sockets::note_fast_open_call(Descriptor fd, bool waits) {
  if (StreamSocket* s = state_->find_stream(fd)) s->fast_open_call = waits;
}

bool Sockets::is_stream(Descriptor fd) const { return state_->find_stream(fd) != nullptr; }

Result<Descriptor> Sockets::set_aside(Descriptor fd) {
  File* file = state_->descriptors.find(fd);
  if (file == nullptr) return fail(EBADF);
  const int aside = state_->descriptors.open_aside(*file);
  if (aside < 0) return fail(EMFILE);
  return aside;
}

bool Sockets::is_aside(Descriptor fd) const { return state_->descriptors.is_aside(fd); }

std::size_t Sockets::size() const { return state_->descriptors.size(); }

std::uint64_t Sockets::last_lingering() const { return state_->last_lingering; }

bool Sockets::lingering(std::uint64_t name, Instant now) {
  state_->end_lingerings(now);
  return state_->lingerings.get(Handle<State::Lingering>::unpack(name)) != nullptr;
}

Instant Sockets::linger_deadline(std::uint64_t name) const {
  const State::Lingering* lingering = state_->lingerings.get(Handle<State::Lingering>::unpack(name));
  return lingering != nullptr ? lingering->deadline : kNever;
}

std::span<const Woken> Sockets::take_woken(Instant now) {
  State& state = *state_;
  state.absorb_touched(now);
  state.woken_report.clear();
  while (File* file = state.woken.pop_front()) {
    const std::uint32_t events = std::exchange(file->woken, 0);
    for (int fd = file->first_descriptor; fd >= 0; fd = state.descriptors.next_of_same(fd))
      state.woken_report.push_back({fd, events});
  }
  return state.woken_report;
}

}  // namespace tapir::socket
