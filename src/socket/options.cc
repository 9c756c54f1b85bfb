// SPDX-License-Identifier: Apache-2.0
#include "socket/options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string_view>

#include "socket/errno_map.h"
#include "socket/tcp_info.h"
#include "tcp/congestion.h"

namespace tapir::socket {
namespace {

using State = Sockets::State;

// Linux's SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF: a buffer below would never pass a packet.
constexpr std::int64_t kSendBufferMin = 4608;
constexpr std::int64_t kReceiveBufferMin = 2304;
constexpr int kTcpMssMin = 88;        // TCP_MIN_MSS
constexpr int kTcpWindowMax = 32767;  // MAX_TCP_WINDOW
constexpr int kKeepaliveMax = 32767;  // MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL
constexpr int kTriesMax = 127;        // MAX_TCP_KEEPCNT, MAX_TCP_SYNCNT
constexpr int kFinTimeoutMax = 120;   // TCP_FIN_TIMEOUT_MAX, seconds
constexpr int kMssDefault = 536;      // TCP_MSS_DEFAULT
constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr std::uint8_t kEcnMask = 3;

// ---- reaching into a socket ----

StreamSocket& stream(SocketFile& s) { return static_cast<StreamSocket&>(s); }
DatagramSocket& datagram(SocketFile& s) { return static_cast<DatagramSocket&>(s); }
bool is_stream(const SocketFile& s) { return s.kind == FileKind::kStream; }
tcp::SocketOptions& tcp_options(State& state, SocketFile& s) { return state.options_of(stream(s)); }
void tcp_changed(State& state, SocketFile& s, Instant now) { state.options_changed(stream(s), now); }

// ---- SO_SNDBUF, SO_RCVBUF: Linux keeps twice what is asked ----

std::int64_t doubled(std::int64_t asked, std::int64_t most, std::int64_t least) {
  return std::max(std::min(std::max<std::int64_t>(asked, 0), most) * 2, least);
}

Result<int> set_send_buffer(State& state, SocketFile& s, int value, std::int64_t most, Instant now) {
  const auto kept = static_cast<std::int32_t>(doubled(value, most, kSendBufferMin));
  if (!is_stream(s)) {
    datagram(s).send_buffer = kept;
    return 0;
  }
  tcp_options(state, s).send_buffer = kept;
  tcp_changed(state, s, now);
  return 0;
}

Result<int> set_receive_buffer(State& state, SocketFile& s, int value, std::int64_t most, Instant now) {
  const auto kept = static_cast<std::int32_t>(doubled(value, most, kReceiveBufferMin));
  if (!is_stream(s)) {
    if (udp::DatagramPort* port = state.parts.udp.get(datagram(s).port))
      port->receive_buffer = static_cast<std::size_t>(kept);
    return 0;
  }
  tcp_options(state, s).receive_buffer = kept;
  tcp_changed(state, s, now);
  return 0;
}

std::int64_t send_buffer(State& state, SocketFile& s) {
  if (!is_stream(s))
    return datagram(s).send_buffer != 0 ? datagram(s).send_buffer : state.parts.knobs.wmem_default;
  if (const tcp::Connection* connection = state.connection_of(stream(s)))
    return connection->send_buffer_limit();
  const std::int32_t set = tcp_options(state, s).send_buffer;
  return set != 0 ? set : state.parts.tcp_knobs.tcp_wmem[1];
}

std::int64_t receive_buffer(State& state, SocketFile& s) {
  if (!is_stream(s)) {
    const udp::DatagramPort* port = state.parts.udp.get(datagram(s).port);
    return port != nullptr ? static_cast<std::int64_t>(port->receive_buffer) : 0;
  }
  if (const tcp::Connection* connection = state.connection_of(stream(s)))
    return connection->receive_buffer_limit();
  const std::int32_t set = tcp_options(state, s).receive_buffer;
  return set != 0 ? set : state.parts.tcp_knobs.tcp_rmem[1];
}

// The largest value that doubling leaves an int (SO_SNDBUFFORCE).
constexpr std::int64_t kForcedMax = kIntMax / 2;

// ---- TCP_DEFER_ACCEPT: seconds as retransmissions of the SYN-ACK (Linux's secs_to_retrans, retrans_to_secs)
// ----

std::uint8_t seconds_to_retransmissions(int seconds) {
  if (seconds <= 0) return 0;
  int timeout = 1;
  int count = 1;
  for (int period = timeout; seconds > period && count < 255; ++count) {
    timeout = std::min(timeout * 2, kFinTimeoutMax);
    period += timeout;
  }
  return static_cast<std::uint8_t>(count);
}

int retransmissions_to_seconds(std::uint8_t count) {
  int period = 0;
  int timeout = 1;
  for (int i = 0; i < count; ++i) {
    period += timeout;
    timeout = std::min(timeout * 2, kFinTimeoutMax);
  }
  return period;
}

// ---- options that are one int ----

enum class Sorts : std::uint8_t { kAll, kStream };

struct IntOption {
  int level;
  int name;
  Sorts sorts;
  Result<int> (*get)(State&, SocketFile&, Instant);
  Result<int> (*set)(State&, SocketFile&, int, Instant);
};

Result<int> read_only(State&, SocketFile&, int, Instant) { return fail(ENOPROTOOPT); }

void sharing_changed(State& state, SocketFile& s) {
  state.parts.ports.set_sharing(s.binding, s.sharing());
  if (!is_stream(s))
    if (udp::DatagramPort* port = state.parts.udp.get(datagram(s).port)) port->reuse_port = s.reuse_port;
}

// A bool of SocketFile.
template <bool SocketFile::*member>
Result<int> get_flag(State&, SocketFile& s, Instant) {
  return s.*member ? 1 : 0;
}
template <bool SocketFile::*member>
Result<int> set_flag(State&, SocketFile& s, int value, Instant) {
  s.*member = value != 0;
  return 0;
}
// A bool that decides who shares a port.
template <bool SocketFile::*member>
Result<int> set_sharing(State& state, SocketFile& s, int value, Instant) {
  s.*member = value != 0;
  sharing_changed(state, s);
  return 0;
}
// A bool of tcp::SocketOptions.
template <bool tcp::SocketOptions::*member>
Result<int> get_tcp_flag(State& state, SocketFile& s, Instant) {
  return tcp_options(state, s).*member ? 1 : 0;
}
template <bool tcp::SocketOptions::*member>
Result<int> set_tcp_flag(State& state, SocketFile& s, int value, Instant now) {
  tcp_options(state, s).*member = value != 0;
  tcp_changed(state, s, now);
  return 0;
}

// A number of tcp::SocketOptions within bounds; 0 means the knob.
template <auto member, int least, int most>
Result<int> set_tcp_number(State& state, SocketFile& s, int value, Instant now) {
  if (value < least || value > most) return fail(EINVAL);
  auto& field = tcp_options(state, s).*member;
  field = static_cast<std::remove_reference_t<decltype(field)>>(value);
  tcp_changed(state, s, now);
  return 0;
}
template <auto member, int tcp::Knobs::*knob>
Result<int> get_tcp_number(State& state, SocketFile& s, Instant) {
  const auto set = static_cast<int>(tcp_options(state, s).*member);
  return set != 0 ? set : state.parts.tcp_knobs.*knob;
}

const IntOption kIntOptions[] = {
    // ---- SOL_SOCKET ----
    {SOL_SOCKET, SO_DEBUG, Sorts::kAll, get_flag<&SocketFile::debug>,
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       if (value != 0 && !state.parts.config.privileged) return fail(EACCES);
       s.debug = value != 0;
       return 0;
     }},
    {SOL_SOCKET, SO_REUSEADDR, Sorts::kAll, get_flag<&SocketFile::reuse_address>, set_sharing<&SocketFile::reuse_address>},
    {SOL_SOCKET, SO_REUSEPORT, Sorts::kAll, get_flag<&SocketFile::reuse_port>, set_sharing<&SocketFile::reuse_port>},
    {SOL_SOCKET, SO_DONTROUTE, Sorts::kAll, get_flag<&SocketFile::dont_route>, set_flag<&SocketFile::dont_route>},
    {SOL_SOCKET, SO_BROADCAST, Sorts::kAll, get_flag<&SocketFile::broadcast>, set_flag<&SocketFile::broadcast>},
    {SOL_SOCKET, SO_KEEPALIVE, Sorts::kAll, get_flag<&SocketFile::keepalive>,
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       s.keepalive = value != 0;
       if (!is_stream(s)) return 0;
       tcp_options(state, s).keepalive = s.keepalive;
       tcp_changed(state, s, now);
       return 0;
     }},
    {SOL_SOCKET, SO_OOBINLINE, Sorts::kStream, get_tcp_flag<&tcp::SocketOptions::urgent_inline>,
     set_tcp_flag<&tcp::SocketOptions::urgent_inline>},
    {SOL_SOCKET, SO_NO_CHECK, Sorts::kAll,
     [](State&, SocketFile& s, Instant) -> Result<int> { return !is_stream(s) && datagram(s).no_check ? 1 : 0; },
     [](State&, SocketFile& s, int value, Instant) -> Result<int> {
       if (!is_stream(s)) datagram(s).no_check = value != 0;
       return 0;
     }},
    {SOL_SOCKET, SO_PRIORITY, Sorts::kAll, [](State&, SocketFile& s, Instant) -> Result<int> { return s.priority; },
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       if ((value < 0 || value > 6) && !state.parts.config.privileged) return fail(EPERM);
       s.priority = value;
       return 0;
     }},
    {SOL_SOCKET, SO_MARK, Sorts::kAll, [](State&, SocketFile& s, Instant) -> Result<int> { return static_cast<int>(s.mark); },
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       if (!state.parts.config.privileged) return fail(EPERM);
       s.mark = static_cast<std::uint32_t>(value);
       return 0;
     }},
    {SOL_SOCKET, SO_SNDBUF, Sorts::kAll,
     [](State& state, SocketFile& s, Instant) -> Result<int> { return static_cast<int>(send_buffer(state, s)); },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       return set_send_buffer(state, s, value, state.parts.tcp_knobs.wmem_max, now);
     }},
    {SOL_SOCKET, SO_SNDBUFFORCE, Sorts::kAll, nullptr,
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (!state.parts.config.privileged) return fail(EPERM);
       return set_send_buffer(state, s, value, kForcedMax, now);
     }},
    {SOL_SOCKET, SO_RCVBUF, Sorts::kAll,
     [](State& state, SocketFile& s, Instant) -> Result<int> { return static_cast<int>(receive_buffer(state, s)); },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       return set_receive_buffer(state, s, value, state.parts.tcp_knobs.rmem_max, now);
     }},
    {SOL_SOCKET, SO_RCVBUFFORCE, Sorts::kAll, nullptr,
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (!state.parts.config.privileged) return fail(EPERM);
       return set_receive_buffer(state, s, value, kForcedMax, now);
     }},
    {SOL_SOCKET, SO_RCVLOWAT, Sorts::kAll,
     [](State& state, SocketFile& s, Instant) -> Result<int> { return is_stream(s) ? tcp_options(state, s).receive_low_water : 1; },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (!is_stream(s)) return 0;
       if (value < 0) value = kIntMax;
       // A mark that the buffer cannot reach would wait for ever (Linux's tcp_set_rcvlowat).
       const std::int64_t half = receive_buffer(state, s) / 2;
       tcp_options(state, s).receive_low_water = static_cast<std::int32_t>(std::clamp<std::int64_t>(value, 1, std::max<std::int64_t>(half, 1)));
       tcp_changed(state, s, now);
       return 0;
     }},
    {SOL_SOCKET, SO_SNDLOWAT, Sorts::kAll, [](State&, SocketFile&, Instant) -> Result<int> { return 1; }, read_only},
    {SOL_SOCKET, SO_ERROR, Sorts::kAll,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       if (!is_stream(s)) return state.take_error(datagram(s));
       if (const int error = state.take_error(stream(s))) return error;
       // What ICMP said of a connection that lives on (Linux: sk_err_soft).
       tcp::Connection* connection = state.connection_of(stream(s));
       return connection != nullptr && connection->state() != tcp::State::kClosed ? linux_errno(connection->take_soft_cause()) : 0;
     },
     read_only},
    {SOL_SOCKET, SO_TYPE, Sorts::kAll,
     [](State&, SocketFile& s, Instant) -> Result<int> { return is_stream(s) ? static_cast<int>(SOCK_STREAM) : static_cast<int>(SOCK_DGRAM); },
     read_only},
    {SOL_SOCKET, SO_DOMAIN, Sorts::kAll, [](State&, SocketFile&, Instant) -> Result<int> { return AF_INET; }, read_only},
    {SOL_SOCKET, SO_PROTOCOL, Sorts::kAll,
     [](State&, SocketFile& s, Instant) -> Result<int> { return is_stream(s) ? static_cast<int>(IPPROTO_TCP) : static_cast<int>(IPPROTO_UDP); },
     read_only},
    {SOL_SOCKET, SO_ACCEPTCONN, Sorts::kAll,
     [](State&, SocketFile& s, Instant) -> Result<int> { return is_stream(s) && stream(s).listener ? 1 : 0; }, read_only},

    // ---- SOL_TCP ----
    {SOL_TCP, TCP_NODELAY, Sorts::kStream, get_tcp_flag<&tcp::SocketOptions::no_delay>, set_tcp_flag<&tcp::SocketOptions::no_delay>},
    {SOL_TCP, TCP_CORK, Sorts::kStream, get_tcp_flag<&tcp::SocketOptions::cork>, set_tcp_flag<&tcp::SocketOptions::cork>},
    {SOL_TCP, TCP_THIN_LINEAR_TIMEOUTS, Sorts::kStream, get_tcp_flag<&tcp::SocketOptions::thin_linear_timeouts>,
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (value < 0 || value > 1) return fail(EINVAL);
       return set_tcp_flag<&tcp::SocketOptions::thin_linear_timeouts>(state, s, value, now);
     }},
    {SOL_TCP, TCP_MAXSEG, Sorts::kStream,
     [](State& state, SocketFile& s, Instant now) -> Result<int> {
       const tcp::Connection* connection = state.connection_of(stream(s));
       if (connection != nullptr && connection->state() != tcp::State::kClosed)
         return connection->info(now, state.parts.tcp.env()).snd_mss;
       const int asked = tcp_options(state, s).max_segment;
       return asked != 0 ? asked : kMssDefault;
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (value != 0 && (value < kTcpMssMin || value > kTcpWindowMax)) return fail(EINVAL);
       tcp_options(state, s).max_segment = static_cast<std::uint16_t>(value);
       tcp_changed(state, s, now);
       return 0;
     }},
    {SOL_TCP, TCP_KEEPIDLE, Sorts::kStream, get_tcp_number<&tcp::SocketOptions::keepalive_idle, &tcp::Knobs::tcp_keepalive_time>,
     set_tcp_number<&tcp::SocketOptions::keepalive_idle, 1, kKeepaliveMax>},
    {SOL_TCP, TCP_KEEPINTVL, Sorts::kStream,
     get_tcp_number<&tcp::SocketOptions::keepalive_interval, &tcp::Knobs::tcp_keepalive_intvl>,
     set_tcp_number<&tcp::SocketOptions::keepalive_interval, 1, kKeepaliveMax>},
    {SOL_TCP, TCP_KEEPCNT, Sorts::kStream,
     get_tcp_number<&tcp::SocketOptions::keepalive_probes, &tcp::Knobs::tcp_keepalive_probes>,
     set_tcp_number<&tcp::SocketOptions::keepalive_probes, 1, kTriesMax>},
    {SOL_TCP, TCP_SYNCNT, Sorts::kStream, get_tcp_number<&tcp::SocketOptions::syn_count, &tcp::Knobs::tcp_syn_retries>,
     set_tcp_number<&tcp::SocketOptions::syn_count, 1, kTriesMax>},
    {SOL_TCP, TCP_LINGER2, Sorts::kStream,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       const int set = tcp_options(state, s).linger2;
       return set != 0 ? set : state.parts.tcp_knobs.tcp_fin_timeout;
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       tcp_options(state, s).linger2 = std::clamp(value, -1, kFinTimeoutMax);
       tcp_changed(state, s, now);
       return 0;
     }},
    {SOL_TCP, TCP_DEFER_ACCEPT, Sorts::kStream,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       return retransmissions_to_seconds(tcp_options(state, s).defer_accept);
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       tcp_options(state, s).defer_accept = seconds_to_retransmissions(value);
       tcp_changed(state, s, now);
       return 0;
     }},
    {SOL_TCP, TCP_WINDOW_CLAMP, Sorts::kStream,
     [](State& state, SocketFile& s, Instant) -> Result<int> { return static_cast<int>(tcp_options(state, s).window_clamp); },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (value == 0 && state.tcp_state(stream(s)) != tcp::State::kClosed) return fail(EINVAL);
       tcp_options(state, s).window_clamp =
           value == 0 ? 0 : static_cast<std::uint32_t>(std::max<std::int64_t>(value, kReceiveBufferMin / 2));
       tcp_changed(state, s, now);
       return 0;
     }},
    {SOL_TCP, TCP_QUICKACK, Sorts::kStream,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       const tcp::Connection* connection = state.connection_of(stream(s));
       return connection == nullptr || connection->quickack() ? 1 : 0;
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (state.connection_of(stream(s)) != nullptr) {
         state.parts.tcp.set_quickack(stream(s).connection, value, now);
         state.finish_call(now);
       }
       return 0;
     }},
    {SOL_TCP, TCP_USER_TIMEOUT, Sorts::kStream,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       return static_cast<int>(to_msec(tcp_options(state, s).user_timeout));
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (value < 0) return fail(EINVAL);
       tcp_options(state, s).user_timeout = std::chrono::milliseconds(value);
       tcp_changed(state, s, now);
       return 0;
     }},
    {SOL_TCP, TCP_NOTSENT_LOWAT, Sorts::kStream,
     [](State& state, SocketFile& s, Instant) -> Result<int> { return static_cast<int>(tcp_options(state, s).notsent_low_water); },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       tcp_options(state, s).notsent_low_water = static_cast<std::uint32_t>(value);
       tcp_changed(state, s, now);
       return 0;
     }},

    // ---- SOL_IP ----
    {SOL_IP, IP_TTL, Sorts::kAll,
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
    {SOL_IP, IP_TOS, Sorts::kAll,
     [](State& state, SocketFile& s, Instant) -> Result<int> { return is_stream(s) ? tcp_options(state, s).tos : datagram(s).tos; },
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
    {SOL_IP, IP_MTU, Sorts::kAll,
     [](State& state, SocketFile& s, Instant now) -> Result<int> {
       if (is_stream(s)) {
         const tcp::Connection* connection = state.connection_of(stream(s));
         if (connection == nullptr || connection->state() == tcp::State::kClosed) return fail(ENOTCONN);
         return static_cast<int>(connection->path().mtu);
       }
       const auto peer = state.peer_name(s);
       if (!peer) return fail(ENOTCONN);
       const auto path = state.parts.routes.resolve({.destination = peer->address, .source = std::nullopt}, now);
       if (!path) return fail(ENOTCONN);
       return static_cast<int>(path->mtu);
     },
     read_only},
    {SOL_IP, IP_MTU_DISCOVER, Sorts::kAll,
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
       if (udp::DatagramPort* port = state.parts.udp.get(datagram(s).port)) port->path_mtu_discovery = value != IP_PMTUDISC_DONT;
       return 0;
     }},
    {SOL_IP, IP_RECVERR, Sorts::kAll, get_flag<&SocketFile::receive_errors>,
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       s.receive_errors = value != 0;
       if (!is_stream(s))
         if (udp::DatagramPort* port = state.parts.udp.get(datagram(s).port)) port->receive_errors = s.receive_errors;
       return 0;
     }},
    {SOL_IP, IP_FREEBIND, Sorts::kAll, get_flag<&SocketFile::free_bind>, set_flag<&SocketFile::free_bind>},
    {SOL_IP, IP_TRANSPARENT, Sorts::kAll, [](State&, SocketFile&, Instant) -> Result<int> { return 0; },
     [](State&, SocketFile&, int value, Instant) -> Result<int> {
       if (value != 0) return fail(EPERM);
       return 0;
     }},
};

