// SPDX-License-Identifier: Apache-2.0
// TCP sockets: Linux's inet_stream_ops and what of tcp.c the program sees.
#include <netinet/tcp.h>

#include <algorithm>
#include <utility>

#include "socket/address.h"
#include "socket/errno_map.h"
#include "socket/message.h"
#include "socket/state.h"

namespace tapir::socket {
namespace {

// Linux's tcp_need_reset.
bool needs_reset(tcp::State state) {
  switch (state) {
    case tcp::State::kEstablished:
    case tcp::State::kCloseWait:
    case tcp::State::kFinWait1:
    case tcp::State::kFinWait2:
    case tcp::State::kSynReceived:
      return true;
    default:
      return false;
  }
}

// Our FIN is not acknowledged yet (Linux's sk_stream_closing).
bool closing(tcp::State state) {
  return state == tcp::State::kFinWait1 || state == tcp::State::kClosing || state == tcp::State::kLastAck;
}

}  // namespace

// ---- state ----

tcp::SocketOptions& Sockets::State::options_of(StreamSocket& s) {
  if (connection_of(s) != nullptr) {
    if (tcp::SocketOptions* options = parts.tcp.edit_options(s.connection)) return *options;
    return no_options = connection_of(s)->options();
  }
  if (s.listener)
    if (tcp::SocketOptions* options = parts.tcp.listener_options(s.listener)) return *options;
  if (s.options == 0) {
    if (const Handle<tcp::SocketOptions> made = own_options.emplace()) s.options = made.index + 1;
  }
  return s.options != 0 ? *own_options.at(s.options - 1) : no_options = {};
}

void Sockets::State::drop_own_options(StreamSocket& s) {
  if (s.options != 0) own_options.erase(*own_options.at(std::exchange(s.options, 0U) - 1));
}

void Sockets::State::options_changed(StreamSocket& s, Instant now) {
  if (connection_of(s) == nullptr) return;
  parts.tcp.options_changed(s.connection, now);
  finish_call(now);
}

// Linux's sock_error: told once.
int Sockets::State::take_error(StreamSocket& s) {
  if (s.error != 0) return std::exchange(s.error, 0);
  tcp::Connection* connection = connection_of(s);
  return connection != nullptr ? linux_errno(connection->take_cause()) : 0;
}

// ---- listen, accept ----

// Linux's inet_listen.
Result<int> Sockets::State::listen(StreamSocket& s, int backlog, Instant now) {
  if (s.state != SocketState::kUnconnected) return fail(EINVAL);
  const tcp::State state = tcp_state(s);
  if (state != tcp::State::kClosed && state != tcp::State::kListen) return fail(EINVAL);
  const auto most = static_cast<unsigned>(parts.tcp_knobs.somaxconn);
  backlog = static_cast<int>(std::min(static_cast<unsigned>(backlog), most));
  if (s.listener) {
    parts.tcp.set_backlog(s.listener, backlog);
    return 0;
  }
  if (s.local.port == 0) {
    if (const Result<int> taken = take_port(s, {s.local.address, 0}); !taken) return taken;
  }
  if (!parts.ports.start_listening(s.binding, parts.tcp)) return fail(EADDRINUSE);
  options_of(s).send_shut = (s.shutdown & kSendShutdown) != 0;
  const auto listener = parts.tcp.listen(s.local, s.interface, backlog, s.reuse_port, options_of(s), now);
  if (!listener || !attach_listener(s, *listener)) {
    parts.ports.stop_listening(s.binding);
    if (!listener) return fail(listener.error() == tcp::CloseCause::kOutOfMemory ? ENOMEM : EADDRINUSE);
    parts.tcp.close_listener(*listener, now);
    return fail(ENOMEM);
  }
  drop_own_options(s);
  if (const tcp::FastOpenKeys* keys =
          s.fast_open_keys != 0 ? fast_open_keys.at(s.fast_open_keys - 1) : nullptr)
    parts.tcp.set_fast_open_keys(s.listener, *keys);
  (void)hand_on_md5_keys(s, now);
  return 0;
}

// Linux's inet_accept and inet_csk_accept. The child has what Linux's child has of its listener.
Result<Descriptor> Sockets::State::accept(StreamSocket& s, sockaddr* address, socklen_t* length, int flags,
                                          Instant now) {
  if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0) return fail(EINVAL);
  if (!descriptors.has_room()) return fail(EMFILE);
  if (!s.listener) return fail(EINVAL);
  if (!parts.tcp.acceptable(s.listener)) return fail(EAGAIN);
  const Handle<StreamSocket> handle = streams.emplace();
  if (!handle) return fail(ENOBUFS);
  StreamSocket& child = *streams.get(handle);
  const tcp::ConnectionId id = parts.tcp.accept(s.listener, now);
  const tcp::Connection* connection = parts.tcp.connection(id);
  if (connection == nullptr) {
    streams.erase(handle);
    return fail(EAGAIN);
  }
  attach(child, id);
  parts.ports.note_accepted(s.binding, now);
  child.local = connection->tuple().local;
  child.receive_timeout = s.receive_timeout;
  child.send_timeout = s.send_timeout;
  child.interface = s.interface;
  child.mark = s.mark;
  child.priority = s.priority;
  child.linger = s.linger;
  child.linger_seconds = s.linger_seconds;
  child.reuse_address = s.reuse_address;
  child.reuse_port = s.reuse_port;
  child.keepalive = s.keepalive;
  child.dont_route = s.dont_route;
  child.receive_errors = s.receive_errors;
  child.address_locked = s.address_locked;
  child.shutdown = s.shutdown;
  child.state = SocketState::kConnected;
  child.nonblocking = (flags & SOCK_NONBLOCK) != 0;
  const int descriptor = descriptors.open(child);
  descriptors.set_close_on_exec(descriptor, (flags & SOCK_CLOEXEC) != 0);
  if (address != nullptr) {
    if (const Result<int> stored = store_endpoint(connection->tuple().remote, address, length); !stored) {
      descriptors.close(descriptor);
      (void)destroy(child, now);
      return std::unexpected(stored.error());
    }
  }
  return descriptor;
}

