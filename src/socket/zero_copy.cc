// SPDX-License-Identifier: Apache-2.0
// Received frames that are lent to the program instead of being copied.
#include <algorithm>

#include "socket/state.h"

namespace tapir::socket {

// As receive(), of which see.
Result<Frame> Sockets::State::lend(StreamSocket& s, Instant now) {
  if (s.listener) return fail(ENOTCONN);
  tcp::Connection* connection = connection_of(s);
  const std::size_t queued = connection != nullptr ? connection->readable_bytes() : 0;
  if (queued == 0) {
    if (connection != nullptr && connection->peer_fin()) return Frame();
    if (const int error = take_error(s)) return fail(error);
    if ((shutdown_of(s) & kReceiveShutdown) != 0) return Frame();
    return fail(tcp_state(s) == tcp::State::kClosed ? ENOTCONN : EAGAIN);
  }
  // Around an urgent byte, which no frame knows of, a copy is lent.
  if (connection->at_mark() || connection->bytes_before_mark() < queued) {
    Frame copy = parts.frames.allocate(std::min<std::size_t>(queued, 2048));
    if (!copy) return fail(ENOBUFS);
    iovec piece{copy.mutable_bytes().data(), copy.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    const Result<std::size_t> received = receive(s, message, 0, now);
    if (!received) return std::unexpected(received.error());
    copy.trim_back(copy.size() - *received);
    return copy;
  }
  Frame frame = parts.tcp.lend(s.connection, now);
  finish_transfer(now);
  return frame;
}

Result<Sockets::Lent> Sockets::lend(Descriptor fd, Instant now) {
  State& state = *state_;
  SocketFile* file = state.find_socket(fd);
  if (file == nullptr) return fail(state.why_no_socket(fd));
  if (file->kind != FileKind::kStream) return fail(EOPNOTSUPP);
  const Handle<Frame> handle = state.lent.emplace();
  if (!handle) return fail(ENOBUFS);
  Result<Frame> frame = state.lend(static_cast<StreamSocket&>(*file), now);
  if (!frame || !*frame || frame->size() == 0) {
    state.lent.erase(handle);
    if (!frame) return std::unexpected(frame.error());
    return Lent{};
  }
  Frame& kept = *state.lent.get(handle);
  kept = std::move(*frame);
  return Lent{handle.packed(), kept.bytes()};
}

void Sockets::give_back(std::uint64_t name) { state_->lent.erase(Handle<Frame>::unpack(name)); }

}  // namespace tapir::socket
