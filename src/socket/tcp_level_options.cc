// SPDX-License-Identifier: Apache-2.0
// Options of SOL_TCP: Linux's do_tcp_setsockopt and do_tcp_getsockopt.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <string_view>

#include "socket/option_table.h"
#include "socket/tcp_info.h"
#include "tcp/congestion.h"
#include "tcp/fastopen.h"

namespace tapir::socket {
namespace {

using State = Sockets::State;

constexpr std::int64_t kWindowClampMin = 1152;  // SOCK_MIN_RCVBUF / 2
constexpr int kTcpMssMin = 88;                  // TCP_MIN_MSS
constexpr int kTcpWindowMax = 32767;            // MAX_TCP_WINDOW
constexpr int kKeepaliveMax = 32767;            // MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL
constexpr int kTriesMax = 127;                  // MAX_TCP_KEEPCNT, MAX_TCP_SYNCNT
constexpr int kFinTimeoutMax = 120;             // TCP_FIN_TIMEOUT_MAX, seconds
constexpr int kMssDefault = 536;                // TCP_MSS_DEFAULT

// What TCP_INFO tells of a socket without a connection: Linux's tcp_init_sock.
constexpr std::uint32_t kFreshCwnd = 10;                // TCP_INIT_CWND, segments (RFC 6928)
constexpr std::uint32_t kFreshSsthresh = 0x7fffffff;    // TCP_INFINITE_SSTHRESH, segments
constexpr std::uint32_t kFreshRto = 1'000'000;          // TCP_TIMEOUT_INIT, microseconds (RFC 6298 §2.1)
constexpr std::uint32_t kFreshRttvar = kFreshRto / 4;   // microseconds; kept four times as large
constexpr std::uint32_t kNoMinRtt = ~0U;                // no sample
constexpr std::uint64_t kNoPacing = ~std::uint64_t{0};  // bytes a second

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

std::string_view text_of(const std::array<char, 16>& name) {
  return {name.data(), ::strnlen(name.data(), name.size())};
}

Result<int> get_congestion(State& state, SocketFile& s, void* value, socklen_t* length, Instant now) {
  std::string_view name = text_of(tcp_options(state, s).congestion);
  if (const tcp::Connection* connection = state.connection_of(stream(s)))
    name = connection->info(now).congestion_control;
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
  const std::uint64_t rate = tcp_options(state, s).max_pacing_rate;
  if (const tcp::Connection* connection = state.connection_of(stream(s))) {
    out = tcp_info(connection->info(now), rate);
  } else {
    // What a connection would begin with (Linux: tcp_init_sock), of which a listener tells less.
    out.state = static_cast<std::uint8_t>(state.tcp_state(stream(s)));
    out.snd_cwnd = kFreshCwnd;
    out.reordering = static_cast<std::uint32_t>(state.parts.tcp_knobs.tcp_reordering);
    out.pacing_rate = kNoPacing;
    out.max_pacing_rate = rate;
    const auto listening = state.parts.tcp.listener_info(stream(s).listener);
    if (!listening) {
      out.delivery_flags = 1;  // limited by the program
      out.rto = kFreshRto;
      out.snd_mss = kMssDefault;
      out.rttvar = kFreshRttvar;
      out.snd_ssthresh = kFreshSsthresh;
      out.min_rtt = kNoMinRtt;
    } else {
      out.unacked = listening->accept_queue;
      out.sacked = listening->backlog;
    }
  }
  return store(&out, sizeof(out), value, length);
}

bool closed_or_listening(State& state, SocketFile& s) {
  const tcp::State now_in = state.tcp_state(stream(s));
  return now_in == tcp::State::kClosed || now_in == tcp::State::kListen;
}

// Linux's __tcp_sock_set_nodelay and __tcp_sock_set_cork: an end of holding back pushes what waits.
Result<int> set_no_delay(State& state, SocketFile& s, int value, Instant now) {
  tcp_options(state, s).no_delay = value != 0;
  if (value != 0 && state.connection_of(stream(s)) != nullptr)
    state.parts.tcp.push_held(stream(s).connection, now);
  tcp_changed(state, s, now);
  return 0;
}

Result<int> get_cork(State& state, SocketFile& s, Instant) {
  const tcp::Connection* connection = state.connection_of(stream(s));
  return (connection != nullptr ? connection->corked() : tcp_options(state, s).cork) ? 1 : 0;
}

Result<int> set_cork(State& state, SocketFile& s, int value, Instant now) {
  if (state.connection_of(stream(s)) == nullptr) {
    tcp_options(state, s).cork = value != 0;
    return 0;
  }
  state.parts.tcp.set_cork(stream(s).connection, value != 0, now);
  if (value == 0) state.finish_call(now);
  return 0;
}

constexpr Option kTcpOptions[] = {
    {TCP_INFO, Sorts::kStream, nullptr, nullptr, get_info, nullptr},
    {TCP_CONGESTION, Sorts::kStream, nullptr, nullptr, get_congestion, set_congestion},
    {TCP_NODELAY, Sorts::kStream, get_tcp_flag<&tcp::SocketOptions::no_delay>, set_no_delay},
    {TCP_CORK, Sorts::kStream, get_cork, set_cork},
    {TCP_THIN_LINEAR_TIMEOUTS, Sorts::kStream, get_tcp_flag<&tcp::SocketOptions::thin_linear_timeouts>,
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (value < 0 || value > 1) return fail(EINVAL);
       return set_tcp_flag<&tcp::SocketOptions::thin_linear_timeouts>(state, s, value, now);
     }},
    {TCP_MAXSEG, Sorts::kStream,
     [](State& state, SocketFile& s, Instant now) -> Result<int> {
       const tcp::Connection* connection = state.connection_of(stream(s));
       const int asked = tcp_options(state, s).max_segment;
       if (asked != 0 && (connection == nullptr || connection->state() == tcp::State::kClosed)) return asked;
       return connection != nullptr ? connection->info(now).snd_mss : kMssDefault;
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (value != 0 && (value < kTcpMssMin || value > kTcpWindowMax)) return fail(EINVAL);
       tcp_options(state, s).max_segment = static_cast<std::uint16_t>(value);
       tcp_changed(state, s, now);
       return 0;
     }},
    {TCP_KEEPIDLE, Sorts::kStream,
     get_tcp_number<&tcp::SocketOptions::keepalive_idle, &tcp::Knobs::tcp_keepalive_time>,
     set_tcp_number<&tcp::SocketOptions::keepalive_idle, 1, kKeepaliveMax>},
    {TCP_KEEPINTVL, Sorts::kStream,
     get_tcp_number<&tcp::SocketOptions::keepalive_interval, &tcp::Knobs::tcp_keepalive_intvl>,
     set_tcp_number<&tcp::SocketOptions::keepalive_interval, 1, kKeepaliveMax>},
    {TCP_KEEPCNT, Sorts::kStream,
     get_tcp_number<&tcp::SocketOptions::keepalive_probes, &tcp::Knobs::tcp_keepalive_probes>,
     set_tcp_number<&tcp::SocketOptions::keepalive_probes, 1, kTriesMax>},
    {TCP_SYNCNT, Sorts::kStream, get_tcp_number<&tcp::SocketOptions::syn_count, &tcp::Knobs::tcp_syn_retries>,
     set_tcp_number<&tcp::SocketOptions::syn_count, 1, kTriesMax>},
    {TCP_LINGER2, Sorts::kStream,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       const int set = tcp_options(state, s).linger2;
       return set != 0 ? set : state.parts.tcp_knobs.tcp_fin_timeout;
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       tcp_options(state, s).linger2 = std::clamp(value, -1, kFinTimeoutMax);
       tcp_changed(state, s, now);
       return 0;
     }},
    {TCP_DEFER_ACCEPT, Sorts::kStream,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       return retransmissions_to_seconds(tcp_options(state, s).defer_accept);
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       tcp_options(state, s).defer_accept = seconds_to_retransmissions(value);
       tcp_changed(state, s, now);
       return 0;
     }},
    {TCP_INQ, Sorts::kStream, get_tcp_flag<&tcp::SocketOptions::tell_queued>,
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       if (value < 0 || value > 1) return fail(EINVAL);
       tcp_options(state, s).tell_queued = value != 0;
       return 0;
     }},
    {TCP_FASTOPEN, Sorts::kStream,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       return tcp_options(state, s).fast_open_queue;
     },
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       if (value < 0 || !closed_or_listening(state, s)) return fail(EINVAL);
       if (stream(s).listener)
         state.parts.tcp.set_fast_open_queue(stream(s).listener, value);
       else
         tcp_options(state, s).fast_open_queue =
             static_cast<std::uint16_t>(std::min({value, state.parts.tcp_knobs.somaxconn, 0xffff}));
       return 0;
     }},
    {TCP_FASTOPEN_CONNECT, Sorts::kStream, get_tcp_flag<&tcp::SocketOptions::fast_open_connect>,
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       if (value < 0 || value > 1) return fail(EINVAL);
       if ((state.parts.tcp_knobs.tcp_fastopen & tcp::kFastOpenClient) == 0) return fail(EOPNOTSUPP);
       if (state.tcp_state(stream(s)) != tcp::State::kClosed) return fail(EINVAL);
       tcp_options(state, s).fast_open_connect = value != 0;
       return 0;
     }},
    {TCP_FASTOPEN_NO_COOKIE, Sorts::kStream, get_tcp_flag<&tcp::SocketOptions::fast_open_no_cookie>,
     [](State& state, SocketFile& s, int value, Instant) -> Result<int> {
       if (value < 0 || value > 1 || !closed_or_listening(state, s)) return fail(EINVAL);
       tcp_options(state, s).fast_open_no_cookie = value != 0;
       return 0;
     }},
    {TCP_FASTOPEN_KEY, Sorts::kStream, nullptr, nullptr,
     [](State& state, SocketFile& s, void* value, socklen_t* length, Instant) -> Result<int> {
       const FastOpenKeyBytes keys = state.fast_open_key_bytes(stream(s));
       return store(keys.bytes.data(), keys.size, value, length);
     },
     [](State& state, SocketFile& s, const void* value, socklen_t length, Instant) -> Result<int> {
       return state.set_fast_open_keys(stream(s), value, length);
     }},
    {TCP_MD5SIG, Sorts::kStream, nullptr, nullptr, nullptr,
     [](State& state, SocketFile& s, const void* value, socklen_t length, Instant now) -> Result<int> {
       return state.set_md5_key(stream(s), false, value, length, now);
     }},
    {TCP_MD5SIG_EXT, Sorts::kStream, nullptr, nullptr, nullptr,
     [](State& state, SocketFile& s, const void* value, socklen_t length, Instant now) -> Result<int> {
       return state.set_md5_key(stream(s), true, value, length, now);
     }},
    {TCP_WINDOW_CLAMP, Sorts::kStream,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       const std::uint32_t set = tcp_options(state, s).window_clamp;
       const tcp::Connection* connection = state.connection_of(stream(s));
       return static_cast<int>(set == 0 && connection != nullptr ? connection->window_clamp() : set);
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (value == 0 && state.tcp_state(stream(s)) != tcp::State::kClosed) return fail(EINVAL);
       tcp_options(state, s).window_clamp =
           value == 0 ? 0 : static_cast<std::uint32_t>(std::max<std::int64_t>(value, kWindowClampMin));
       tcp_changed(state, s, now);
       return 0;
     }},
    {TCP_QUICKACK, Sorts::kStream,
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
    {TCP_USER_TIMEOUT, Sorts::kStream,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       return static_cast<int>(to_msec(tcp_options(state, s).user_timeout));
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       if (value < 0) return fail(EINVAL);
       tcp_options(state, s).user_timeout = std::chrono::milliseconds(value);
       tcp_changed(state, s, now);
       return 0;
     }},
    {TCP_NOTSENT_LOWAT, Sorts::kStream,
     [](State& state, SocketFile& s, Instant) -> Result<int> {
       return static_cast<int>(tcp_options(state, s).notsent_low_water);
     },
     [](State& state, SocketFile& s, int value, Instant now) -> Result<int> {
       tcp_options(state, s).notsent_low_water = static_cast<std::uint32_t>(value);
       tcp_changed(state, s, now);
       return 0;
     }},

};

}  // namespace

std::span<const Option> tcp_level_options() { return kTcpOptions; }

}  // namespace tapir::socket
