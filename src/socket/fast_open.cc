// SPDX-License-Identifier: Apache-2.0
// Fast Open as programs see it (RFC 7413): data with the SYN by MSG_FASTOPEN or after TCP_FASTOPEN_CONNECT,
// and a listener's keys.
#include <cstring>
#include <utility>

#include "socket/errno_map.h"
#include "socket/message.h"
#include "socket/state.h"
#include "tcp/fastopen.h"

namespace tapir::socket {
namespace {

bool names_nobody(const msghdr& message) {
  if (message.msg_name == nullptr || message.msg_namelen < sizeof(sa_family_t)) return false;
  return static_cast<const sockaddr*>(message.msg_name)->sa_family == AF_UNSPEC;
}

}  // namespace

// Linux's tcp_fastopen_defer_connect. An error: it is not deferred, the SYN leaves and asks for a cookie.
Result<int> Sockets::State::connect_fast_open(StreamSocket& s, Instant now) {
  const bool ready = connection_of(s)->fast_open_ready(parts.tcp.env(), now);
  parts.tcp.ask_fast_open(s.connection, ready);
  if (ready) return 0;
  return fail(EINPROGRESS);
}

// Linux's tcp_sendmsg_fastopen.
Result<std::optional<std::size_t>> Sockets::State::send_fast_open(StreamSocket& s, const msghdr& message,
                                                                  int flags, Instant now) {
  if ((parts.tcp_knobs.tcp_fastopen & tcp::kFastOpenClient) == 0 || names_nobody(message))
    return fail(EOPNOTSUPP);
  if (s.fast_open_call) return fail(EALREADY);
  tcp::Connection* connection = connection_of(s);
  const bool deferred = connection != nullptr && connection->syn_deferred();
  if (!deferred) {
    switch (s.state) {
      case SocketState::kDisconnecting:
        return fail(EINVAL);
      case SocketState::kConnected:
        return fail(EISCONN);
      case SocketState::kConnecting: {
        const Result<int> connected = connect_result(s, now);
        if (!connected) {
          // It will wait, and what it then sends carries the handshake's ACK.
          if (connected.error() == Errno{EALREADY} && (flags & MSG_DONTWAIT) == 0 && !s.nonblocking)
            connection_of(s)->note_writer_waits();
          return std::unexpected(connected.error());
        }
        return std::optional<std::size_t>();
      }
      case SocketState::kUnconnected:
        break;
    }
    if (tcp_state(s) != tcp::State::kClosed) return fail(EISCONN);
    if (message.msg_name == nullptr) return fail(EINVAL);
    const Result<int> started =
        start_connect(s, static_cast<const sockaddr*>(message.msg_name), message.msg_namelen, now);
    if (!started) return std::unexpected(started.error());
    s.state = SocketState::kConnecting;
    parts.tcp.ask_fast_open(s.connection, false);
  }
  const auto pieces = pieces_of(message);
  if (!pieces) return std::unexpected(pieces.error());
  const std::size_t size = total_size(*pieces);
  std::size_t copied = 0;
  for (const iovec& piece : *pieces) {
    if (piece.iov_len == 0) continue;
    if (piece.iov_base == nullptr) break;
    const std::size_t taken = parts.tcp.add_syn_data(
        s.connection, {static_cast<const std::uint8_t*>(piece.iov_base), piece.iov_len}, now);
    copied += taken;
    if (taken < piece.iov_len) break;
  }
  parts.tcp.release_syn(s.connection, now);
  if (copied < size && (flags & MSG_DONTWAIT) == 0 && !s.nonblocking) connection_of(s)->note_writer_waits();
  finish_call(now);
  if (copied == 0 && tcp::before_established(tcp_state(s))) return fail(EINPROGRESS);
  return std::optional(copied);
}

// ---- TCP_FASTOPEN_KEY ----

void Sockets::State::drop_fast_open_keys(StreamSocket& s) {
  if (s.fast_open_keys != 0) fast_open_keys.erase(*fast_open_keys.at(std::exchange(s.fast_open_keys, 0) - 1));
}

// Linux's TCP_FASTOPEN_KEY in do_tcp_setsockopt: 16 bytes, or 32 with the key before.
Result<int> Sockets::State::set_fast_open_keys(StreamSocket& s, const void* value, socklen_t length) {
  if (length != tcp::kFastOpenKeyBytes && length != 2 * tcp::kFastOpenKeyBytes) return fail(EINVAL);
  if (value == nullptr) return fail(EFAULT);
  std::array<SipKey, 2> keys{};
  std::memcpy(keys.data(), value, length);
  tcp::FastOpenKeys set{keys[0], std::nullopt};
  if (length > tcp::kFastOpenKeyBytes) set.backup = keys[1];
  if (s.fast_open_keys == 0) {
    const Handle<tcp::FastOpenKeys> handle = fast_open_keys.emplace();
    if (!handle) return fail(ENOMEM);
    s.fast_open_keys = handle.index + 1;
  }
  *fast_open_keys.at(s.fast_open_keys - 1) = set;
  if (s.listener) parts.tcp.set_fast_open_keys(s.listener, set);
  return 0;
}

FastOpenKeyBytes Sockets::State::fast_open_key_bytes(const StreamSocket& s) const {
  FastOpenKeyBytes out;
  const tcp::FastOpenKeys* keys = s.fast_open_keys != 0 ? fast_open_keys.at(s.fast_open_keys - 1) : nullptr;
  if (keys == nullptr && parts.tcp_knobs.tcp_fastopen_key) keys = &*parts.tcp_knobs.tcp_fastopen_key;
  out.size = tcp::kFastOpenKeyBytes;
  if (keys == nullptr) return out;
  std::memcpy(out.bytes.data(), &keys->primary, tcp::kFastOpenKeyBytes);
  if (!keys->backup) return out;
  std::memcpy(out.bytes.data() + tcp::kFastOpenKeyBytes, &*keys->backup, tcp::kFastOpenKeyBytes);
  out.size = 2 * tcp::kFastOpenKeyBytes;
  return out;
}

}  // namespace tapir::socket