// ---- connect ----

// Linux's __inet_stream_connect. Never waits: what a blocking socket would wait for is EINPROGRESS, or
// EALREADY the second time.
Result<int> Sockets::State::connect(StreamSocket& s, const sockaddr* address, socklen_t length, Instant now) {
  const Result<sa_family_t> family = family_of(address, length);
  if (!family) return std::unexpected(family.error());
  if (*family == AF_UNSPEC) {
    disconnect(s, 0, now);
    finish_call(now);
    return 0;
  }
  switch (s.state) {
    case SocketState::kDisconnecting:
      return fail(EINVAL);
    case SocketState::kConnected:
      return fail(EISCONN);
    case SocketState::kConnecting:
      break;
    case SocketState::kUnconnected: {
      if (tcp_state(s) != tcp::State::kClosed) return fail(EISCONN);
      if (const Result<int> started = start_connect(s, address, length, now); !started) return started;
      s.state = SocketState::kConnecting;
      if (connection_of(s)->options().fast_open_connect)
        if (const Result<int> deferred = connect_fast_open(s, now)) return deferred;
      finish_call(now);
      return fail(EINPROGRESS);
    }
  }
  if (const tcp::Connection* connection = connection_of(s);
      connection != nullptr && connection->syn_deferred())
    return fail(EISCONN);
  return connect_result(s, now);
}

// The second half of Linux's __inet_stream_connect.
Result<int> Sockets::State::connect_result(StreamSocket& s, Instant now) {
  const tcp::State state = tcp_state(s);
  if (tcp::before_established(state)) return fail(EALREADY);
  if (state == tcp::State::kClosed) {
    const int error = take_error(s);
    disconnect(s, 0, now);
    return fail(error != 0 ? error : ECONNABORTED);
  }
  s.state = SocketState::kConnected;
  return 0;
}

