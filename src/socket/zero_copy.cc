// SPDX-License-Identifier: Apache-2.0
// Bytes that change hands instead of being copied: received frames lent to the program, its own buffers given
// to be sent.
#include "socket/zero_copy.h"

#include <algorithm>

#include "socket/state.h"

namespace tapir::socket {

static_assert(kGivenMin == tcp::kGivenMin);

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

Result<std::uint64_t> Sockets::begin_giving() {
  const Handle<tcp::Given> handle = state_->parts.tcp.chunks().begin_given();
  if (!handle) return fail(ENOBUFS);
  return handle.packed();
}

Result<std::size_t> Sockets::give(Descriptor fd, Bytes rest, std::uint64_t name, int flags, Instant now) {
  State& state = *state_;
  SocketFile* file = state.find_socket(fd);
  if (file == nullptr) return fail(state.why_no_socket(fd));
  tcp::Given* given = state.parts.tcp.chunks().given(Handle<tcp::Given>::unpack(name));
  // What goes with a SYN is copied.
  if (file->kind != FileKind::kStream || given == nullptr || (flags & MSG_FASTOPEN) != 0)
    return fail(EOPNOTSUPP);
  iovec piece{const_cast<std::uint8_t*>(rest.data()), rest.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  return state.send(static_cast<StreamSocket&>(*file), message, flags, now, given);
}

void Sockets::end_giving(std::uint64_t name) {
  tcp::ChunkPool& chunks = state_->parts.tcp.chunks();
  if (tcp::Given* given = chunks.given(Handle<tcp::Given>::unpack(name))) chunks.end_given(*given);
}

std::uint64_t Sockets::poll_given_back() { return state_->parts.tcp.chunks().poll_given_back().packed(); }

}  // namespace tapir::socket