const IntOption* find_int_option(const SocketFile& s, int level, int name) {
  for (const IntOption& option : kIntOptions)
    if (option.level == level && option.name == name && (option.sorts == Sorts::kAll || is_stream(s)))
      return &option;
  return nullptr;
}

// ---- values of other shapes ----

// Copies what fits of `value` and says how much that was (Linux: len = min(len, size)).
Result<int> store(const void* value, std::size_t size, void* out, socklen_t* length) {
  const std::size_t stored = std::min<std::size_t>(*length, size);
  if (stored != 0) {
    if (out == nullptr) return fail(EFAULT);
    std::memcpy(out, value, stored);
  }
  *length = static_cast<socklen_t>(stored);
  return 0;
}

template <typename T>
Result<int> load(T& value, const void* from, socklen_t length) {
  if (length < sizeof(T)) return fail(EINVAL);
  if (from == nullptr) return fail(EFAULT);
  std::memcpy(&value, from, sizeof(T));
  return 0;
}

Result<int> get_timeout(Duration timeout, void* value, socklen_t* length) {
  timeval tv{};
  tv.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(timeout).count();
  tv.tv_usec = static_cast<suseconds_t>(to_usec(timeout) % 1'000'000);
  return store(&tv, sizeof(tv), value, length);
}

