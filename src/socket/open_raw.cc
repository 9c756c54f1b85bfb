// SPDX-License-Identifier: Apache-2.0
// socket(2) of RAW, ping and packet sockets: who may, and what it makes.
#include <netinet/in.h>

#include "base/bytes.h"
#include "socket/state.h"

namespace tapir::socket {

bool Sockets::State::may_ping() const {
  const std::uint32_t group = parts.config.group;
  return parts.ip_knobs.ping_group_range[0] <= group && group <= parts.ip_knobs.ping_group_range[1];
}

Result<File*> Sockets::State::open_raw(int type, int protocol) {
  const auto number = static_cast<std::uint16_t>(protocol);
  const auto limit = static_cast<std::size_t>(parts.knobs.rmem_default);
  if (type == SOCK_RAW) {
    if (!parts.config.privileged) return fail(EPERM);
    const auto handle = raws.emplace();
    if (!handle) return fail(ENOBUFS);
    RawSocket& s = *raws.get(handle);
    s.port_of_raw = parts.raw_ports.open(static_cast<IpProtocol>(protocol));
    raw::RawPort* port = parts.raw_ports.get(s.port_of_raw);
    if (port == nullptr) {
      raws.erase(handle);
      return fail(ENOBUFS);
    }
    port->owner = handle.index;
    port->queue.limit = limit;
    s.local = {IpAddress::any_v4(), number};
    s.remote.address = IpAddress::any_v4();
    s.type = SOCK_RAW;
    s.protocol = number;
    s.header_included = protocol == IPPROTO_RAW;
    return &s;
  }
  if (!may_ping()) return fail(EACCES);
  const auto handle = pings.emplace();
  if (!handle) return fail(ENOBUFS);
  PingSocket& s = *pings.get(handle);
  s.port_of_ping = parts.ping_ports.open();
  raw::PingPort* port = parts.ping_ports.get(s.port_of_ping);
  if (port == nullptr) {
    pings.erase(handle);
    return fail(ENOBUFS);
  }
  port->owner = handle.index;
  port->queue.limit = limit;
  s.local.address = s.remote.address = IpAddress::any_v4();
  s.protocol = number;
  return &s;
}

Result<File*> Sockets::State::open_packet(int type, int protocol) {
  if (!parts.config.privileged) return fail(EPERM);
  if (type != SOCK_RAW && type != SOCK_DGRAM) return fail(ESOCKTNOSUPPORT);
  const auto handle = packets.emplace();
  if (!handle) return fail(ENOBUFS);
  PacketSocket& s = *packets.get(handle);
  const auto in_network_order = static_cast<std::uint16_t>(protocol);
  s.port_of_packet = parts.packet_ports.open(to_big_endian(in_network_order), type == SOCK_DGRAM);
  raw::PacketPort* port = parts.packet_ports.get(s.port_of_packet);
  if (port == nullptr) {
    packets.erase(handle);
    return fail(ENOBUFS);
  }
  port->owner = handle.index;
  port->queue.limit = static_cast<std::size_t>(parts.knobs.rmem_default);
  s.remote.address = IpAddress::any_v4();
  s.type = static_cast<std::uint8_t>(type);
  s.protocol = in_network_order;
  return &s;
}

}  // namespace tapir::socket
