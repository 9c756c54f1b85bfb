// SPDX-License-Identifier: Apache-2.0
// Level readiness: what poll(2) sees in each state.
#include <algorithm>

#include "socket/state.h"

namespace tapir::socket {

// Linux's tcp_poll and inet_csk_listen_poll.
std::uint32_t Sockets::State::readiness(const StreamSocket& s) const {
  if (s.listener) return parts.tcp.acceptable(s.listener) ? EPOLLIN | EPOLLRDNORM : 0;
  tcp::Connection* connection = connection_of(s);
  const tcp::State state = tcp_state(s, connection);
  const std::uint8_t shut = shutdown_of(s, connection);
  std::uint32_t events = 0;
  if (shut == kBothShutdown || state == tcp::State::kClosed) events |= EPOLLHUP;
  if ((shut & kReceiveShutdown) != 0) events |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
  // Data may go with the SYN, or have come with it (Fast Open).
  if (connection != nullptr && connection->syn_deferred()) events |= EPOLLOUT | EPOLLWRNORM;
  const bool begun_by_syn = state == tcp::State::kSynReceived && connection->fast_open_pending();
  if (state != tcp::State::kSynSent && (state != tcp::State::kSynReceived || begun_by_syn)) {
    if (connection != nullptr) {
      const auto target = static_cast<std::size_t>(std::max(connection->options().receive_low_water, 1));
      // A byte that a read would step over is not one to read.
      const bool stepping = connection->at_mark() && !connection->options().urgent_inline;
      const std::size_t queued =
          connection->readable_bytes() - (stepping && connection->readable_bytes() != 0 ? 1 : 0);
      // SO_RCVLOWAT above what the buffer can hold would never be reached (Linux: tcp_stream_is_readable,
      // tcp_rmem_pressure).
      const auto limit =
          static_cast<std::size_t>(std::max<std::int64_t>(connection->receive_buffer_limit(), 1));
      if (queued >= target || (queued != 0 && queued >= limit / 2)) events |= EPOLLIN | EPOLLRDNORM;
    }
    if ((shut & kSendShutdown) != 0 || connection == nullptr || connection->writable())
      events |= EPOLLOUT | EPOLLWRNORM;
    else
      connection->ask_for_room();
  }
  if (connection != nullptr && connection->urgent_waiting()) events |= EPOLLPRI;
  if (pending_error(s, connection) != 0 || (connection != nullptr && connection->has_report()) ||
      (s.errors != 0 && has_queued_error(s)))
    events |= EPOLLERR;
  return events;
}

// Linux's datagram_poll. A datagram leaves inside the call, so there always is room for another.
std::uint32_t Sockets::State::readiness(const DatagramSocket& s) const {
  std::uint32_t events = EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
  const udp::DatagramPort* port = parts.udp.get(s.port);
  if (has_error(s) || has_queued_error(s)) events |= EPOLLERR;
  if ((s.shutdown & kReceiveShutdown) != 0) events |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
  if (s.shutdown == kBothShutdown) events |= EPOLLHUP;
  if (port != nullptr && port->readable()) events |= EPOLLIN | EPOLLRDNORM;
  const raw::ReceiveQueue* queue = raw_queue(s);
  if (queue != nullptr && !queue->empty()) events |= EPOLLIN | EPOLLRDNORM;
  return events;
}

std::uint32_t Sockets::State::readiness(const File& file, int depth) const {
  switch (file.kind) {
    case FileKind::kStream:
      return readiness(static_cast<const StreamSocket&>(file));
    case FileKind::kDatagram:
    case FileKind::kRaw:
    case FileKind::kPing:
    case FileKind::kPacket:
      return readiness(static_cast<const DatagramSocket&>(file));
    case FileKind::kEpoll:
      break;
  }
  // Linux's ep_eventpoll_poll: something in the ready list really is ready.
  if (depth > kEpollNestingMax) return 0;
  for (const EpollItem& item : static_cast<const EpollSet&>(file).ready)
    if ((readiness(*item.file, depth + 1) & item.events) != 0) return EPOLLIN | EPOLLRDNORM;
  return 0;
}

}  // namespace tapir::socket
