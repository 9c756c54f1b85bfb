// SPDX-License-Identifier: Apache-2.0
// What a program set on its socket. A listener's are inherited by what it accepts.
#pragma once

#include <array>
#include <cstdint>

#include "base/time.h"
#include "inet/ip_options.h"
#include "inet/protocol.h"

namespace tapir::tcp {

struct SocketOptions {
  std::int32_t send_buffer = 0;     // SO_SNDBUF as the kernel keeps it (doubled); 0 = tcp_wmem[1], autotuned
  std::int32_t receive_buffer = 0;  // SO_RCVBUF (doubled); 0 = tcp_rmem[1], autotuned
  std::int32_t receive_low_water = 1;                 // SO_RCVLOWAT
  std::uint32_t notsent_low_water = 0;                // TCP_NOTSENT_LOWAT; 0 = tcp_notsent_lowat
  std::uint32_t window_clamp = 0;                     // TCP_WINDOW_CLAMP
  std::uint64_t max_pacing_rate = ~std::uint64_t{0};  // SO_MAX_PACING_RATE, bytes/s; all ones: no limit
  Duration user_timeout{};                            // TCP_USER_TIMEOUT; zero = by the retries
  std::int32_t keepalive_idle = 0;                    // seconds; 0 = the knob
  std::int32_t keepalive_interval = 0;
  std::int32_t linger2 = 0;       // seconds; 0 = tcp_fin_timeout, < 0 = at once
  std::uint16_t max_segment = 0;  // TCP_MAXSEG
  std::uint16_t fast_open_queue =
      0;  // TCP_FASTOPEN: a listener's pending ones at most; 0 = none taken. Linux keeps an int
  InterfaceId bound_interface = kNoInterface;  // SO_BINDTODEVICE
  std::uint8_t keepalive_probes = 0;
  std::uint8_t syn_count = 0;     // TCP_SYNCNT
  std::uint8_t defer_accept = 0;  // TCP_DEFER_ACCEPT as retransmissions
  std::uint8_t tos = 0;           // IP_TOS without the ECN bits
  std::uint8_t hop_limit = 0;     // IP_TTL; 0 = the path's
  std::uint8_t mtu_discover = 1;  // IP_PMTUDISC_*
  bool no_delay = false;          // TCP_NODELAY
  bool cork = false;              // TCP_CORK, as a connection begins (Connection::corked)
  bool keepalive = false;         // SO_KEEPALIVE
  bool urgent_inline = false;     // SO_OOBINLINE
  bool thin_linear_timeouts = false;
  bool fast_open_connect = false;     // TCP_FASTOPEN_CONNECT
  bool fast_open_no_cookie = false;   // TCP_FASTOPEN_NO_COOKIE
  bool zero_copy = false;             // SO_ZEROCOPY
  bool tell_queued = false;           // TCP_INQ
  bool receive_errors = false;        // IP_RECVERR: what ICMP says of an open connection is told at once
  bool send_shut = false;             // shutdown(SHUT_WR) came before there was a connection
  std::uint32_t timestamping = 0;     // SO_TIMESTAMPING
  std::array<char, 16> congestion{};  // TCP_CONGESTION; empty = the knob
  IpOptions ip_options;               // IP_OPTIONS; not inherited

  friend constexpr bool operator==(const SocketOptions&, const SocketOptions&) = default;
};

}  // namespace tapir::tcp
