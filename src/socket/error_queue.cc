// SPDX-License-Identifier: Apache-2.0
// The error queue of sockets, recvmsg(MSG_ERRQUEUE): what IP_RECVERR keeps (Linux's ip_recv_error,
// ip_local_error). What streams tell of their own writes is in send_reports.cc.
#include <netinet/in.h>
#include <sys/time.h>
// clang-format off: wants timespec
#include <linux/errqueue.h>
// clang-format on

#include <algorithm>

#include "socket/address.h"
#include "socket/control_messages.h"
#include "socket/errno_map.h"
#include "socket/message.h"
#include "socket/state.h"
#include "wire/icmp.h"

namespace tapir::socket {
namespace {

// A neighbour that does not answer: Linux sends itself the ICMP error that a router would have sent
// (ipv4_link_failure).
DeliveryError as_told(DeliveryError error) {
  if (error.from_icmp || error.kind != DeliveryErrorKind::kHostUnreachable) return error;
  error.from_icmp = true;
  error.icmp_type = static_cast<std::uint8_t>(wire::IcmpType::kUnreachable);
  error.icmp_code = wire::kUnreachableHost;
  error.reporter = error.quoted.local.address;
  return error;
}

}  // namespace

ErrorQueue* Sockets::State::error_queue(const DatagramSocket& s) {
  switch (s.kind) {
    case FileKind::kDatagram: {
      udp::DatagramPort* port = parts.udp.get(s.port);
      return port != nullptr ? &port->errors : nullptr;
    }
    case FileKind::kRaw: {
      raw::RawPort* port = parts.raw_ports.get(static_cast<const RawSocket&>(s).port_of_raw);
      return port != nullptr ? &port->errors : nullptr;
    }
    case FileKind::kPing: {
      raw::PingPort* port = parts.ping_ports.get(static_cast<const PingSocket&>(s).port_of_ping);
      return port != nullptr ? &port->errors : nullptr;
    }
    default:
      return nullptr;
  }
}

Result<std::size_t> Sockets::State::receive_error(DatagramSocket& s, msghdr& message) {
  ErrorQueue* errors = error_queue(s);
  if (errors == nullptr || errors->count() == 0) return fail(EAGAIN);
  return tell_error(s, *errors, message);
}

Result<std::size_t> Sockets::State::tell_error(SocketFile& s, ErrorQueue& errors, msghdr& message) {
  const auto pieces = pieces_of(message);
  if (!pieces) return std::unexpected(pieces.error());
  const auto queued = errors.take();
  const DeliveryError error = as_told(queued->error);
  // The next one becomes the error that calls report (Linux: sock_dequeue_err_skb).
  auto next = errors.peek();
  if (next) next = as_told(*next);
  if (error.from_icmp) {
    if (s.kind == FileKind::kStream)
      (void)take_error(static_cast<StreamSocket&>(s));
    else
      (void)take_error(static_cast<DatagramSocket&>(s));
  }
  if (next && next->from_icmp) s.error = linux_errno(*next);
  if (next) wake(s, kWakeError);

  const std::size_t fits = std::min(queued->payload.size(), total_size(*pieces));
  const auto copied = scatter(queued->payload.first(fits), *pieces, 0);
  if (!copied) return std::unexpected(copied.error());
  message.msg_flags = MSG_ERRQUEUE | (queued->payload.size() > fits ? MSG_TRUNC : 0);
  const bool has_port = s.kind == FileKind::kDatagram || s.kind == FileKind::kStream;
  if (message.msg_name != nullptr)
    (void)store_endpoint(
        {error.quoted.remote.address, has_port ? error.quoted.remote.port : std::uint16_t{0}},
        static_cast<sockaddr*>(message.msg_name), &message.msg_namelen);
  else
    message.msg_namelen = 0;
  struct {
    sock_extended_err error;
    sockaddr_in offender;
  } told{};
  told.error.ee_errno = static_cast<std::uint32_t>(linux_errno(error));
  told.error.ee_origin = error.from_icmp ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_LOCAL;
  told.error.ee_type = error.icmp_type;
  told.error.ee_code = error.icmp_code;
  told.error.ee_info = error.mtu;
  if (error.from_icmp) {
    socklen_t length = sizeof(told.offender);
    (void)store_endpoint({error.reporter, 0}, reinterpret_cast<sockaddr*>(&told.offender), &length);
  }
  ControlWriter control(message);
  control.put(SOL_IP, IP_RECVERR, &told, sizeof(told));
  return *copied;
}

void Sockets::State::note_too_big(DatagramSocket& s, const Path& path, std::uint32_t mtu) {
  ErrorQueue* errors = error_queue(s);
  if (errors == nullptr) return;
  DeliveryError error;
  error.kind = DeliveryErrorKind::kFragmentationNeeded;
  error.reporter = path.source;
  error.mtu = mtu;
  // The port is that of connect(), whatever this datagram's was (Linux: inet_dport).
  const auto peer = peer_name(s);
  error.quoted.remote = {path.destination, peer ? peer->port : std::uint16_t{0}};
  errors->push(error, {}, parts.frames);
  wake(s, kWakeError);
}

// ICMP spoke of connections that were opening: kept whether or not IP_RECVERR is set (Linux: tcp_v4_err).
void Sockets::State::absorb_stream_errors() {
  for (const stack::StreamError& told : parts.take_stream_errors()) {
    StreamSocket* s = by_connection(told.connection);
    if (s == nullptr) continue;
    if (s->errors == 0) {
      const Handle<ErrorQueue> made = stream_errors.emplace();
      if (!made) continue;
      s->errors = made.index + 1;
    }
    stream_errors.at(s->errors - 1)->push(told.error, told.quoted(), parts.frames);
    wake(*s, kWakeError);
  }
}

void Sockets::State::drop_stream_errors(StreamSocket& s) {
  if (s.errors != 0) stream_errors.erase(*stream_errors.at(s.errors - 1));
  s.errors = 0;
}

bool Sockets::State::has_queued_error(const SocketFile& s) const {
  auto& self = const_cast<State&>(*this);
  const ErrorQueue* errors = nullptr;
  if (s.kind != FileKind::kStream)
    errors = self.error_queue(static_cast<const DatagramSocket&>(s));
  else if (static_cast<const StreamSocket&>(s).errors != 0)
    errors = self.stream_errors.at(static_cast<const StreamSocket&>(s).errors - 1);
  return errors != nullptr && errors->count() != 0;
}

}  // namespace tapir::socket
