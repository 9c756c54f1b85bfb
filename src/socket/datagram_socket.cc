// SPDX-License-Identifier: Apache-2.0
// UDP sockets: Linux's inet_dgram_ops and what of udp.c the program sees.
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "socket/address.h"
#include "socket/errno_map.h"
#include "socket/message.h"
#include "socket/sent_controls.h"
#include "socket/state.h"

namespace tapir::socket {

int Sockets::State::take_error(DatagramSocket& s) {
  if (s.error != 0) return std::exchange(s.error, 0);
  if (std::optional<DeliveryError>* pending = raw_error(s)) {
    const auto error = std::exchange(*pending, std::nullopt);
    return error ? linux_errno(*error) : 0;
  }
  udp::DatagramPort* port = parts.udp.get(s.port);
  if (port == nullptr) return 0;
  const auto error = port->take_error();
  return error ? linux_errno(*error) : 0;
}

bool Sockets::State::has_error(const DatagramSocket& s) const {
  if (const std::optional<DeliveryError>* pending = raw_error(s)) return s.error != 0 || pending->has_value();
  const udp::DatagramPort* port = parts.udp.get(s.port);
  return s.error != 0 || (port != nullptr && port->has_error());
}

// The port table has granted s.local: the protocol learns of it.
bool Sockets::State::bound_socket(DatagramSocket& s, const Endpoint& local, Instant) {
  udp::DatagramPort* port = parts.udp.get(s.port);
  if (port == nullptr) return false;
  port->reuse_port = s.reuse_port;
  parts.udp.bind(s.port, local);
  return true;
}

// Linux's inet_autobind.
bool Sockets::State::autobind(DatagramSocket& s, Instant now) {
  if (s.local.port != 0) return true;
  if (!take_port(s, {s.local.address, 0})) return false;
  return bound_socket(s, s.local, now);
}

// Linux's inet_dgram_connect and ip4_datagram_connect.
Result<int> Sockets::State::connect(DatagramSocket& s, const sockaddr* address, socklen_t length,
                                    Instant now) {
  if (s.kind == FileKind::kPacket) return fail(EOPNOTSUPP);
  if (s.kind != FileKind::kDatagram) return connect_raw(s, address, length, now);
  const Result<sa_family_t> family = family_of(address, length);
  if (!family) return std::unexpected(family.error());
  if (*family == AF_UNSPEC) {
    disconnect(s, now);
    return 0;
  }
  if (!autobind(s, now)) return fail(EAGAIN);
  const Result<Endpoint> remote = endpoint_of(address, length);
  if (!remote) return std::unexpected(remote.error());
  if (*family != AF_INET) return fail(EAFNOSUPPORT);
  ip::RouteQuery query;
  query.destination = remote->address;
  // What MSG_MORE has begun goes there too (Linux keeps both in inet->cork).
  if (s.corked) s.corked_to = *remote;
  // Connected before: the source stays (Linux: inet_saddr).
  const IpAddress local = parts.udp.get(s.port)->local().address;
  if (!local.is_unspecified()) query.source = local;
  query.bound_interface = s.interface;
  if (remote->address.is_multicast()) use_multicast_interface(s, query);
  query.allow_broadcast = s.broadcast;
  query.source_may_be_foreign = s.free_bind;
  const auto path = parts.routes.resolve(query, now);
  if (!path) {
    if (path.error() == ip::RouteError::kNetUnreachable) parts.counters.add(trace::Counter::kIpOutNoRoutes);
    return fail(linux_errno(path.error()));
  }
  parts.udp.connect(s.port, {{path->source, s.local.port}, {path->destination, remote->port}});
  parts.ports.set_address(s.binding, path->source);
  return 0;
}

// Linux's __udp_disconnect. The pending error stays.
void Sockets::State::disconnect(DatagramSocket& s, Instant now) {
  s.error = take_error(s);
  if (!s.port_locked) {
    const bool locked = s.address_locked;
    const IpAddress address = s.local.address;
    release_port(s, false, now);
    s.address_locked = locked;
    if (locked) s.local.address = address;
    parts.udp.unbind(s.port);
    return;
  }
  parts.ports.set_address(s.binding, s.local.address);
  parts.udp.disconnect(s.port, s.local);
}

// The datagram is gone as soon as it is sent, and with each that goes edge-triggered watchers learn of room
// (Linux: sock_wfree). Nobody else waits for it.
void Sockets::State::tell_room(DatagramSocket& s) {
  if (!s.watchers.empty()) wake(s, kWakeWritable);
}

// Linux's udp_sendmsg.
Result<std::size_t> Sockets::State::send(DatagramSocket& s, const msghdr& message, int flags, Instant now) {
  if (s.kind == FileKind::kPacket) return send_packet(static_cast<PacketSocket&>(s), message, flags, now);
  if (s.kind != FileKind::kDatagram) return send_raw(s, message, flags, now);
  const auto pieces = pieces_of(message);
  if (!pieces) return std::unexpected(pieces.error());
  if (!autobind(s, now)) return fail(EAGAIN);
  const std::size_t size = total_size(*pieces);
  if (size > 0xffff) return fail(EMSGSIZE);
  if ((flags & MSG_OOB) != 0) return fail(EOPNOTSUPP);

  const udp::DatagramPort* port = parts.udp.get(s.port);
  Endpoint remote = port->remote();
  // A datagram begun with MSG_MORE goes where its first piece said, whatever this one says.
  if (s.corked) {
    remote = s.corked_to;
  } else if (message.msg_name != nullptr) {
    const auto* address = static_cast<const sockaddr*>(message.msg_name);
    const Result<Endpoint> to = endpoint_of(address, message.msg_namelen);
    if (!to) return std::unexpected(to.error());
    const sa_family_t family = *family_of(address, message.msg_namelen);
    if (family != AF_INET && family != AF_UNSPEC) return fail(EAFNOSUPPORT);
    if (to->port == 0) return fail(EINVAL);
    remote = *to;
  } else if (!port->connected()) {
    return fail(EDESTADDRREQ);
  }

  SentControls controls;
  if (message.msg_controllen != 0 && !s.corked) {
    const auto read = read_controls(message, SOL_UDP, parts.config.privileged);
    if (!read) return std::unexpected(read.error());
    controls = *read;
  }
  ip::RouteQuery query;
  query.destination = remote.address;
  const Endpoint local = port->local();
  // A group address bound to is for receiving; the source is the device's then (Linux: inet_saddr stays 0).
  if (parts.interfaces.is_local_address(local.address) || s.free_bind) query.source = local.address;
  query.bound_interface = s.interface;
  use_controls(controls, query);
  if (remote.address.is_multicast()) use_multicast_interface(s, query);
  query.allow_broadcast = s.broadcast;
  query.source_may_be_foreign = s.free_bind;
  const auto path = parts.routes.resolve(query, now);
  if (!path) {
    if (path.error() == ip::RouteError::kNetUnreachable) parts.counters.add(trace::Counter::kIpOutNoRoutes);
    return fail(linux_errno(path.error()));
  }
  if (size > udp::kPayloadMax) {
    if (s.receive_errors) note_too_big(s, *path, path->mtu);
    return fail(EMSGSIZE);
  }
  // MSG_PROXY, the kernel's MSG_PROBE, asks only whether there is a way.
  if ((flags & MSG_PROXY) != 0 && !s.corked) return size;
  // Both are looked at where Linux allocates a packet (sock_alloc_send_skb): what joins a begun one passes.
  if (!s.corked) {
    if (const int error = take_error(s)) return fail(error);
    if ((s.shutdown & kSendShutdown) != 0) return fail(EPIPE);
  }

  // The pieces as they are, or joined when there are more than an outgoing frame can point at.
  std::array<Bytes, kOutgoingSpansMax> spans;
  std::size_t count = 0;
  Frame joined;
  for (const iovec& piece : *pieces) {
    if (piece.iov_len == 0) continue;
    if (piece.iov_base == nullptr) return fail(EFAULT);
    if (count < spans.size())
      spans[count] = {static_cast<const std::uint8_t*>(piece.iov_base), piece.iov_len};
    ++count;
  }
  const bool more = (flags & MSG_MORE) != 0;
  if (count > spans.size() || more || s.corked) {
    const std::size_t begun = s.corked ? s.corked.size() : 0;
    if (begun + size > udp::kPayloadMax) {
      s.corked = {};
      return fail(EMSGSIZE);
    }
    joined = parts.frames.allocate(begun + size);
    if (!joined) return fail(ENOBUFS);
    if (begun != 0) std::memcpy(joined.mutable_bytes().data(), s.corked.bytes().data(), begun);
    if (const auto gathered = gather(*pieces, joined.mutable_bytes().subspan(begun)); !gathered)
      return std::unexpected(gathered.error());
    s.corked = {};
    if (more) {
      s.corked = std::move(joined);
      s.corked_to = remote;
      return size;
    }
    spans[0] = joined.bytes();
    count = 1;
  }

  udp::SendOptions options;
  options.checksum = !s.no_check;
  ip::Ipv4Fields fields;
  fields.protocol = IpProtocol::kUdp;
  fields.tos = controls.tos.value_or(s.tos);
  options.ecn = static_cast<Ecn>(fields.tos & 3);
  const bool group = remote.address.is_multicast();
  fields.hop_limit = controls.hop_limit != 0 ? controls.hop_limit
                     : group                 ? s.multicast.hop_limit
                                             : s.hop_limit;
  const IpOptions& set_options = controls.options ? *controls.options : s.ip_options;
  IpOptions written_options;
  if (set_options.size != 0) {
    written_options = parts.written_options(set_options, path->source, now);
    fields.options = written_options.view();
  }
  fields.loop = s.multicast_loop;
  fields.host_only = group && s.multicast.hop_limit == 0;
  fields.discovery = static_cast<ip::PathMtuDiscovery>(s.mtu_discover);
  const FourTuple tuple{{path->source, s.local.port}, {path->destination, remote.port}};
  const auto sent = parts.send_datagram(tuple, *path, std::span(spans).first(count), options, fields, now);
  if (!sent) {
    if (s.receive_errors) note_too_big(s, *path, sent.error().mtu);
    return fail(linux_errno(sent.error()));
  }
  tell_room(s);
  finish_call(now);
  return size;
}

// Linux's udp_recvmsg: a pending error comes before what is queued.
Result<std::size_t> Sockets::State::receive(DatagramSocket& s, msghdr& message, int flags, Instant now) {
  if (s.kind == FileKind::kPacket) return receive_packet(static_cast<PacketSocket&>(s), message, flags, now);
  if (s.kind != FileKind::kDatagram) return receive_raw(s, message, flags, now);
  const auto pieces = pieces_of(message);
  if (!pieces) return std::unexpected(pieces.error());
  if ((flags & MSG_ERRQUEUE) != 0) return receive_error(s, message);
  if (const int error = take_error(s)) return fail(error);
  udp::DatagramPort* port = parts.udp.get(s.port);
  if (port == nullptr || !port->readable()) return fail(EAGAIN);

  const bool peeks = (flags & MSG_PEEK) != 0;
  std::size_t skipped = peeks ? static_cast<std::size_t>(std::max(s.peek_offset, 0)) : 0;
  const auto datagram = !peeks              ? parts.udp.take(s.port)
                        : s.peek_offset < 0 ? port->peek()
                                            : port->peek_at(skipped);
  if (!datagram) return fail(EAGAIN);
  const std::size_t size = datagram->payload.size();
  const Bytes payload = datagram->payload.subspan(skipped);
  const std::size_t room = total_size(*pieces);
  const std::size_t fits = std::min(payload.size(), room);
  const auto copied = scatter(payload.first(fits), *pieces, 0);
  if (!copied) return std::unexpected(copied.error());
  const std::size_t answer = (flags & MSG_TRUNC) != 0 ? size : fits;
  // SO_PEEK_OFF: peeks go on where the last one ended, reads move that place back by what they answer (Linux:
  // sk_peek_offset_fwd, _bwd).
  if (s.peek_offset >= 0) {
    const auto moved = static_cast<std::int32_t>(answer);
    s.peek_offset = peeks ? s.peek_offset + moved : std::max(s.peek_offset - moved, 0);
  }
  // Said too of a peek that ends with the datagram, when all of it would not have fitted.
  message.msg_flags = room <= payload.size() && room < size ? MSG_TRUNC : 0;
  if (message.msg_name != nullptr) {
    if (const auto stored =
            store_endpoint(datagram->from, static_cast<sockaddr*>(message.msg_name), &message.msg_namelen);
        !stored)
      return std::unexpected(stored.error());
  } else {
    message.msg_namelen = 0;
  }
  ControlWriter control(message);
  put_timestamp(s, s.timestamping, control, datagram->received_at);
  put_arrival(s, control, {datagram->to, datagram->interface, datagram->hop_limit, datagram->tos});
  return answer;
}

// Linux's ip_cmsg_recv_offset.
void Sockets::State::put_arrival(const SocketFile& s, ControlWriter& control, const Arrival& arrival) const {
  if ((s.tells & kTellsPacketInfo) != 0) {
    in_pktinfo info{};
    info.ipi_ifindex = arrival.interface;
    // Ping sockets are not told it (Linux: ping_queue_rcv_skb lacks ipv4_pktinfo_prepare).
    const bool specifies = s.kind != FileKind::kPing && parts.interfaces.is_local_address(arrival.to.address);
    const IpAddress specific = specifies ? arrival.to.address : IpAddress::any_v4();
    info.ipi_spec_dst.s_addr = to_big_endian(specific.v4_bits());
    info.ipi_addr.s_addr = to_big_endian(arrival.to.address.v4_bits());
    control.put(SOL_IP, IP_PKTINFO, &info, sizeof(info));
  }
  if ((s.tells & kTellsHopLimit) != 0) {
    const int hop_limit = arrival.hop_limit;
    control.put(SOL_IP, IP_TTL, &hop_limit, sizeof(hop_limit));
  }
  if ((s.tells & kTellsTos) != 0) control.put(SOL_IP, IP_TOS, &arrival.tos, sizeof(arrival.tos));
  if ((s.tells & kTellsDestination) != 0) {
    sockaddr_in in{};
    socklen_t length = sizeof(in);
    (void)store_endpoint(arrival.to, reinterpret_cast<sockaddr*>(&in), &length);
    control.put(SOL_IP, IP_ORIGDSTADDR, &in, sizeof(in));
  }
}

// Linux's inet_shutdown.
Result<int> Sockets::State::shutdown(DatagramSocket& s, int how, Instant) {
  if (s.kind == FileKind::kPacket) return fail(EOPNOTSUPP);
  if (how < SHUT_RD || how > SHUT_RDWR) return fail(EINVAL);
  s.shutdown |= static_cast<std::uint8_t>(how + 1);
  udp::DatagramPort* port = parts.udp.get(s.port);
  if (port != nullptr && (s.shutdown & kReceiveShutdown) != 0) port->receive_shut = true;
  wake(s, kWakeAll);
  const bool connected = port != nullptr ? port->connected() : !s.remote.address.is_unspecified();
  if (!connected) return fail(ENOTCONN);
  return 0;
}

void Sockets::State::close(DatagramSocket& s, Instant now) {
  s.corked = {};
  leave_groups(s, now);
  const udp::PortHandle port = s.port;
  detach_port(s);
  parts.udp.close(port);
  if (s.binding) release_port(s, false, now);
}

}  // namespace tapir::socket
