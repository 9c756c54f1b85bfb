// SPDX-License-Identifier: Apache-2.0
// struct tcp_info as the kernel lays it out now; system headers may be older.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tcp/connection_info.h"

namespace tapir::socket {

struct TcpInfo {
  std::uint8_t state = 0;
  std::uint8_t ca_state = 0;
  std::uint8_t retransmits = 0;
  std::uint8_t probes = 0;
  std::uint8_t backoff = 0;
  std::uint8_t options = 0;         // TCPI_OPT_*
  std::uint8_t wscales = 0;         // the peer's in the low four bits, ours in the high four
  std::uint8_t delivery_flags = 0;  // app limited (bit 0), Fast Open client failure (bits 1, 2)

  std::uint32_t rto = 0;  // times are microseconds unless said otherwise
  std::uint32_t ato = 0;
  std::uint32_t snd_mss = 0;
  std::uint32_t rcv_mss = 0;

  std::uint32_t unacked = 0;
  std::uint32_t sacked = 0;
  std::uint32_t lost = 0;
  std::uint32_t retrans = 0;
  std::uint32_t fackets = 0;

  std::uint32_t last_data_sent = 0;  // milliseconds ago
  std::uint32_t last_ack_sent = 0;   // not remembered, as in Linux
  std::uint32_t last_data_recv = 0;
  std::uint32_t last_ack_recv = 0;

  std::uint32_t pmtu = 0;
  std::uint32_t rcv_ssthresh = 0;
  std::uint32_t rtt = 0;
  std::uint32_t rttvar = 0;
  std::uint32_t snd_ssthresh = 0;
  std::uint32_t snd_cwnd = 0;
  std::uint32_t advmss = 0;
  std::uint32_t reordering = 0;

  std::uint32_t rcv_rtt = 0;
  std::uint32_t rcv_space = 0;

  std::uint32_t total_retrans = 0;

  std::uint64_t pacing_rate = 0;
  std::uint64_t max_pacing_rate = 0;
  std::uint64_t bytes_acked = 0;
  std::uint64_t bytes_received = 0;
  std::uint32_t segs_out = 0;
  std::uint32_t segs_in = 0;

  std::uint32_t notsent_bytes = 0;
  std::uint32_t min_rtt = 0;
  std::uint32_t data_segs_in = 0;
  std::uint32_t data_segs_out = 0;

  std::uint64_t delivery_rate = 0;

  std::uint64_t busy_time = 0;
  std::uint64_t rwnd_limited = 0;
  std::uint64_t sndbuf_limited = 0;

  std::uint32_t delivered = 0;
  std::uint32_t delivered_ce = 0;

  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_retrans = 0;
  std::uint32_t dsack_dups = 0;
  std::uint32_t reord_seen = 0;

  std::uint32_t rcv_ooopack = 0;

  std::uint32_t snd_wnd = 0;
  std::uint32_t rcv_wnd = 0;
  std::uint32_t rehash = 0;

  std::uint16_t total_rto = 0;
  std::uint16_t total_rto_recoveries = 0;
  std::uint32_t total_rto_time = 0;
};
static_assert(offsetof(TcpInfo, rto) == 8 && offsetof(TcpInfo, pacing_rate) == 104 &&
                  offsetof(TcpInfo, delivery_rate) == 160 && offsetof(TcpInfo, bytes_sent) == 200 &&
                  offsetof(TcpInfo, snd_wnd) == 228 && sizeof(TcpInfo) == 248,
              "the kernel's layout");

// A connection's figures in that layout (Linux's tcp_get_info).
TcpInfo tcp_info(const tcp::ConnectionInfo& info, std::uint64_t max_pacing_rate);

}  // namespace tapir::socket
