// SPDX-License-Identifier: Apache-2.0
// Options of SOL_RAW (Linux's raw_setsockopt) and SOL_PACKET (packet_setsockopt).
#include <linux/icmp.h>
#include <linux/if_packet.h>

#include "socket/option_table.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

namespace tapir::socket {
namespace {

using State = Sockets::State;

raw::RawPort* icmp_port(State& state, SocketFile& s) {
  if (s.kind != FileKind::kRaw) return nullptr;
  raw::RawPort* port = state.parts.raw_ports.get(static_cast<RawSocket&>(s).port_of_raw);
  return port->protocol == IpProtocol::kIcmp ? port : nullptr;
}

Result<int> get_icmp_filter(State& state, SocketFile& s, void* value, socklen_t* length, Instant) {
  const raw::RawPort* port = icmp_port(state, s);
  if (port == nullptr) return fail(s.kind == FileKind::kRaw ? EOPNOTSUPP : ENOPROTOOPT);
  const icmp_filter filter{port->icmp_filter};
  return store(&filter, sizeof filter, value, length);
}

Result<int> set_icmp_filter(State& state, SocketFile& s, const void* value, socklen_t length, Instant) {
  raw::RawPort* port = icmp_port(state, s);
  if (port == nullptr) return fail(s.kind == FileKind::kRaw ? EOPNOTSUPP : ENOPROTOOPT);
  icmp_filter filter{port->icmp_filter};
  if (length != 0 && value == nullptr) return fail(EFAULT);
  std::memcpy(&filter, value, std::min<std::size_t>(length, sizeof filter));
  port->icmp_filter = filter.data;
  return 0;
}

constexpr Option kRawOptions[] = {
    {ICMP_FILTER, Sorts::kDatagram, nullptr, nullptr, get_icmp_filter, set_icmp_filter},
};

raw::PacketPort& packet_port(State& state, SocketFile& s) {
  return *state.parts.packet_ports.get(static_cast<PacketSocket&>(s).port_of_packet);
}

// Packets since the last look, dropped ones among them (Linux counts them so), and those dropped.
Result<int> get_statistics(State& state, SocketFile& s, void* value, socklen_t* length, Instant) {
  const raw::ReceiveQueue& queue = packet_port(state, s).queue;
  auto& seen = static_cast<PacketSocket&>(s);
  tpacket_stats stats{};
  stats.tp_packets = static_cast<unsigned>(queue.arrivals() - seen.arrivals_seen);
  stats.tp_drops = static_cast<unsigned>(queue.drops() - seen.drops_seen);
  seen.arrivals_seen = queue.arrivals();
  seen.drops_seen = queue.drops();
  return store(&stats, sizeof stats, value, length);
}

// Every frame of the wire is seen anyway: no device here filters by address.
Result<int> set_membership(State& state, SocketFile&, const void* value, socklen_t length, Instant) {
  packet_mreq request{};
  if (const auto loaded = load(request, value, length); !loaded) return loaded;
  if (state.parts.interfaces.find(static_cast<InterfaceId>(request.mr_ifindex)) == nullptr)
    return fail(ENODEV);
  if (request.mr_type > PACKET_MR_UNICAST) return fail(EINVAL);
  return 0;
}

constexpr Option kPacketOptions[] = {
    {PACKET_STATISTICS, Sorts::kDatagram, nullptr, nullptr, get_statistics, nullptr},
    {PACKET_ADD_MEMBERSHIP, Sorts::kDatagram, nullptr, nullptr, nullptr, set_membership},
    {PACKET_DROP_MEMBERSHIP, Sorts::kDatagram, nullptr, nullptr, nullptr, set_membership},
    {PACKET_AUXDATA, Sorts::kDatagram,
     [](State&, SocketFile& s, Instant) -> Result<int> {
       return static_cast<PacketSocket&>(s).auxiliary_data ? 1 : 0;
     },
     [](State&, SocketFile& s, int value, Instant) -> Result<int> {
       static_cast<PacketSocket&>(s).auxiliary_data = value != 0;
       return 0;
     }},
    {PACKET_IGNORE_OUTGOING, Sorts::kDatagram,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       return packet_port(state, s).ignore_outgoing ? 1 : 0;
     },
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       if (value < 0 || value > 1) return fail(EINVAL);
       packet_port(state, s).ignore_outgoing = value != 0;
       return 0;
     }},
};

}  // namespace

std::span<const Option> raw_level_options() { return kRawOptions; }
std::span<const Option> packet_level_options() { return kPacketOptions; }

}  // namespace tapir::socket
