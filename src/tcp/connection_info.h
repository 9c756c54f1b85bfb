// SPDX-License-Identifier: Apache-2.0
// What a connection tells of itself: TCP_INFO's figures, which socket/ lays out. Counts are segments (Linux:
// tcp_get_info).
#pragma once

#include <cstdint>
#include <string_view>

#include "base/time.h"
#include "tcp/recovery.h"
#include "tcp/state.h"

namespace tapir::tcp {

struct ConnectionInfo {
  State state{};
  CaState ca_state{};
  std::uint8_t retransmits = 0, probes = 0, backoff = 0;
  bool timestamps = false, sack = false, window_scaling = false;
  std::uint8_t snd_wscale = 0, rcv_wscale = 0;
  Duration rto{}, ato{};
  std::uint16_t snd_mss = 0, rcv_mss = 0, advmss = 0;
  std::uint32_t unacked = 0, sacked = 0, lost = 0, retrans = 0, reordering = 0;
  Duration since_data_sent{}, since_data_received{}, since_ack_received{};
  std::uint32_t pmtu = 0, rcv_ssthresh = 0;
  std::uint32_t rtt_us = 0, rttvar_us = 0, rcv_rtt_us = 0, rcv_space = 0, min_rtt_us = 0;
  std::uint32_t snd_ssthresh = 0, snd_cwnd = 0;
  std::uint32_t total_retrans = 0;
  std::uint64_t pacing_rate = 0, bytes_acked = 0, bytes_received = 0, bytes_sent = 0, bytes_retrans = 0;
  std::uint32_t segs_out = 0, segs_in = 0, data_segs_in = 0, data_segs_out = 0, notsent_bytes = 0;
  bool syn_data_acked = false, fast_open_child = false;
  FastOpenFailure fast_open_failure = FastOpenFailure::kNone;
  std::uint32_t delivered = 0, dsack_dups = 0, snd_wnd = 0, rcv_wnd = 0, total_rto = 0;
  std::uint32_t delivered_ce = 0, reorderings_seen = 0, out_of_order_segments = 0, rto_recoveries = 0;
  std::uint64_t delivery_rate = 0;  // bytes per second
  bool delivery_rate_app_limited = false, ecn = false, ecn_seen = false;
  Duration busy{}, receive_window_limited{}, send_buffer_limited{}, rto_time{};
  std::string_view congestion_control;
};

}  // namespace tapir::tcp
