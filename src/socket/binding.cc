// SPDX-License-Identifier: Apache-2.0
// Names of sockets: bind(2), getsockname(2), getpeername(2).
#include "socket/address.h"
#include "socket/state.h"

namespace tapir::socket {

// Linux's inet_bind and __inet_bind.
Result<int> Sockets::State::bind(SocketFile& s, const sockaddr* address, socklen_t length, Instant now) {
  if (s.kind == FileKind::kPacket) return bind_packet(static_cast<PacketSocket&>(s), address, length);
  if (s.kind == FileKind::kRaw || s.kind == FileKind::kPing)
    return bind_raw(static_cast<DatagramSocket&>(s), address, length);
  const Result<Endpoint> local = endpoint_of(address, length);
  if (!local) return std::unexpected(local.error());
  const sa_family_t family = *family_of(address, length);
  if (family != AF_INET && (family != AF_UNSPEC || !local->address.is_unspecified()))
    return fail(EAFNOSUPPORT);

  const ip::AddressKind kind = parts.interfaces.classify(local->address);
  const bool ours = kind == ip::AddressKind::kUnspecified || kind == ip::AddressKind::kLocal ||
                    kind == ip::AddressKind::kBroadcast || kind == ip::AddressKind::kMulticast;
  if (!ours && !s.free_bind && !parts.knobs.ip_nonlocal_bind) return fail(EADDRNOTAVAIL);
  if (local->port != 0 && local->port < parts.tcp_knobs.ip_unprivileged_port_start &&
      !parts.config.privileged)
    return fail(EACCES);

  if (s.kind == FileKind::kStream) notice_end(static_cast<StreamSocket&>(s), now);
  const bool active = s.kind == FileKind::kStream
                          ? tcp_state(static_cast<StreamSocket&>(s)) != tcp::State::kClosed
                          : peer_name(s).has_value();
  if (active || s.local.port != 0) return fail(EINVAL);
  if (local->port == 0 && s.bind_no_port) {
    // connect() chooses the port, when the peer is known.
    s.local.address = local->address;
    s.address_locked = !local->address.is_unspecified();
    return 0;
  }
  if (const Result<int> taken = take_port(s, *local); !taken) {
    s.local.address = IpAddress::any_v4();
    return taken;
  }
  s.address_locked = !local->address.is_unspecified();
  s.port_locked = local->port != 0;
  if (s.kind == FileKind::kDatagram && !bound_socket(static_cast<DatagramSocket&>(s), s.local, now)) {
    release_port(s, false, now);
    return fail(ENOBUFS);
  }
  return 0;
}

Result<int> Sockets::State::take_port(SocketFile& s, const Endpoint& local) {
  const IpProtocol protocol = s.kind == FileKind::kStream ? IpProtocol::kTcp : IpProtocol::kUdp;
  const auto binding = parts.ports.bind(protocol, local, s.interface, s.sharing(), parts.tcp);
  if (!binding) return fail(binding.error() == stack::BindError::kOutOfMemory ? ENOBUFS : EADDRINUSE);
  s.binding = *binding;
  s.local = {local.address, parts.ports.port_of(*binding)};
  s.stale_port = 0;
  return 0;
}

void Sockets::State::release_port(SocketFile& s, bool leaves_connections, Instant now) {
  parts.ports.release(s.binding, leaves_connections, now);
  s.binding = {};
  s.local = {};
  s.address_locked = s.port_locked = false;
}

Endpoint Sockets::State::local_name(const SocketFile& s) const {
  if (s.kind == FileKind::kStream) {
    if (const tcp::Connection* connection = connection_of(static_cast<const StreamSocket&>(s)))
      if (connection->state() != tcp::State::kClosed) return connection->tuple().local;
  } else if (const udp::DatagramPort* port = parts.udp.get(static_cast<const DatagramSocket&>(s).port);
             port != nullptr && port->bound()) {
    return port->local();
  }
  return {s.local.address, s.local.port != 0 ? s.local.port : s.stale_port};
}

std::optional<Endpoint> Sockets::State::peer_name(const SocketFile& s) const {
  if (s.kind == FileKind::kStream) {
    const tcp::Connection* connection = connection_of(static_cast<const StreamSocket&>(s));
    if (connection == nullptr || connection->state() == tcp::State::kClosed ||
        connection->state() == tcp::State::kSynSent)
      return std::nullopt;
    return connection->tuple().remote;
  }
  const auto& datagram = static_cast<const DatagramSocket&>(s);
  if (datagram.remote.port != 0) return datagram.remote;
  const udp::DatagramPort* port = parts.udp.get(datagram.port);
  if (port == nullptr || !port->connected()) return std::nullopt;
  return port->remote();
}

}  // namespace tapir::socket
