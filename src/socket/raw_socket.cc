// SPDX-License-Identifier: Apache-2.0
// RAW sockets and ping sockets: Linux's net/ipv4/raw.c and net/ipv4/ping.c as a program sees them.
#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.h"
#include "socket/address.h"
#include "socket/control_messages.h"
#include "socket/errno_map.h"
#include "socket/message.h"
#include "socket/pieces.h"
#include "socket/sent_controls.h"
#include "socket/state.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"

namespace tapir::socket {

namespace {

// What the program asks to send: where to, and where it goes.
struct Outgoing {
  std::size_t size = 0;
  Endpoint remote;
  Path path;
};

}  // namespace

raw::ReceiveQueue* Sockets::State::raw_queue(const DatagramSocket& s) {
  switch (s.kind) {
    case FileKind::kRaw: {
      raw::RawPort* port = parts.raw_ports.get(static_cast<const RawSocket&>(s).port_of_raw);
      return port != nullptr ? &port->queue : nullptr;
    }
    case FileKind::kPing: {
      raw::PingPort* port = parts.ping_ports.get(static_cast<const PingSocket&>(s).port_of_ping);
      return port != nullptr ? &port->queue : nullptr;
    }
    case FileKind::kPacket: {
      raw::PacketPort* port = parts.packet_ports.get(static_cast<const PacketSocket&>(s).port_of_packet);
      return port != nullptr ? &port->queue : nullptr;
    }
    default:
      return nullptr;
  }
}

std::optional<DeliveryError>* Sockets::State::raw_error(const DatagramSocket& s) {
  if (s.kind == FileKind::kRaw) {
    raw::RawPort* port = parts.raw_ports.get(static_cast<const RawSocket&>(s).port_of_raw);
    return port != nullptr ? &port->error : nullptr;
  }
  if (s.kind == FileKind::kPing) {
    raw::PingPort* port = parts.ping_ports.get(static_cast<const PingSocket&>(s).port_of_ping);
    return port != nullptr ? &port->error : nullptr;
  }
  return nullptr;
}

// Options and addresses that decide what arrives, handed to the port.
void Sockets::State::raw_options_changed(DatagramSocket& s) {
  if (s.kind == FileKind::kRaw) {
    raw::RawPort* port = parts.raw_ports.get(static_cast<RawSocket&>(s).port_of_raw);
    port->interface = s.interface;
    port->local = s.local.address;
    port->remote = s.remote.address;
    port->receive_errors = s.receive_errors;
    port->path_mtu_discovery = s.mtu_discover != 0;
    port->quotes_header = static_cast<const RawSocket&>(s).header_included;
  } else if (s.kind == FileKind::kPing) {
    raw::PingPort* port = parts.ping_ports.get(static_cast<PingSocket&>(s).port_of_ping);
    port->interface = s.interface;
    port->local = s.local.address;
    port->remote = s.remote.address;
    port->receive_errors = s.receive_errors;
    port->reuse_address = s.reuse_address;
  }
}

// Linux's raw_bind, and ping_bind. A raw socket's port is its protocol, whatever is asked.
Result<int> Sockets::State::bind_raw(DatagramSocket& s, const sockaddr* address, socklen_t length) {
  const Result<Endpoint> local = endpoint_of(address, length);
  if (!local) return std::unexpected(local.error());
  const bool ping = s.kind == FileKind::kPing;
  const sa_family_t family = *family_of(address, length);
  if (ping && family != AF_INET && (family != AF_UNSPEC || !local->address.is_unspecified()))
    return fail(EAFNOSUPPORT);
  if (s.remote.port != 0 || !s.remote.address.is_unspecified()) return fail(EINVAL);
  const ip::AddressKind kind = parts.interfaces.classify(local->address);
  const bool ours = kind == ip::AddressKind::kUnspecified || kind == ip::AddressKind::kLocal ||
                    kind == ip::AddressKind::kBroadcast || kind == ip::AddressKind::kMulticast;
  if (!ours && !s.free_bind && !parts.knobs.ip_nonlocal_bind) return fail(EADDRNOTAVAIL);
  if (ping) {
    auto& p = static_cast<PingSocket&>(s);
    if (p.local.port != 0) return fail(EINVAL);
    if (!parts.ping_ports.bind(p.port_of_ping, local->port)) return fail(EADDRINUSE);
    p.local.port = parts.ping_ports.get(p.port_of_ping)->identifier();
    p.port_locked = local->port != 0;
    p.address_locked = !local->address.is_unspecified();
  }
  s.local.address = local->address;
  raw_options_changed(s);
  return 0;
}

// Linux's ip4_datagram_connect and __udp_disconnect.
Result<int> Sockets::State::connect_raw(DatagramSocket& s, const sockaddr* address, socklen_t length,
                                        Instant now) {
  const Result<sa_family_t> family = family_of(address, length);
  if (!family) return std::unexpected(family.error());
  if (*family == AF_UNSPEC) {
    s.remote = {IpAddress::any_v4(), 0};
    if (!s.address_locked) s.local.address = IpAddress::any_v4();
    if (s.kind == FileKind::kPing && !s.port_locked) {
      parts.ping_ports.unbind(static_cast<PingSocket&>(s).port_of_ping);
      s.local.port = 0;
    }
    raw_options_changed(s);
    return 0;
  }
  if (!ping_autobind(s)) return fail(EAGAIN);
  const Result<Endpoint> remote = endpoint_of(address, length);
  if (!remote) return std::unexpected(remote.error());
  if (*family != AF_INET) return fail(EAFNOSUPPORT);
  const auto path = raw_path(s, remote->address, {}, now);
  if (!path) return std::unexpected(path.error());
  s.remote = {path->destination, remote->port};
  if (s.local.address.is_unspecified()) s.local.address = path->source;
  raw_options_changed(s);
  return 0;
}

Result<Path> Sockets::State::raw_path(const DatagramSocket& s, const IpAddress& to,
                                      const SentControls& controls, Instant now) {
  ip::RouteQuery query;
  query.destination = to;
  // A group address bound to is for receiving.
  if (parts.interfaces.is_local_address(s.local.address) || s.free_bind) query.source = s.local.address;
  query.bound_interface = s.interface;
  use_controls(controls, query);
  if (to.is_multicast()) use_multicast_interface(s, query);
  query.allow_broadcast = s.broadcast;
  const bool headed = s.kind == FileKind::kRaw && static_cast<const RawSocket&>(s).header_included;
  query.source_may_be_foreign = s.free_bind || headed;
  const auto path = parts.routes.resolve(query, now);
  if (path) return *path;
  if (path.error() == ip::RouteError::kNetUnreachable) parts.counters.add(trace::Counter::kIpOutNoRoutes);
  return fail(linux_errno(path.error()));
}

bool Sockets::State::ping_autobind(DatagramSocket& s) {
  if (s.kind != FileKind::kPing || s.local.port != 0) return true;
  auto& p = static_cast<PingSocket&>(s);
  if (!parts.ping_ports.bind(p.port_of_ping, 0)) return false;
  p.local.port = parts.ping_ports.get(p.port_of_ping)->identifier();
  return true;
}

// The IP header that an IP_HDRINCL program brings (Linux's raw_send_hdrinc): what it left out is filled in.
Result<std::size_t> Sockets::State::send_headed(RawSocket& s, const Path& path, std::span<const Bytes> spans,
                                                std::size_t size, Instant now) {
  if (size > path.interface_mtu) {
    if (s.receive_errors) note_too_big(s, path, path.interface_mtu);
    return fail(EMSGSIZE);
  }
  if (size < wire::kIpv4HeaderMin) return fail(EINVAL);
  std::array<std::uint8_t, wire::kIpv4HeaderMax> front;
  const std::size_t have = gather_front(spans, front);
  const std::size_t header_size = static_cast<std::size_t>(front[0] & 0xf) * 4;
  if (header_size > size || header_size > have) return fail(EINVAL);
  if (header_size < wire::kIpv4HeaderMin) return fail(EINVAL);
  const MutableBytes header = MutableBytes(front).first(header_size);
  if (load_be<std::uint32_t>(header, 12) == 0) store_be<std::uint32_t>(header, 12, path.source.v4_bits());
  store_be<std::uint16_t>(header, 2, static_cast<std::uint16_t>(size));
  if (load_be<std::uint16_t>(header, 4) == 0)
    store_be<std::uint16_t>(header, 4,
                            parts.ipv4_output.identify(path.source, path.destination,
                                                       static_cast<IpProtocol>(header[9]), 1, now));
  std::array<Bytes, kOutgoingSpansMax> rest;
  const std::size_t count = skip_front(spans, header_size, rest);
  parts.send_with_header(path, header, std::span(rest).first(count), now);
  tell_room(s);
  finish_call(now);
  return size;
}

// Linux's raw_sendmsg and ping_v4_sendmsg.
Result<std::size_t> Sockets::State::send_raw(DatagramSocket& s, const msghdr& message, int flags,
                                             Instant now) {
  const auto pieces = pieces_of(message);
  if (!pieces) return std::unexpected(pieces.error());
  const bool ping = s.kind == FileKind::kPing;
  if (ping && !ping_autobind(s)) return fail(EAGAIN);
  Outgoing out;
  out.size = total_size(*pieces);
  if (out.size > 0xffff) return fail(EMSGSIZE);
  if (ping && out.size < wire::kIcmpHeaderLength) return fail(EINVAL);
  if ((flags & MSG_OOB) != 0) return fail(EOPNOTSUPP);

  out.remote = s.remote;
  if (message.msg_name != nullptr) {
    const auto* address = static_cast<const sockaddr*>(message.msg_name);
    const Result<Endpoint> to = endpoint_of(address, message.msg_namelen);
    if (!to) return std::unexpected(to.error());
    const sa_family_t family = *family_of(address, message.msg_namelen);
    if (family != AF_INET && (ping || family != AF_UNSPEC)) return fail(EAFNOSUPPORT);
    out.remote = *to;
  } else if (s.remote.address.is_unspecified()) {
    return fail(EDESTADDRREQ);
  }
  SentControls controls;
  if (message.msg_controllen != 0) {
    const auto read = read_controls(message, SOL_RAW, parts.config.privileged);
    if (!read) return std::unexpected(read.error());
    controls = *read;
  }
  const IpOptions& set_options = controls.options ? *controls.options : s.ip_options;
  const bool headed = s.kind == FileKind::kRaw && static_cast<RawSocket&>(s).header_included;
  if (headed && (set_options.size != 0 || controls.options)) return fail(EINVAL);
  const auto path = raw_path(s, out.remote.address, controls, now);
  if (!path) return std::unexpected(path.error());
  if (const int error = take_error(s)) return fail(error);
  if ((s.shutdown & kSendShutdown) != 0) return fail(EPIPE);

  OutgoingSpans spans;
  if (const auto made = spans.make(*pieces, out.size, parts.frames); !made)
    return std::unexpected(made.error());
  if (headed) return send_headed(static_cast<RawSocket&>(s), *path, spans.list(), out.size, now);

  ip::Ipv4Fields fields;
  fields.protocol = static_cast<IpProtocol>(s.protocol);
  fields.tos = controls.tos.value_or(s.tos);
  const bool group = out.remote.address.is_multicast();
  fields.hop_limit = controls.hop_limit != 0 ? controls.hop_limit
                     : group                 ? s.multicast.hop_limit
                                             : s.hop_limit;
  IpOptions written_options;
  if (set_options.size != 0) {
    written_options = parts.written_options(set_options, path->source, now);
    fields.options = written_options.view();
  }
  fields.discovery = static_cast<ip::PathMtuDiscovery>(s.mtu_discover);
  fields.loop = s.multicast_loop;
  fields.host_only = group && s.multicast.hop_limit == 0;
  // What goes out is the program's bytes; of an echo request, ours: the identifier and the checksum are set.
  Frame echo;
  std::array<Bytes, 1> whole;
  std::span<const Bytes> payload = spans.list();
  if (ping) {
    echo = parts.frames.allocate(out.size);
    if (!echo) return fail(ENOBUFS);
    if (const auto gathered = gather(*pieces, echo.mutable_bytes()); !gathered)
      return std::unexpected(gathered.error());
    const MutableBytes icmp = echo.mutable_bytes();
    if (icmp[0] != static_cast<std::uint8_t>(wire::IcmpType::kEcho) || icmp[1] != 0) return fail(EINVAL);
    store_be<std::uint16_t>(icmp, 4, s.local.port);
    wire::seal_icmp(icmp);
    whole[0] = echo.bytes();
    payload = whole;
    parts.counters.add(trace::Counter::kIcmpOutMsgs);
    parts.counters.add(trace::Counter::kIcmpOutEchos);
    parts.counters.add(trace::Counter::kIcmpMsgOutType8);
  }
  const auto sent = parts.send_raw(*path, payload, fields, static_cast<Ecn>(fields.tos & 3), now);
  if (!sent) {
    if (s.receive_errors) note_too_big(s, *path, sent.error().mtu);
    return fail(linux_errno(sent.error()));
  }
  tell_room(s);
  finish_call(now);
  return out.size;
}

// Linux's raw_recvmsg and ping_recvmsg: the one gives the IP header too, the other only the message.
Result<std::size_t> Sockets::State::receive_raw(DatagramSocket& s, msghdr& message, int flags, Instant) {
  const auto pieces = pieces_of(message);
  if (!pieces) return std::unexpected(pieces.error());
  if ((flags & MSG_OOB) != 0) return fail(EOPNOTSUPP);
  if ((flags & MSG_ERRQUEUE) != 0) return receive_error(s, message);
  if (const int error = take_error(s)) return fail(error);
  raw::ReceiveQueue* queue = raw_queue(s);
  if (queue == nullptr) return fail(EAGAIN);
  const auto packet = (flags & MSG_PEEK) != 0 ? queue->peek() : queue->take();
  if (!packet) return fail(EAGAIN);
  const std::size_t size = packet->payload.size();
  const std::size_t fits = std::min(size, total_size(*pieces));
  const auto copied = scatter(packet->payload.first(fits), *pieces, 0);
  if (!copied) return std::unexpected(copied.error());
  message.msg_flags = size > fits ? MSG_TRUNC : 0;
  const raw::Stored& about = packet->about;
  ControlWriter control(message);
  put_timestamp(s, s.timestamping, control, packet->received_at);
  // Linux takes the port of IP_ORIGDSTADDR from the transport header, whatever the protocol
  // (ip_cmsg_recv_dstaddr).
  const std::size_t transport =
      s.kind == FileKind::kRaw ? static_cast<std::size_t>(packet->payload[0] & 0xf) * 4 : 0;
  const std::uint16_t port =
      size >= transport + 4 ? load_be<std::uint16_t>(packet->payload, transport + 2) : std::uint16_t{0};
  put_arrival(s, control, {{about.destination, port}, about.interface, about.hop_limit, about.tos});
  if (message.msg_name != nullptr) {
    const auto stored = store_endpoint({packet->about.source, 0}, static_cast<sockaddr*>(message.msg_name),
                                       &message.msg_namelen);
    if (!stored) return std::unexpected(stored.error());
  } else {
    message.msg_namelen = 0;
  }
  return (flags & MSG_TRUNC) != 0 ? size : *copied;
}

void Sockets::State::close_raw(DatagramSocket& s) {
  leave_groups(s, parts.seen_now());
  if (s.kind == FileKind::kRaw)
    parts.raw_ports.close(static_cast<RawSocket&>(s).port_of_raw);
  else if (s.kind == FileKind::kPing)
    parts.ping_ports.close(static_cast<PingSocket&>(s).port_of_ping);
  else
    parts.packet_ports.close(static_cast<PacketSocket&>(s).port_of_packet);
}

}  // namespace tapir::socket
