// SPDX-License-Identifier: Apache-2.0
// Options of SOL_IP: Linux's do_ip_setsockopt and do_ip_getsockopt.
#include <netinet/in.h>

#include "socket/option_table.h"

namespace tapir::socket {
namespace {

using State = Sockets::State;

constexpr std::uint8_t kEcnMask = 3;

constexpr Option kOptions[] = {
    {IP_TTL, Sorts::kAll,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       const std::uint8_t set = is_stream(s) ? tcp_options(state, s).hop_limit : datagram(s).hop_limit;
       return set != 0 ? set : state.parts.ip_knobs.ip_default_ttl;
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (value != -1 && (value < 1 || value > 255)) return fail(EINVAL);
       const auto kept = static_cast<std::uint8_t>(value == -1 ? 0 : value);
       if (!is_stream(s)) {
         datagram(s).hop_limit = kept;
         return 0;
       }
       tcp_options(state, s).hop_limit = kept;
       tcp_changed(state, s, now);
       return 0;
     }},
    {IP_TOS, Sorts::kAll,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       return is_stream(s) ? tcp_options(state, s).tos : datagram(s).tos;
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (!is_stream(s)) {
         datagram(s).tos = static_cast<std::uint8_t>(value);
         return 0;
       }
       // The ECN bits are TCP's own.
       tcp_options(state, s).tos = static_cast<std::uint8_t>(value & ~int{kEcnMask});
       tcp_changed(state, s, now);
       return 0;
     }},
    {IP_MTU, Sorts::kAll,
     [](State& state, SocketFile& s, Instant now) -> Result<int> {
       if (is_stream(s)) {
         const tcp::Connection* connection = state.connection_of(stream(s));
         if (connection == nullptr || connection->state() == tcp::State::kClosed) return fail(ENOTCONN);
         return static_cast<int>(connection->path().mtu);
       }
       const auto peer = state.peer_name(s);
       if (!peer) return fail(ENOTCONN);
       const auto path =
           state.parts.routes.resolve({.destination = peer->address, .source = std::nullopt}, now);
       if (!path) return fail(ENOTCONN);
       return static_cast<int>(path->mtu);
     }},
    {IP_MTU_DISCOVER, Sorts::kAll,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       return is_stream(s) ? tcp_options(state, s).mtu_discover : datagram(s).mtu_discover;
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (value < IP_PMTUDISC_DONT || value > IP_PMTUDISC_OMIT) return fail(EINVAL);
       if (is_stream(s)) {
         tcp_options(state, s).mtu_discover = static_cast<std::uint8_t>(value);
         tcp_changed(state, s, now);
         return 0;
       }
       datagram(s).mtu_discover = static_cast<std::uint8_t>(value);
       if (udp::DatagramPort* port = state.parts.udp.get(datagram(s).port))
         port->path_mtu_discovery = value != IP_PMTUDISC_DONT;
       return 0;
     }},
    {IP_RECVERR, Sorts::kAll, get_flag<&SocketFile::receive_errors>,
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       s.receive_errors = value != 0;
       if (!is_stream(s))
         if (udp::DatagramPort* port = state.parts.udp.get(datagram(s).port))
           port->receive_errors = s.receive_errors;
       return 0;
     }},
    {IP_HDRINCL, Sorts::kDatagram,
     [](State&, SocketFile& s, Instant) -> Result<int> {
       if (s.kind != FileKind::kRaw) return fail(ENOPROTOOPT);
       return static_cast<RawSocket&>(s).header_included ? 1 : 0;
     },
     [](State&, SocketFile& s, int value, Instant) -> Result<int> {
       if (s.kind != FileKind::kRaw) return fail(ENOPROTOOPT);
       static_cast<RawSocket&>(s).header_included = value != 0;
       return 0;
     }},
    {IP_FREEBIND, Sorts::kAll, get_flag<&SocketFile::free_bind>, set_flag<&SocketFile::free_bind>},
    {IP_TRANSPARENT, Sorts::kAll, [](State&, SocketFile&, Instant) -> Result<int> { return 0; },
     [](State&, SocketFile&, int value, Instant) -> Result<int> {
       if (value != 0) return fail(EPERM);
       return 0;
     }},
};

}  // namespace

std::span<const Option> ip_level_options() { return kOptions; }

}  // namespace tapir::socket