// Linux's tcp_v4_connect and inet_hash_connect.
Result<int> Sockets::State::start_connect(StreamSocket& s, const sockaddr* address, socklen_t length,
                                          Instant now) {
  const Result<Endpoint> remote = endpoint_of(address, length);
  if (!remote) return std::unexpected(remote.error());
  if (*family_of(address, length) != AF_INET) return fail(EAFNOSUPPORT);
  const ip::AddressKind kind = parts.interfaces.classify(remote->address);
  if (kind == ip::AddressKind::kMulticast || kind == ip::AddressKind::kBroadcast) return fail(ENETUNREACH);
  ip::RouteQuery query;
  query.destination = remote->address;
  if (!s.local.address.is_unspecified()) query.source = s.local.address;
  query.bound_interface = s.interface;
  query.source_may_be_foreign = s.free_bind;
  const auto path = parts.routes.resolve(query, now);
  if (!path) {
    if (path.error() == ip::RouteError::kNetUnreachable) parts.counters.add(trace::Counter::kIpOutNoRoutes);
    return fail(linux_errno(path.error()));
  }

  FourTuple tuple;
  tuple.local = {path->source, s.local.port};
  tuple.remote = {path->destination, remote->port};
  const bool chosen = s.local.port == 0;
  if (chosen) {
    const auto binding = parts.ports.bind_to_connect(tuple, s.interface, s.sharing(), parts.tcp, now);
    if (!binding) return fail(binding.error() == stack::BindError::kOutOfMemory ? ENOBUFS : EADDRNOTAVAIL);
    s.binding = *binding;
    s.local = {tuple.local.address, parts.ports.port_of(*binding)};
    tuple.local.port = s.local.port;
  } else {
    s.local.address = tuple.local.address;
    parts.ports.set_address(s.binding, tuple.local.address);
  }
  options_of(s).send_shut = (s.shutdown & kSendShutdown) != 0;
  const auto connection = parts.tcp.connect(tuple, *path, options_of(s), now);
  if (!connection) {
    disconnect(s, 0, now);
    return fail(connection.error() == tcp::CloseCause::kOutOfMemory ? ENOBUFS : EADDRNOTAVAIL);
  }
  attach(s, *connection);
  drop_own_options(s);
  if (!hand_on_md5_keys(s, now)) {
    parts.tcp.abort(s.connection, now);
    disconnect(s, 0, now);
    return fail(ENOBUFS);
  }
  s.error = 0;
  return 0;
}

// Linux's inet_put_port when a connection or listener ends: the port is free, but getsockname() goes on to
// tell it.
void Sockets::State::let_go_of_port(StreamSocket& s, bool leaves_connections, Instant now) {
  if (s.local.port != 0) s.stale_port = s.local.port;
  const bool address_locked = s.address_locked;
  const IpAddress address = s.local.address;
  release_port(s, leaves_connections, now);
  s.address_locked = address_locked;
  s.local.address = address;
}

// A connection that has ended keeps only a port that bind() named (Linux: tcp_set_state).
void Sockets::State::notice_end(StreamSocket& s, Instant now) {
  const tcp::Connection* connection = connection_of(s);
  if (connection == nullptr || connection->state() != tcp::State::kClosed || s.end_noticed) return;
  s.end_noticed = true;
  if (s.port_locked || s.local.port == 0) return;
  let_go_of_port(s, true, now);
}

// Linux's tcp_disconnect: as new, but for what bind() fixed. `error`: for SO_ERROR, unless the state knows a
// better one.
void Sockets::State::disconnect(StreamSocket& s, int error, Instant now) {
  bool leaves = false;
  notice_end(s, now);
  // What was bound since the last connection ended stays bound (Linux: tcp_set_state puts the port, and CLOSE
  // is no news).
  const bool was_closed = tcp_state(s) == tcp::State::kClosed;
  if (s.listener) {
    const tcp::SocketOptions kept = options_of(s);
    parts.tcp.close_listener(s.listener, now);
    detach_listener(s);
    options_of(s) = kept;
    parts.ports.stop_listening(s.binding);
    leaves = true;
    if (error == 0) error = s.error;  // of a connection before it listened
  } else if (tcp::Connection* connection = connection_of(s)) {
    const tcp::State state = connection->state();
    if (needs_reset(state) || state == tcp::State::kSynSent)
      error = ECONNRESET;
    else if (error == 0)
      error = pending_error(s);
    tcp::SocketOptions kept = connection->options();
    kept.cork = connection->corked();
    if (state == tcp::State::kClosed)
      parts.tcp.close(s.connection, now);
    else
      parts.tcp.abort(s.connection, now);
    detach(s);
    options_of(s) = kept;
  } else if (error == 0) {
    error = s.error;
  }
  s.error = error;
  s.shutdown = 0;
  s.state = SocketState::kUnconnected;
  if (!s.port_locked && (!was_closed || s.local.port == 0)) {
    let_go_of_port(s, leaves, now);
    if (!s.address_locked) s.local.address = IpAddress::any_v4();
  } else if (!s.address_locked) {
    s.local.address = {};
    parts.ports.set_address(s.binding, {});
  }
  wake(s, kWakeAll);
}