// Linux's sock_set_timeout. A negative time is one that is over at once, which "for ever" (zero) must not be
// taken for.
Result<int> set_timeout(Duration& timeout, const void* value, socklen_t length) {
  timeval tv;
  if (const auto loaded = load(tv, value, length); !loaded) return loaded;
  if (tv.tv_usec < 0 || tv.tv_usec >= 1'000'000) return fail(EDOM);
  if (tv.tv_sec < 0) {
    timeout = Duration(1);
  } else if (tv.tv_sec > std::numeric_limits<std::int32_t>::max()) {
    timeout = {};
  } else {
    timeout = std::chrono::seconds(tv.tv_sec) + std::chrono::microseconds(tv.tv_usec);
  }
  return 0;
}

Result<int> get_device(State& state, SocketFile& s, void* value, socklen_t* length) {
  const ip::Interface* interface = state.parts.interfaces.find(s.interface);
  if (s.interface == kNoInterface || interface == nullptr) {
    *length = 0;
    return 0;
  }
  if (*length < interface->name.size() + 1) return fail(EINVAL);
  return store(interface->name.c_str(), interface->name.size() + 1, value, length);
}

// Linux's sock_setbindtodevice.
Result<int> set_device(State& state, SocketFile& s, const void* value, socklen_t length) {
  constexpr std::size_t kNameMax = 15;
  if (length != 0 && value == nullptr) return fail(EFAULT);
  const std::string_view given(static_cast<const char*>(value), std::min<std::size_t>(length, kNameMax));
  const std::string_view name = given.substr(0, given.find('\0'));
  InterfaceId id = kNoInterface;
  if (!name.empty()) {
    const ip::Interface* interface = state.parts.interfaces.find(name);
    if (interface == nullptr) return fail(ENODEV);
    id = interface->id;
  }
  if (s.interface != kNoInterface && id != s.interface && !state.parts.config.privileged) return fail(EPERM);
  s.interface = id;
  state.parts.ports.set_interface(s.binding, id);
  if (!is_stream(s)) state.parts.udp.bind_interface(datagram(s).port, id);
  return 0;
}

