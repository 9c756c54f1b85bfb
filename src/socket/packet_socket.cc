// SPDX-License-Identifier: Apache-2.0
// Packet sockets: Linux's net/packet/af_packet.c as a program sees it.
#include <linux/if_packet.h>
#include <net/if_arp.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "base/bytes.h"
#include "socket/control_messages.h"
#include "socket/interface_ioctls.h"
#include "socket/message.h"
#include "socket/pieces.h"
#include "socket/state.h"
#include "wire/ethernet.h"
#include "wire/vlan.h"

namespace tapir::socket {
namespace {

constexpr std::size_t kAddressOffset = offsetof(sockaddr_ll, sll_addr);

// Bytes of the link header a program sees: loopback has one of zeros.
std::size_t header_size(const ip::Interface& interface) {
  return interface.kind == ip::LinkKind::kRawIp ? 0 : wire::kEthernetHeaderLength;
}

// Writes at most *length bytes of `name`; *length becomes `size`.
Result<int> store_name(const sockaddr_ll& name, std::size_t size, void* out, socklen_t* length) {
  if (length == nullptr) return fail(EFAULT);
  if (static_cast<int>(*length) < 0) return fail(EINVAL);
  const std::size_t fits = std::min<std::size_t>(*length, size);
  if (fits != 0) {
    if (out == nullptr) return fail(EFAULT);
    std::memcpy(out, &name, fits);
  }
  *length = static_cast<socklen_t>(size);
  return 0;
}

Result<sockaddr_ll> load_name(const void* address, socklen_t length) {
  if (address == nullptr) return fail(EFAULT);
  if (length < sizeof(sockaddr_ll)) return fail(EINVAL);
  sockaddr_ll name;
  std::memcpy(&name, address, sizeof name);
  return name;
}

// PACKET_AUXDATA, of a packet of `size` bytes.
void put_auxiliary_data(ControlWriter& control, const raw::Stored& about, std::size_t size) {
  tpacket_auxdata aux{};
  aux.tp_status = TP_STATUS_USER;
  if (about.checksum_pending)
    aux.tp_status |= TP_STATUS_CSUMNOTREADY;
  else if (about.checksum_verified && about.packet_type != raw::PacketType::kOutgoing)
    aux.tp_status |= TP_STATUS_CSUM_VALID;
  aux.tp_len = aux.tp_snaplen = static_cast<std::uint32_t>(size);
  aux.tp_net = about.network_offset;
  if (about.tagged) {
    aux.tp_status |= TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID;
    aux.tp_vlan_tci = about.vlan;
    aux.tp_vlan_tpid = wire::kEtherTypeVlan;
  }
  control.put(SOL_PACKET, PACKET_AUXDATA, &aux, sizeof aux);
}

}  // namespace

Result<int> Sockets::State::bind_packet(PacketSocket& s, const sockaddr* address, socklen_t length) {
  const Result<sockaddr_ll> name = load_name(address, length);
  if (!name) return std::unexpected(name.error());
  if (name->sll_family != AF_PACKET) return fail(EINVAL);
  const auto id = static_cast<InterfaceId>(name->sll_ifindex);
  const ip::Interface* interface = parts.interfaces.find(id);
  if (name->sll_ifindex != 0 && (interface == nullptr || id != name->sll_ifindex)) return fail(ENODEV);
  raw::PacketPort* port = parts.packet_ports.get(s.port_of_packet);
  port->interface = id;
  port->protocol = to_big_endian(name->sll_protocol);
  if (interface != nullptr && !interface->up) {
    s.error = ENETDOWN;
    wake(s, kWakeError);
  }
  return 0;
}

Result<int> Sockets::State::packet_name(const PacketSocket& s, sockaddr* address, socklen_t* length) const {
  const raw::PacketPort* port = parts.packet_ports.get(s.port_of_packet);
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_protocol = to_big_endian(port->protocol);
  name.sll_ifindex = port->interface;
  if (const ip::Interface* interface = parts.interfaces.find(port->interface)) {
    name.sll_hatype = hardware_type(*interface);
    name.sll_halen = interface->kind == ip::LinkKind::kRawIp
                         ? std::uint8_t{0}
                         : static_cast<std::uint8_t>(interface->mac.size());
    std::copy_n(interface->mac.begin(), name.sll_halen, name.sll_addr);
  }
  return store_name(name, kAddressOffset + name.sll_halen, address, length);
}

// Linux's packet_snd.
Result<std::size_t> Sockets::State::send_packet(PacketSocket& s, const msghdr& message, int, Instant now) {
  const auto pieces = pieces_of(message);
  if (!pieces) return std::unexpected(pieces.error());
  const raw::PacketPort* port = parts.packet_ports.get(s.port_of_packet);
  InterfaceId id = port->interface;
  std::uint16_t protocol = port->protocol;
  sockaddr_ll name{};
  if (message.msg_name != nullptr) {
    const Result<sockaddr_ll> to = load_name(message.msg_name, message.msg_namelen);
    if (!to) return std::unexpected(to.error());
    if (message.msg_namelen < kAddressOffset + to->sll_halen) return fail(EINVAL);
    name = *to;
    protocol = to_big_endian(name.sll_protocol);
    id = static_cast<InterfaceId>(name.sll_ifindex);
  }
  const ip::Interface* interface = parts.interfaces.find(id);
  if (interface == nullptr) return fail(ENXIO);
  if (!interface->up) return fail(ENETDOWN);
  const std::size_t size = total_size(*pieces);
  const std::size_t link_header = header_size(*interface);
  OutgoingSpans spans;
  if (const auto made = spans.make(*pieces, size, parts.frames); !made) return std::unexpected(made.error());

  std::array<std::uint8_t, wire::kEthernetHeaderLength> header{};
  std::array<Bytes, kOutgoingSpansMax> rest;
  std::size_t count = 0;
  if (port->cooked) {
    if (size > interface->mtu) return fail(EMSGSIZE);
    if (link_header != 0) {
      if (name.sll_halen == 0 && interface->kind == ip::LinkKind::kEthernet) return fail(EINVAL);
      wire::EthernetHeader ethernet;
      std::copy_n(name.sll_addr, ethernet.dst.size(), ethernet.dst.begin());
      ethernet.src = interface->mac;
      ethernet.ethertype = protocol;
      wire::emit_ethernet(ethernet, header);
    }
    count = skip_front(spans.list(), 0, rest);
  } else {
    if (size < link_header || size == 0) return fail(EINVAL);
    gather_front(spans.list(), MutableBytes(header).first(link_header));
    const bool tagged = link_header != 0 && load_be<std::uint16_t>(header, 12) == wire::kEtherTypeVlan;
    if (size > interface->mtu + link_header + (tagged ? wire::kVlanTagLength : 0)) return fail(EMSGSIZE);
    count = skip_front(spans.list(), link_header, rest);
  }
  // On loopback the header is a figment, in both directions.
  const std::size_t sent_header = interface->kind == ip::LinkKind::kLoopback ? 0 : link_header;
  if (!parts.send_frame(id, Bytes(header).first(sent_header), std::span(rest).first(count), s.port_of_packet,
                        now))
    return fail(ENOBUFS);
  finish_call(now);
  return size;
}

// Linux's packet_recvmsg.
Result<std::size_t> Sockets::State::receive_packet(PacketSocket& s, msghdr& message, int flags, Instant) {
  const auto pieces = pieces_of(message);
  if (!pieces) return std::unexpected(pieces.error());
  if ((flags & ~(MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_ERRQUEUE)) != 0) return fail(EINVAL);
  if ((flags & MSG_ERRQUEUE) != 0) return fail(EAGAIN);
  if (const int error = take_error(s)) return fail(error);
  raw::PacketPort* port = parts.packet_ports.get(s.port_of_packet);
  const auto packet = (flags & MSG_PEEK) != 0 ? port->queue.peek() : port->queue.take();
  if (!packet) return fail(EAGAIN);
  const std::size_t size = packet->payload.size();
  const std::size_t fits = std::min(size, total_size(*pieces));
  const auto copied = scatter(packet->payload.first(fits), *pieces, 0);
  if (!copied) return std::unexpected(copied.error());
  message.msg_flags = size > fits ? MSG_TRUNC : 0;
  ControlWriter control(message);
  put_timestamp(s, s.timestamping, control, packet->received_at);
  if (s.auxiliary_data) put_auxiliary_data(control, packet->about, size);
  if (message.msg_name != nullptr) {
    const raw::Stored& about = packet->about;
    sockaddr_ll name{};
    name.sll_family = AF_PACKET;
    name.sll_protocol = to_big_endian(about.ethertype);
    name.sll_ifindex = about.interface;
    if (const ip::Interface* interface = parts.interfaces.find(about.interface))
      name.sll_hatype = hardware_type(*interface);
    name.sll_pkttype = static_cast<std::uint8_t>(about.packet_type);
    name.sll_halen = about.hardware_size;
    std::copy(about.hardware.begin(), about.hardware.end(), name.sll_addr);
    if (const auto stored = store_name(name, sizeof name, message.msg_name, &message.msg_namelen); !stored)
      return std::unexpected(stored.error());
  } else {
    message.msg_namelen = 0;
  }
  return (flags & MSG_TRUNC) != 0 ? size : *copied;
}

}  // namespace tapir::socket