// ---- data ----

// Pieces of the program's memory in one segment, where they are not copied on Linux (MAX_SKB_FRAGS).
constexpr unsigned kFragmentsMax = 17;

// Linux's tcp_sendmsg_locked.
Result<std::size_t> Sockets::State::send(StreamSocket& s, const msghdr& message, int flags, Instant now,
                                         Loan* loan) {
  const auto pieces = pieces_of(message);
  if (!pieces) return std::unexpected(pieces.error());
  tcp::Connection* connection = connection_of(s);
  if ((flags & MSG_FASTOPEN) != 0 || (connection != nullptr && connection->syn_deferred())) {
    const auto begun = send_fast_open(s, message, flags, now);
    if (!begun) return std::unexpected(begun.error());
    if (*begun) return **begun;
    connection = connection_of(s);
  }
  const tcp::State state = tcp_state(s, connection);
  const bool begun_by_syn = state == tcp::State::kSynReceived && connection->fast_open_pending();
  if (state != tcp::State::kEstablished && state != tcp::State::kCloseWait && !begun_by_syn) {
    if (const int error = take_error(s)) return fail(error);
    if (!tcp::before_established(state)) return fail(EPIPE);
    if ((flags & MSG_DONTWAIT) == 0 && !s.nonblocking) connection->note_writer_waits();
    return fail(EAGAIN);
  }
  if (pending_error(s, connection) != 0 || (shutdown_of(s, connection) & kSendShutdown) != 0) {
    const int error = take_error(s);
    return fail(error != 0 ? error : EPIPE);
  }

  std::size_t left = total_size(*pieces);
  const std::size_t asked = left;
  if (left == 0) return 0;
  const auto timestamping = timestamping_of(*connection, message);
  if (!timestamping) return std::unexpected(timestamping.error());
  const bool zero_copy = (flags & MSG_ZEROCOPY) != 0 && connection->options().zero_copy;
  if (zero_copy && !parts.tcp.room_for_note(s.connection)) return fail(ENOBUFS);
  std::size_t written = 0;
  unsigned fragments = 0;
  for (const iovec& piece : *pieces) {
    const std::size_t size = std::min(piece.iov_len, left);
    if (size == 0) continue;
    if (piece.iov_base == nullptr) {
      if (written == 0) return fail(EFAULT);
      break;
    }
    left -= size;
    Bytes rest(static_cast<const std::uint8_t*>(piece.iov_base), size);
    const bool full = zero_copy && ++fragments % kFragmentsMax == 0;
    while (!rest.empty()) {
      tcp::Connection::WriteFlags how;
      how.more = (flags & MSG_MORE) != 0;
      how.follows = left != 0 && !full;
      how.end_of_record = ((flags & MSG_EOR) != 0 && left == 0) || (full && left != 0);
      how.urgent = (flags & MSG_OOB) != 0 && left == 0;
      how.loan = loan;
      const std::size_t taken = parts.tcp.write(s.connection, rest, how, now);
      if (taken == 0) break;
      written += taken;
      rest = rest.subspan(taken);
      // A full record leaves before the next is begun, as in Linux's sendmsg: what the window leaves of it is
      // topped up first.
      if (!rest.empty()) parts.send_output(now);
    }
    if (!rest.empty()) break;
  }
  if (written == 0) return fail(EAGAIN);
  const bool goes_on = written < asked && (flags & MSG_DONTWAIT) == 0 && !s.nonblocking;
  note_written(s, zero_copy, goes_on, flags, *timestamping, now);
  finish_transfer(now);
  return written;
}