Result<int> get_memory_info(State& state, SocketFile& s, void* value, socklen_t* length) {
  // SK_MEMINFO_*: receive allocated, receive limit, send allocated, send limit, reserved, send queued,
  // options, backlog, drops.
  std::array<std::uint32_t, 9> info{};
  info[1] = static_cast<std::uint32_t>(receive_buffer(state, s));
  info[3] = static_cast<std::uint32_t>(send_buffer(state, s));
  if (is_stream(s)) {
    if (const tcp::Connection* connection = state.connection_of(stream(s))) {
      info[0] = static_cast<std::uint32_t>(connection->readable_bytes());
      info[5] = static_cast<std::uint32_t>(connection->unacked_bytes());
    }
  } else if (const udp::DatagramPort* port = state.parts.udp.get(datagram(s).port)) {
    info[0] = static_cast<std::uint32_t>(port->queued_true_size());
    info[8] = static_cast<std::uint32_t>(port->drops());
  }
  return store(info.data(), sizeof(info), value, length);
}

std::string_view text_of(const std::array<char, 16>& name) {
  return {name.data(), ::strnlen(name.data(), name.size())};
}

Result<int> get_congestion(State& state, SocketFile& s, void* value, socklen_t* length, Instant now) {
  std::string_view name = text_of(tcp_options(state, s).congestion);
  if (const tcp::Connection* connection = state.connection_of(stream(s)))
    name = connection->info(now, state.parts.tcp.env()).congestion_control;
  if (name.empty()) name = state.parts.tcp_knobs.tcp_congestion_control;
  std::array<char, 16> padded{};
  std::copy_n(name.data(), std::min(name.size(), padded.size() - 1), padded.begin());
  return store(padded.data(), padded.size(), value, length);
}

