// SPDX-License-Identifier: Apache-2.0
// Options of SOL_SOCKET: Linux's sk_setsockopt and sk_getsockopt.
#include <netinet/in.h>
#include <sys/time.h>

#include <array>
#include <string_view>

#include "socket/errno_map.h"
#include "socket/option_table.h"

namespace tapir::socket {
namespace {

using State = Sockets::State;

// Linux's SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF: a buffer below would never pass a packet.
constexpr std::int64_t kSendBufferMin = 4608;
constexpr std::int64_t kReceiveBufferMin = 2304;

// ---- SO_SNDBUF, SO_RCVBUF: Linux keeps twice what is asked ----

std::int64_t doubled(std::int64_t asked, std::int64_t most, std::int64_t least) {
  return std::max(std::min(asked, most) * 2, least);
}

Result<int> set_send_buffer(State& state, SocketFile& s, int value, std::int64_t most, Instant now) {
  const auto kept =
      static_cast<std::int32_t>(doubled(static_cast<std::uint32_t>(value), most, kSendBufferMin));
  if (!is_stream(s)) {
    datagram(s).send_buffer = kept;
    return 0;
  }
  tcp_options(state, s).send_buffer = kept;
  tcp_changed(state, s, now);
  return 0;
}

Result<int> set_receive_buffer(State& state, SocketFile& s, int value, std::int64_t most, Instant now) {
  const auto kept =
      static_cast<std::int32_t>(doubled(static_cast<std::uint32_t>(value), most, kReceiveBufferMin));
  if (!is_stream(s)) {
    if (udp::DatagramPort* port = state.parts.udp.get(datagram(s).port))
      port->receive_buffer = static_cast<std::size_t>(kept);
    if (raw::ReceiveQueue* queue = state.raw_queue(datagram(s)))
      queue->limit = static_cast<std::size_t>(kept);
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
    if (const raw::ReceiveQueue* queue = state.raw_queue(datagram(s)))
      return static_cast<std::int64_t>(queue->limit);
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

void sharing_changed(State& state, SocketFile& s) {
  state.parts.ports.set_sharing(s.binding, s.sharing());
  if (!is_stream(s))
    if (udp::DatagramPort* port = state.parts.udp.get(datagram(s).port)) port->reuse_port = s.reuse_port;
}

// A bool that decides who shares a port.
template <bool SocketFile::* member>
Result<int> set_sharing(State& state, SocketFile& s, int value, Instant) {
  s.*member = value != 0;
  sharing_changed(state, s);
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

Result<int> get_device(State& state, SocketFile& s, void* value, socklen_t* length, Instant) {
  const ip::Interface* interface = state.parts.interfaces.find(s.interface);
  if (s.interface == kNoInterface || interface == nullptr) {
    *length = 0;
    return 0;
  }
  if (*length < interface->name.size() + 1) return fail(EINVAL);
  return store(interface->name.c_str(), interface->name.size() + 1, value, length);
}

// Linux's sock_setbindtodevice.
Result<int> set_device(State& state, SocketFile& s, const void* value, socklen_t length, Instant) {
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
  if (s.kind == FileKind::kDatagram) state.parts.udp.bind_interface(datagram(s).port, id);
  return 0;
}

Result<int> get_memory_info(State& state, SocketFile& s, void* value, socklen_t* length, Instant) {
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
  } else if (const raw::ReceiveQueue* queue = state.raw_queue(datagram(s))) {
    info[0] = static_cast<std::uint32_t>(queue->true_size());
    info[8] = static_cast<std::uint32_t>(queue->drops());
  }
  return store(info.data(), sizeof(info), value, length);
}
Result<int> get_linger(State&, SocketFile& s, void* value, socklen_t* length, Instant) {
  const struct linger lingering{s.linger ? 1 : 0, static_cast<int>(s.linger_seconds)};
  return store(&lingering, sizeof(lingering), value, length);
}

Result<int> set_linger(State&, SocketFile& s, const void* value, socklen_t length, Instant) {
  struct linger lingering;
  if (const auto loaded = load(lingering, value, length); !loaded) return loaded;
  s.linger = lingering.l_onoff != 0;
  if (s.linger) s.linger_seconds = static_cast<std::uint32_t>(std::max(lingering.l_linger, 0));
  return 0;
}

template <Duration SocketFile::* member>
Result<int> get_timeout(State&, SocketFile& s, void* value, socklen_t* length, Instant) {
  return get_timeout(s.*member, value, length);
}
template <Duration SocketFile::* member>
Result<int> set_timeout(State&, SocketFile& s, const void* value, socklen_t length, Instant) {
  return set_timeout(s.*member, value, length);
}

// The two share one place: what was set last holds (Linux's sock_set_timestamp).
template <std::uint8_t kind>
Result<int> get_timestamps(State&, SocketFile& s, Instant) {
  // SO_TIMESTAMP_NEW tells of both (Linux's sk_getsockopt).
  if (kind == (kTimestampMicroseconds | kTimestampNew)) return (s.timestamps & kTimestampNew) != 0 ? 1 : 0;
  return s.timestamps == kind ? 1 : 0;
}
template <std::uint8_t kind>
Result<int> set_timestamps(State&, SocketFile& s, int value, Instant) {
  s.timestamps = static_cast<std::uint8_t>(value != 0 ? kind : s.timestamps & kTimestampNew);
  return 0;
}

// struct so_timestamping; the clock is a device's, which none here has.
struct Timestamping {
  std::int32_t flags = 0;
  std::int32_t bind_phc = 0;
};

template <std::uint8_t number>
Result<int> get_timestamping(State& state, SocketFile& s, void* value, socklen_t* length, Instant) {
  Timestamping told;
  if (number == kTimestampNew && (s.timestamps & kTimestampNew) == 0)
    return store(&told, sizeof(told), value, length);
  told.flags =
      static_cast<std::int32_t>(is_stream(s) ? tcp_options(state, s).timestamping : datagram(s).timestamping);
  return store(&told, sizeof(told), value, length);
}

template <std::uint8_t number>
Result<int> set_timestamping(State& state, SocketFile& s, const void* value, socklen_t length, Instant) {
  std::int32_t flags = 0;
  if (const auto loaded = load(flags, value, length); !loaded) return loaded;
  const auto set = state.set_timestamping(s, static_cast<std::uint32_t>(flags));
  if (set) s.timestamps = static_cast<std::uint8_t>((s.timestamps & ~kTimestampNew) | number);
  return set;
}

// Bytes a second, of 32 bits or of 64; all ones: no limit (Linux: sk_max_pacing_rate).
Result<int> get_pacing_rate(State& state, SocketFile& s, void* value, socklen_t* length, Instant) {
  const std::uint64_t rate =
      is_stream(s) ? tcp_options(state, s).max_pacing_rate : datagram(s).max_pacing_rate;
  if (*length >= sizeof(rate)) return store(&rate, sizeof(rate), value, length);
  const auto told = static_cast<std::uint32_t>(std::min<std::uint64_t>(rate, ~std::uint32_t{0}));
  return store(&told, sizeof(told), value, length);
}

Result<int> set_pacing_rate(State& state, SocketFile& s, const void* value, socklen_t length, Instant now) {
  std::uint32_t narrow = 0;
  if (const auto loaded = load(narrow, value, length); !loaded) return loaded;
  std::uint64_t rate = narrow == ~std::uint32_t{0} ? ~std::uint64_t{0} : narrow;
  if (length >= sizeof(rate)) std::memcpy(&rate, value, sizeof(rate));
  if (!is_stream(s)) {
    datagram(s).max_pacing_rate = rate;
    return 0;
  }
  tcp_options(state, s).max_pacing_rate = rate;
  tcp_changed(state, s, now);
  return 0;
}

// A number that no other socket of the stack ever has.
Result<int> get_cookie(State& state, SocketFile& s, void* value, socklen_t* length, Instant) {
  if (*length < sizeof(std::uint64_t)) return fail(EINVAL);
  std::uint64_t name = 0;
  switch (s.kind) {
    case FileKind::kStream:
      name = state.streams.handle_of(stream(s)).packed();
      break;
    case FileKind::kDatagram:
      name = state.datagrams.handle_of(datagram(s)).packed();
      break;
    case FileKind::kRaw:
      name = state.raws.handle_of(static_cast<RawSocket&>(s)).packed();
      break;
    case FileKind::kPing:
      name = state.pings.handle_of(static_cast<PingSocket&>(s)).packed();
      break;
    case FileKind::kPacket:
      name = state.packets.handle_of(static_cast<PacketSocket&>(s)).packed();
      break;
    case FileKind::kEpoll:
      break;
  }
  const std::uint64_t cookie = static_cast<std::uint64_t>(s.kind) << 60 ^ name;
  return store(&cookie, sizeof(cookie), value, length);
}

constexpr Option kSocketOptions[] = {
    {SO_BINDTODEVICE, Sorts::kAll, nullptr, nullptr, get_device, set_device},
    {SO_LINGER, Sorts::kAll, nullptr, nullptr, get_linger, set_linger},
    {SO_RCVTIMEO, Sorts::kAll, nullptr, nullptr, get_timeout<&SocketFile::receive_timeout>,
     set_timeout<&SocketFile::receive_timeout>},
    {SO_SNDTIMEO, Sorts::kAll, nullptr, nullptr, get_timeout<&SocketFile::send_timeout>,
     set_timeout<&SocketFile::send_timeout>},
    {kSoReceiveTimeoutNew, Sorts::kAll, nullptr, nullptr, get_timeout<&SocketFile::receive_timeout>,
     set_timeout<&SocketFile::receive_timeout>},
    {kSoSendTimeoutNew, Sorts::kAll, nullptr, nullptr, get_timeout<&SocketFile::send_timeout>,
     set_timeout<&SocketFile::send_timeout>},
    {SO_MEMINFO, Sorts::kAll, nullptr, nullptr, get_memory_info, nullptr},
    {SO_DEBUG, Sorts::kAll, get_flag<&SocketFile::debug>,
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       if (value != 0 && !state.parts.config.privileged) return fail(EACCES);
       s.debug = value != 0;
       return 0;
     }},
    {SO_REUSEADDR, Sorts::kAll, get_flag<&SocketFile::reuse_address>,
     set_sharing<&SocketFile::reuse_address>},
    {SO_REUSEPORT, Sorts::kAll, get_flag<&SocketFile::reuse_port>, set_sharing<&SocketFile::reuse_port>},
    {SO_DONTROUTE, Sorts::kAll, get_flag<&SocketFile::dont_route>, set_flag<&SocketFile::dont_route>},
    {SO_BROADCAST, Sorts::kAll, get_flag<&SocketFile::broadcast>, set_flag<&SocketFile::broadcast>},
    {SO_KEEPALIVE, Sorts::kAll, get_flag<&SocketFile::keepalive>,
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       s.keepalive = value != 0;
       if (!is_stream(s)) return 0;
       tcp_options(state, s).keepalive = s.keepalive;
       tcp_changed(state, s, now);
       return 0;
     }},
    {SO_OOBINLINE, Sorts::kDatagram,
     [](State&, SocketFile& s, Instant) -> Result<int> { return datagram(s).urgent_inline ? 1 : 0; },
     [](State&, SocketFile& s, int value, Instant) -> Result<int> {
       datagram(s).urgent_inline = value != 0;
       return 0;
     }},
    {SO_OOBINLINE, Sorts::kStream, get_tcp_flag<&tcp::SocketOptions::urgent_inline>,
     set_tcp_flag<&tcp::SocketOptions::urgent_inline>},
    {SO_NO_CHECK, Sorts::kAll, get_flag<&SocketFile::no_check>, set_flag<&SocketFile::no_check>},
    {SO_TIMESTAMP, Sorts::kAll, get_timestamps<kTimestampMicroseconds>,
     set_timestamps<kTimestampMicroseconds>},
    {SO_TIMESTAMPNS, Sorts::kAll, get_timestamps<kTimestampNanoseconds>,
     set_timestamps<kTimestampNanoseconds>},
    {kSoTimestampNew, Sorts::kAll, get_timestamps<kTimestampMicroseconds | kTimestampNew>,
     set_timestamps<kTimestampMicroseconds | kTimestampNew>},
    {kSoTimestampNsNew, Sorts::kAll, get_timestamps<kTimestampNanoseconds | kTimestampNew>,
     set_timestamps<kTimestampNanoseconds | kTimestampNew>},
    {SO_PEEK_OFF, Sorts::kAll, [](State&, SocketFile& s, Instant) -> Result<int> { return s.peek_offset; },
     [](State&, SocketFile& s, int value, Instant) -> Result<int> {
       s.peek_offset = value;
       return 0;
     }},
    {SO_INCOMING_CPU, Sorts::kAll, [](State&, SocketFile&, Instant) -> Result<int> { return -1; },
     [](State&, SocketFile&, int, Instant) -> Result<int> { return 0; }},
    {SO_COOKIE, Sorts::kAll, nullptr, nullptr, get_cookie, nullptr},
    {SO_PRIORITY, Sorts::kAll, [](State&, SocketFile& s, Instant) -> Result<int> { return s.priority; },
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       if ((value < 0 || value > 6) && !state.parts.config.privileged) return fail(EPERM);
       s.priority = value;
       return 0;
     }},
    {SO_ZEROCOPY, Sorts::kStream, get_tcp_flag<&tcp::SocketOptions::zero_copy>,
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       if (value < 0 || value > 1) return fail(EINVAL);
       tcp_options(state, s).zero_copy = value != 0;
       return 0;
     }},
    {SO_TIMESTAMPING, Sorts::kAll, nullptr, nullptr, get_timestamping<0>, set_timestamping<0>},
    {kSoTimestampingNew, Sorts::kAll, nullptr, nullptr, get_timestamping<kTimestampNew>,
     set_timestamping<kTimestampNew>},
    {SO_MARK, Sorts::kAll,
     [](State&, SocketFile& s, Instant) -> Result<int> { return static_cast<int>(s.mark); },
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       if (!state.parts.config.privileged) return fail(EPERM);
       s.mark = static_cast<std::uint32_t>(value);
       return 0;
     }},
    {SO_SNDBUF, Sorts::kAll,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       return static_cast<int>(send_buffer(state, s));
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       return set_send_buffer(state, s, value, state.parts.tcp_knobs.wmem_max, now);
     }},
    {SO_SNDBUFFORCE, Sorts::kAll, nullptr,
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (!state.parts.config.privileged) return fail(EPERM);
       return set_send_buffer(state, s, std::max(value, 0), kForcedMax, now);
     }},
    {SO_RCVBUF, Sorts::kAll,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       return static_cast<int>(receive_buffer(state, s));
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       return set_receive_buffer(state, s, value, state.parts.tcp_knobs.rmem_max, now);
     }},
    {SO_RCVBUFFORCE, Sorts::kAll, nullptr,
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (!state.parts.config.privileged) return fail(EPERM);
       return set_receive_buffer(state, s, std::max(value, 0), kForcedMax, now);
     }},
    {SO_MAX_PACING_RATE, Sorts::kAll, nullptr, nullptr, get_pacing_rate, set_pacing_rate},
    {SO_RCVLOWAT, Sorts::kDatagram,
     [](State&, SocketFile& s, Instant) -> Result<int> { return datagram(s).receive_low_water; },
     [](State&, SocketFile& s, int value, Instant) -> Result<int> {
       datagram(s).receive_low_water = value < 0 ? kIntMax : std::max(value, 1);
       return 0;
     }},
    {SO_RCVLOWAT, Sorts::kStream,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       return tcp_options(state, s).receive_low_water;
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       // A mark that the buffer cannot reach would wait for ever (Linux's tcp_set_rcvlowat).
       const std::int32_t fixed = tcp_options(state, s).receive_buffer;
       const std::int64_t most = (fixed != 0 ? fixed : state.parts.tcp_knobs.tcp_rmem[2]) / 2;
       const std::int64_t asked = value < 0 ? kIntMax : value;
       tcp_options(state, s).receive_low_water =
           static_cast<std::int32_t>(std::max<std::int64_t>(std::min(asked, most), 1));
       tcp_changed(state, s, now);
       // What waits may be enough now, and is news again (Linux: tcp_data_ready).
       const tcp::Connection* connection = state.connection_of(stream(s));
       if (connection != nullptr && (connection->readable_bytes() != 0 || connection->peer_fin()) &&
           (state.readiness(stream(s)) & EPOLLIN) != 0)
         state.wake(s, kWakeReadable);
       return 0;
     }},
    {SO_SNDLOWAT, Sorts::kAll, [](State&, SocketFile&, Instant) -> Result<int> { return 1; }},
    {SO_ERROR, Sorts::kAll,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       if (!is_stream(s)) return state.take_error(datagram(s));
       if (const int error = state.take_error(stream(s))) return error;
       // What ICMP said of a connection that lives on (Linux: sk_err_soft).
       tcp::Connection* connection = state.connection_of(stream(s));
       return connection != nullptr && connection->state() != tcp::State::kClosed
                  ? linux_errno(connection->take_soft_cause())
                  : 0;
     }},
    {SO_TYPE, Sorts::kAll,
     [](State&, SocketFile& s, Instant) -> Result<int> {
       return is_stream(s) ? static_cast<int>(SOCK_STREAM) : static_cast<int>(datagram(s).type);
     }},
    {SO_DOMAIN, Sorts::kAll,
     [](State&, SocketFile& s, Instant) -> Result<int> {
       return s.kind == FileKind::kPacket ? AF_PACKET : AF_INET;
     }},
    {SO_PROTOCOL, Sorts::kAll,
     [](State&, SocketFile& s, Instant) -> Result<int> {
       return is_stream(s) ? static_cast<int>(IPPROTO_TCP) : static_cast<int>(datagram(s).protocol);
     }},
    {SO_ACCEPTCONN, Sorts::kAll,
     [](State&, SocketFile& s, Instant) -> Result<int> {
       return is_stream(s) && stream(s).listener ? 1 : 0;
     }},

};

}  // namespace

std::span<const Option> socket_level_options() { return kSocketOptions; }

}  // namespace tapir::socket