// Linux's tcp_recv_urg.
Result<std::size_t> Sockets::State::receive_urgent(StreamSocket& s, msghdr& message,
                                                   std::span<const iovec> pieces, int flags) {
  tcp::Connection* connection = connection_of(s);
  message.msg_namelen = 0;
  message.msg_controllen = 0;
  message.msg_flags = 0;
  if (connection == nullptr || !connection->urgent_ahead() || connection->urgent_taken() ||
      connection->options().urgent_inline)
    return fail(EINVAL);
  if (const auto byte = connection->take_urgent((flags & MSG_PEEK) != 0)) {
    message.msg_flags = MSG_OOB;
    if (total_size(pieces) == 0) {
      message.msg_flags |= MSG_TRUNC;
      return 0;
    }
    const std::uint8_t value = *byte;
    if ((flags & MSG_TRUNC) == 0)
      if (const auto copied = scatter(Bytes(&value, 1), pieces, 0); !copied) return copied;
    return 1;
  }
  if (tcp_state(s) == tcp::State::kClosed || (shutdown_of(s) & kReceiveShutdown) != 0) return 0;
  return fail(EAGAIN);
}

// Linux's tcp_recvmsg_locked: what is queued first; then the error, once; then the end.
Result<std::size_t> Sockets::State::receive(StreamSocket& s, msghdr& message, int flags, Instant now) {
  const auto pieces = pieces_of(message);
  if (!pieces) return std::unexpected(pieces.error());
  if ((flags & MSG_ERRQUEUE) != 0) return receive_report(s, message, now);
  if (s.listener) return fail(ENOTCONN);
  if ((flags & MSG_OOB) != 0) return receive_urgent(s, message, *pieces, flags);
  tcp::Connection* connection = connection_of(s);
  const Instant head_received_at = connection != nullptr ? connection->head_received_at() : Instant{};
  std::size_t queued = connection != nullptr ? connection->readable_bytes() : 0;
  message.msg_namelen = 0;
  message.msg_flags = 0;
  ControlWriter control(message);
  if (queued == 0) {
    if (connection != nullptr && connection->peer_fin()) {
      tell_with_data(s, *connection, std::nullopt, control);
      return 0;
    }
    if (const int error = take_error(s)) return fail(error);
    if ((shutdown_of(s) & kReceiveShutdown) != 0) return 0;
    return fail(tcp_state(s) == tcp::State::kClosed ? ENOTCONN : EAGAIN);
  }

  const bool peeks = (flags & MSG_PEEK) != 0;
  // At the mark, the byte behind it is stepped over, unless it is read in line; a read ends before the next.
  std::size_t stepped = 0;
  if (connection->at_mark() && !connection->options().urgent_inline) {
    if (peeks)
      stepped = 1;
    else
      parts.tcp.discard(s.connection, 1, now);
    if (--queued == 0) return connection->peer_fin() ? Result<std::size_t>(0) : fail(EAGAIN);
  }
  const std::size_t before_mark = connection->bytes_before_mark();
  if (before_mark != 0 && stepped == 0) queued = std::min(queued, before_mark);
  // SO_PEEK_OFF: peeks go on where the last one ended.
  const std::size_t skipped = stepped + (peeks ? static_cast<std::size_t>(std::max(s.peek_offset, 0)) : 0);
  if (skipped >= queued + stepped) return connection->peer_fin() ? Result<std::size_t>(0) : fail(EAGAIN);
  const std::size_t wanted = std::min(total_size(*pieces), queued + stepped - skipped);
  const auto move_peek_offset = [&s, peeks](std::size_t count) {
    if (s.peek_offset < 0) return;
    const auto moved = static_cast<std::int32_t>(count);
    s.peek_offset = peeks ? s.peek_offset + moved : std::max(s.peek_offset - moved, 0);
  };
  if ((flags & MSG_TRUNC) != 0) {
    const std::size_t passed = peeks ? wanted : parts.tcp.discard(s.connection, wanted, now);
    move_peek_offset(passed);
    if (!peeks) finish_call(now);
    return passed;
  }
  std::size_t copied = 0;
  for (const iovec& piece : *pieces) {
    const std::size_t size = std::min(piece.iov_len, wanted - copied);
    if (size == 0) continue;
    if (piece.iov_base == nullptr) {
      if (copied == 0) return fail(EFAULT);
      break;
    }
    const MutableBytes out{static_cast<std::uint8_t*>(piece.iov_base), size};
    copied += peeks ? connection->peek(out, skipped + copied) : parts.tcp.read(s.connection, out, now);
  }
  move_peek_offset(copied);
  tell_with_data(s, *connection, head_received_at, control);
  if (!peeks) finish_transfer(now);
  return copied;
}