Result<int> set_congestion(State& state, SocketFile& s, const void* value, socklen_t length, Instant now) {
  if (length < 1) return fail(EINVAL);
  if (value == nullptr) return fail(EFAULT);
  std::array<char, 16> name{};
  std::memcpy(name.data(), value, std::min<std::size_t>(length, name.size() - 1));
  if (!tcp::CongestionSlot::known(text_of(name))) return fail(ENOENT);
  tcp_options(state, s).congestion = name;
  if (tcp::Connection* connection = state.connection_of(stream(s)))
    if (!connection->set_congestion_control(text_of(name))) return fail(ENOENT);
  tcp_changed(state, s, now);
  return 0;
}

Result<int> get_info(State& state, SocketFile& s, void* value, socklen_t* length, Instant now) {
  TcpInfo out;
  const std::uint32_t rate = tcp_options(state, s).max_pacing_rate;
  if (const tcp::Connection* connection = state.connection_of(stream(s))) {
    out = tcp_info(connection->info(now, state.parts.tcp.env()), rate);
  } else {
    out.state = static_cast<std::uint8_t>(state.tcp_state(stream(s)));
    if (const auto listening = state.parts.tcp.listener_info(stream(s).listener)) {
      out.unacked = listening->accept_queue;
      out.sacked = listening->backlog;
    }
  }
  return store(&out, sizeof(out), value, length);
}

}  // namespace

