// SPDX-License-Identifier: Apache-2.0
#include "socket/tcp_info.h"

#include <algorithm>
#include <limits>

namespace tapir::socket {
namespace {

// TCPI_OPT_TIMESTAMPS, _SACK, _WSCALE, _SYN_DATA.
constexpr std::uint8_t kOptTimestamps = 1;
constexpr std::uint8_t kOptSack = 2;
constexpr std::uint8_t kOptWindowScale = 4;
// TCPI_OPT_ECN: both ends agreed; TCPI_OPT_ECN_SEEN: the peer's segments carry ECT.
constexpr std::uint8_t kOptEcn = 8;
constexpr std::uint8_t kOptEcnSeen = 16;
constexpr std::uint8_t kOptSynData = 32;
constexpr std::uint8_t kOptFastOpenChild = 128;

std::uint32_t usec(Duration d) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(to_usec(d), std::numeric_limits<std::uint32_t>::max()));
}
std::uint32_t msec(Duration d) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(to_msec(d), std::numeric_limits<std::uint32_t>::max()));
}

}  // namespace

TcpInfo tcp_info(const tcp::ConnectionInfo& info, std::uint64_t max_pacing_rate) {
  TcpInfo out;
  out.state = static_cast<std::uint8_t>(info.state);
  out.ca_state = static_cast<std::uint8_t>(info.ca_state);
  out.retransmits = info.retransmits;
  out.probes = info.probes;
  out.backoff = info.backoff;
  if (info.timestamps) out.options |= kOptTimestamps;
  if (info.sack) out.options |= kOptSack;
  if (info.window_scaling) out.options |= kOptWindowScale;
  if (info.ecn) out.options |= kOptEcn;
  if (info.ecn_seen) out.options |= kOptEcnSeen;
  if (info.syn_data_acked) out.options |= kOptSynData;
  if (info.fast_open_child) out.options |= kOptFastOpenChild;
  out.delivery_flags = static_cast<std::uint8_t>(static_cast<unsigned>(info.fast_open_failure) << 1 |
                                                 (info.delivery_rate_app_limited ? 1U : 0U));
  out.wscales = static_cast<std::uint8_t>(info.snd_wscale | info.rcv_wscale << 4);
  out.rto = usec(info.rto);
  out.ato = usec(info.ato);
  out.snd_mss = info.snd_mss;
  out.rcv_mss = info.rcv_mss;
  out.unacked = info.unacked;
  out.sacked = info.sacked;
  out.lost = info.lost;
  out.retrans = info.retrans;
  out.last_data_sent = msec(info.since_data_sent);
  out.last_data_recv = msec(info.since_data_received);
  out.last_ack_recv = msec(info.since_ack_received);
  out.pmtu = info.pmtu;
  out.rcv_ssthresh = info.rcv_ssthresh;
  out.rtt = info.rtt_us;
  out.rttvar = info.rttvar_us;
  out.snd_ssthresh = info.snd_ssthresh;
  out.snd_cwnd = info.snd_cwnd;
  out.advmss = info.advmss;
  out.reordering = info.reordering;
  out.rcv_rtt = info.rcv_rtt_us;
  out.rcv_space = info.rcv_space;
  out.total_retrans = info.total_retrans;
  out.pacing_rate = info.pacing_rate;
  // ~0 of 32 bits is "no limit", which is ~0 of 64 bits here.
  out.max_pacing_rate = max_pacing_rate;
  out.bytes_acked = info.bytes_acked;
  out.bytes_received = info.bytes_received;
  out.segs_out = info.segs_out;
  out.segs_in = info.segs_in;
  out.notsent_bytes = info.notsent_bytes;
  out.min_rtt = info.min_rtt_us;
  out.data_segs_in = info.data_segs_in;
  out.data_segs_out = info.data_segs_out;
  out.delivered = info.delivered;
  out.delivered_ce = info.delivered_ce;
  out.delivery_rate = info.delivery_rate;
  out.busy_time = to_usec(info.busy);
  out.rwnd_limited = to_usec(info.receive_window_limited);
  out.sndbuf_limited = to_usec(info.send_buffer_limited);
  out.reord_seen = info.reorderings_seen;
  out.rcv_ooopack = info.out_of_order_segments;
  out.total_rto_recoveries = static_cast<std::uint16_t>(std::min<std::uint32_t>(info.rto_recoveries, 0xffff));
  out.total_rto_time = msec(info.rto_time);
  out.bytes_sent = info.bytes_sent;
  out.bytes_retrans = info.bytes_retrans;
  out.dsack_dups = info.dsack_dups;
  out.snd_wnd = info.snd_wnd;
  out.rcv_wnd = info.rcv_wnd;
  out.total_rto = static_cast<std::uint16_t>(std::min<std::uint32_t>(info.total_rto, 0xffff));
  return out;
}

}  // namespace tapir::socket
