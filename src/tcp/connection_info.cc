// SPDX-License-Identifier: Apache-2.0
// What a connection tells of itself: TCP_INFO's figures (Linux: tcp_get_info).
#include "tcp/connection_info.h"

#include <algorithm>

#include "tcp/connection.h"

namespace tapir::tcp {

ConnectionInfo Connection::info(Instant now) const {
  ConnectionInfo i;
  i.state = state_;
  i.ca_state = busy_->recovery.state();
  i.retransmits = retransmits_;
  i.probes = probes_out_;
  i.backoff = backoff_;
  i.timestamps = timestamps_;
  i.sack = sack_;
  i.window_scaling = window_scaling_;
  i.snd_wscale = snd_.wscale;
  i.rcv_wscale = rcv_.wscale;
  i.rto = rto_.value();
  i.ato = ack_policy_.ato();
  // Linux reckons with the signatures of a passive connection only when it cuts segments.
  i.snd_mss = static_cast<std::uint16_t>(snd_.mss + (passive_ && signs() ? kMd5OptionBytes : 0));
  i.rcv_mss = ack_policy_.rcv_mss();
  i.advmss = rcv_.advmss;
  i.unacked = busy_->scoreboard.packets_out();
  i.sacked = busy_->scoreboard.sacked_out();
  i.lost = busy_->scoreboard.lost_out();
  i.retrans = busy_->scoreboard.retrans_out();
  i.reordering = loss_memory_.reordering;
  i.since_data_sent = now - last_sent_at_;
  i.since_data_received = now - std::max(ack_policy_.last_data_at(), opened_at_.at(now));
  i.since_ack_received = last_received_at_.age(now);
  i.pmtu = path_->mtu;
  i.rcv_ssthresh = rcv_.ssthresh;
  i.rtt_us = rtt_.srtt_us8() >> 3;
  i.rttvar_us = rtt_.mdev_us();
  i.rcv_rtt_us = sizing_.rtt_us;
  i.rcv_space = sizing_.space;
  i.min_rtt_us =
      rtt_.min_rtt() == Duration::max() ? 0xffffffffU : static_cast<std::uint32_t>(to_usec(rtt_.min_rtt()));
  i.snd_ssthresh = window_.ssthresh;
  i.snd_cwnd = window_.cwnd;
  i.total_retrans = total_retransmits_;
  i.pacing_rate = window_.pacing_rate;
  i.bytes_acked = bytes_acked_;
  i.bytes_received = bytes_received_;
  i.bytes_sent = bytes_sent_;
  i.bytes_retrans = bytes_retransmitted_;
  i.segs_out = segments_out_;
  i.segs_in = segments_in_;
  i.data_segs_in = data_segments_in_;
  i.data_segs_out = data_segments_out_;
  i.notsent_bytes = static_cast<std::uint32_t>(unsent_bytes());
  i.delivered = rate_.delivered();
  i.delivered_ce = rate_.delivered_ce();
  i.delivery_rate = rate_.rate(snd_.mss);
  i.delivery_rate_app_limited = rate_.app_limited();
  i.reorderings_seen = loss_memory_.reorderings;
  i.out_of_order_segments = out_of_order_segments_;
  i.rto_recoveries = rto_recoveries_;
  i.rto_time = std::chrono::milliseconds(rto_time_ms_);
  i.ecn = ecn_.on;
  i.ecn_seen = ecn_.seen_ect;
  i.busy = chronograph_.busy(now);
  i.receive_window_limited = chronograph_.of(Chronograph::What::kReceiveWindow, now);
  i.send_buffer_limited = chronograph_.of(Chronograph::What::kSendBuffer, now);
  i.syn_data_acked = has_mark(kSynDataAcked);
  i.fast_open_child = has_mark(kFastOpenChild);
  i.fast_open_failure = fast_open_failure_;
  i.dsack_dups = dsack_dups_;
  i.snd_wnd = snd_.wnd;
  i.rcv_wnd = rcv_.wnd;
  i.total_rto = total_rto_;
  i.congestion_control = control_->name();
  if (state_ != State::kSynSent) return i;
  // Nothing is agreed yet, and of the peer no more is known than that it is TCP (RFC 9293 §3.7.1), if no
  // earlier connection told it.
  i.timestamps = i.sack = i.window_scaling = false;
  i.rcv_mss = kRcvMssMin;
  if (!has_mark(kSynData))
    i.snd_mss = std::min<std::uint16_t>(
        i.snd_mss, static_cast<std::uint16_t>(536 - (timestamps_ ? kTimestampBytes : 0)));
  return i;
}

}  // namespace tapir::tcp