Result<int> get_option(State& state, SocketFile& s, int level, int name, void* value, socklen_t* length,
                       Instant now) {
  if (length == nullptr) return fail(EFAULT);
  if (static_cast<int>(*length) < 0) return fail(EINVAL);
  if (level == SOL_SOCKET) {
    switch (name) {
      case SO_LINGER: {
        const struct linger lingering { s.linger ? 1 : 0, static_cast<int>(s.linger_seconds) };
        return store(&lingering, sizeof(lingering), value, length);
      }
      case SO_RCVTIMEO:
        return get_timeout(s.receive_timeout, value, length);
      case SO_SNDTIMEO:
        return get_timeout(s.send_timeout, value, length);
      case SO_BINDTODEVICE:
        return get_device(state, s, value, length);
      case SO_MEMINFO:
        return get_memory_info(state, s, value, length);
      default:
        break;
    }
  }
  if (level == SOL_TCP && is_stream(s)) {
    if (name == TCP_INFO) return get_info(state, s, value, length, now);
    if (name == TCP_CONGESTION) return get_congestion(state, s, value, length, now);
  }
  const IntOption* option = find_int_option(s, level, name);
  if (option == nullptr || option->get == nullptr)
    return fail(level == SOL_TCP && !is_stream(s) ? EOPNOTSUPP : ENOPROTOOPT);
  const Result<int> number = option->get(state, s, now);
  if (!number) return number;
  // Linux's do_ip_getsockopt: a short buffer gets one byte when that holds the number.
  if (level == SOL_IP && *length > 0 && *length < sizeof(int) && *number >= 0 && *number <= 255) {
    const auto byte = static_cast<std::uint8_t>(*number);
    return store(&byte, 1, value, length);
  }
  return store(&*number, sizeof(int), value, length);
}

