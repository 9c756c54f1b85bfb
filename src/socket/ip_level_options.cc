// SPDX-License-Identifier: Apache-2.0
// Options of SOL_IP: Linux's do_ip_setsockopt and do_ip_getsockopt.
#include <netinet/in.h>

#include "ip/options.h"
#include "socket/option_table.h"

namespace tapir::socket {
namespace {

using State = Sockets::State;

constexpr std::uint8_t kEcnMask = 3;

// A bit of SocketFile::tells.
template <std::uint8_t bit>
Result<int> get_tells(State&, SocketFile& s, Instant) {
  return (s.tells & bit) != 0 ? 1 : 0;
}
template <std::uint8_t bit>
Result<int> set_tells(State&, SocketFile& s, int value, Instant) {
  s.tells = static_cast<std::uint8_t>(value != 0 ? s.tells | bit : s.tells & ~bit);
  return 0;
}

// IP_OPTIONS: in every header of this socket's from now on.
IpOptions& ip_options(State& state, SocketFile& s) {
  return is_stream(s) ? tcp_options(state, s).ip_options : datagram(s).ip_options;
}
Result<int> get_ip_options(State& state, SocketFile& s, void* value, socklen_t* length, Instant) {
  const IpOptions& options = ip_options(state, s);
  return store(options.bytes.data(), options.size, value, length);
}
Result<int> set_ip_options(State& state, SocketFile& s, const void* value, socklen_t length, Instant now) {
  if (length > kIpOptionsMax) return fail(EINVAL);
  if (length != 0 && value == nullptr) return fail(EFAULT);
  IpOptions taken;
  if (const auto error = ip::take_options({static_cast<const std::uint8_t*>(value), length},
                                          state.parts.config.privileged, taken))
    return fail(*error == ip::OptionsError::kSourceRoute ? EPERM : EINVAL);
  ip_options(state, s) = taken;
  if (is_stream(s)) tcp_changed(state, s, now);
  return 0;
}

constexpr Option kIpOptions[] = {
    {IP_OPTIONS, Sorts::kAll, nullptr, nullptr, get_ip_options, set_ip_options},
    {IP_PKTINFO, Sorts::kAll, get_tells<kTellsPacketInfo>, set_tells<kTellsPacketInfo>},
    {IP_RECVTTL, Sorts::kAll, get_tells<kTellsHopLimit>, set_tells<kTellsHopLimit>},
    {IP_RECVTOS, Sorts::kAll, get_tells<kTellsTos>, set_tells<kTellsTos>},
    {IP_RECVORIGDSTADDR, Sorts::kAll, get_tells<kTellsDestination>, set_tells<kTellsDestination>},
    {IP_RECVOPTS, Sorts::kAll, get_tells<kTellsOptions>, set_tells<kTellsOptions>},
    {IP_RETOPTS, Sorts::kAll, get_tells<kTellsReturnOptions>, set_tells<kTellsReturnOptions>},
    {IP_BIND_ADDRESS_NO_PORT, Sorts::kAll, get_flag<&SocketFile::bind_no_port>,
     set_flag<&SocketFile::bind_no_port>},
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
         if (connection == nullptr) return fail(ENOTCONN);
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
       if (is_stream(s)) {
         tcp_options(state, s).receive_errors = s.receive_errors;
         if (!s.receive_errors) state.drop_stream_errors(stream(s));
         return 0;
       }
       if (udp::DatagramPort* port = state.parts.udp.get(datagram(s).port))
         port->receive_errors = s.receive_errors;
       if (ErrorQueue* errors = state.error_queue(datagram(s)); errors != nullptr && !s.receive_errors)
         errors->clear();
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

bool ip_option_needs_value(int name) {
  switch (name) {
    case IP_TTL:
    case IP_FREEBIND:
    case IP_TRANSPARENT:
    case IP_MINTTL:
    case IP_MULTICAST_TTL:
    case IP_MULTICAST_LOOP:
      return true;
    default:
      return false;
  }
}

std::span<const Option> ip_level_options() { return kIpOptions; }

}  // namespace tapir::socket