// ---- the end ----

// Linux's inet_shutdown.
Result<int> Sockets::State::shutdown(StreamSocket& s, int how, Instant now) {
  if (how < SHUT_RD || how > SHUT_RDWR) return fail(EINVAL);
  const auto bits = static_cast<std::uint8_t>(how + 1);
  const tcp::State state = tcp_state(s);
  if (s.state == SocketState::kConnecting)
    s.state = tcp::before_established(state) || state == tcp::State::kClosed ? SocketState::kDisconnecting
                                                                             : SocketState::kConnected;
  switch (state) {
    case tcp::State::kClosed:
      s.shutdown |= bits;
      wake(s, kWakeAll);
      return fail(ENOTCONN);
    case tcp::State::kListen:
      if ((bits & kReceiveShutdown) == 0) break;
      disconnect(s, 0, now);
      break;
    case tcp::State::kSynSent:
      disconnect(s, 0, now);
      break;
    default:
      if ((bits & kReceiveShutdown) != 0) parts.tcp.shutdown_receive(s.connection, now);
      if ((bits & kSendShutdown) != 0) parts.tcp.shutdown_send(s.connection, now);
      break;
  }
  wake(s, kWakeAll);
  finish_call(now);
  return 0;
}

// Linux's inet_release and __tcp_close.
Result<int> Sockets::State::close(StreamSocket& s, Instant now) {
  bool lingers = false;
  if (s.listener) {
    parts.tcp.close_listener(s.listener, now);
    detach_listener(s);
  } else if (tcp::Connection* connection = connection_of(s)) {
    const tcp::ConnectionId id = s.connection;
    const bool may_linger =
        s.linger && connection->readable_bytes() == 0 && connection->state() != tcp::State::kClosed;
    detach(s);
    if (may_linger && s.linger_seconds == 0) {
      parts.tcp.abort(id, now);
    } else {
      Handle<Lingering> lingering;
      if (may_linger)
        lingering = lingerings.emplace(Lingering{id, later(now, std::chrono::seconds(s.linger_seconds))});
      if (lingering) {
        parts.tcp.shutdown_receive(id, now);
        parts.tcp.shutdown_send(id, now);
        finish_call(now);
        lingers = still_lingers(*lingerings.get(lingering));
        if (lingers) {
          last_lingering = lingering.packed();
        } else {
          lingerings.erase(lingering);
          parts.tcp.close(id, now);
        }
      } else {
        parts.tcp.close(id, now);
      }
    }
  }
  if (s.binding) release_port(s, true, now);
  finish_call(now);
  if (lingers) return fail(EINPROGRESS);
  return 0;
}

bool Sockets::State::still_lingers(const Lingering& lingering) const {
  const tcp::Connection* connection = parts.tcp.connection(lingering.connection);
  return connection != nullptr && closing(connection->state());
}

void Sockets::State::end_lingerings(Instant now) {
  lingerings.for_each([&](Lingering& lingering) {
    if (still_lingers(lingering) && now < lingering.deadline) return;
    parts.tcp.close(lingering.connection, now);
    lingerings.erase(lingering);
  });
}

}  // namespace tapir::socket