Result<int> set_option(State& state, SocketFile& s, int level, int name, const void* value, socklen_t length,
                       Instant now) {
  if (static_cast<int>(length) < 0) return fail(EINVAL);
  if (level == SOL_SOCKET && name == SO_BINDTODEVICE) return set_device(state, s, value, length);
  if (level == SOL_TCP && name == TCP_CONGESTION && is_stream(s))
    return set_congestion(state, s, value, length, now);

  const IntOption* option = find_int_option(s, level, name);
  int number = 0;
  if (level == SOL_IP && length >= 1 && length < sizeof(int)) {
    std::uint8_t byte = 0;
    if (const auto loaded = load(byte, value, length); !loaded) return loaded;
    number = byte;
  } else if (level != SOL_IP || length != 0) {
    if (level != SOL_SOCKET && level != SOL_TCP && level != SOL_IP) return fail(ENOPROTOOPT);
    if (level == SOL_TCP && !is_stream(s)) return fail(ENOPROTOOPT);
    if (const auto loaded = load(number, value, length); !loaded) return loaded;
  }
  if (level == SOL_SOCKET) {
    switch (name) {
      case SO_LINGER: {
        struct linger lingering;
        if (const auto loaded = load(lingering, value, length); !loaded) return loaded;
        s.linger = lingering.l_onoff != 0;
        if (s.linger) s.linger_seconds = static_cast<std::uint32_t>(std::max(lingering.l_linger, 0));
        return 0;
      }
      case SO_RCVTIMEO:
        return set_timeout(s.receive_timeout, value, length);
      case SO_SNDTIMEO:
        return set_timeout(s.send_timeout, value, length);
      default:
        break;
    }
  }
  if (option == nullptr) return fail(ENOPROTOOPT);
  return option->set(state, s, number, now);
}

}  // namespace tapir::socket
