// SPDX-License-Identifier: Apache-2.0
// net.ipv4.tcp_*: names and defaults are Linux's. One per stack; read at the moment of use.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "frame/outgoing_frame.h"
#include "tcp/fastopen_key.h"

namespace tapir::tcp {

struct Knobs {
  // handshake
  int tcp_syn_retries = 6;
  int tcp_synack_retries = 5;
  int tcp_syn_linear_timeouts = 4;
  int tcp_max_syn_backlog = 2048;
  int tcp_syncookies = 1;
  int tcp_abort_on_overflow = 0;
  int somaxconn = 4096;  // net.core.somaxconn
  int tcp_migrate_req = 0;
  int tcp_fastopen = 1;  // kFastOpen* bits
  int tcp_fastopen_blackhole_timeout_sec = 0;
  std::optional<FastOpenKeys> tcp_fastopen_key;  // none: chosen when a listener first needs one
  // retransmission
  int tcp_retries1 = 3;
  int tcp_retries2 = 15;
  int tcp_orphan_retries = 0;
  Duration rto_min = 200ms;  // tcp_rto_min_us
  Duration rto_max = 120s;   // tcp_rto_max_ms
  int tcp_thin_linear_timeouts = 0;
  int tcp_early_retrans = 3;
  int tcp_recovery = 1;
  int tcp_reordering = 3;
  int tcp_max_reordering = 300;
  int tcp_frto = 2;
  int tcp_retrans_collapse = 1;
  // options
  int tcp_timestamps = 1;
  int tcp_window_scaling = 1;
  int tcp_sack = 1;
  int tcp_dsack = 1;
  int tcp_ecn = 2;
  int tcp_ecn_fallback = 1;
  // closing
  int tcp_fin_timeout = 60;  // seconds
  int tcp_max_orphans = 131072;
  int tcp_max_tw_buckets = 131072;
  int tcp_tw_reuse = 2;
  int tcp_tw_reuse_delay = 1000;  // ms
  int tcp_rfc1337 = 0;
  int tcp_stdurg = 0;
  // keepalive
  int tcp_keepalive_time = 7200;
  int tcp_keepalive_intvl = 75;
  int tcp_keepalive_probes = 9;
  // windows and memory
  std::array<std::int64_t, 3> tcp_rmem = {4096, 131072, 33554432};
  std::array<std::int64_t, 3> tcp_wmem = {4096, 16384, 4194304};
  std::array<std::int64_t, 3> tcp_mem = {65536, 87381,
                                         131072};  // pages of 4096; the stack sets them from its budget
  std::int64_t rmem_max = 4194304;                 // net.core.rmem_max
  std::int64_t wmem_max = 4194304;                 // net.core.wmem_max
  int tcp_adv_win_scale = 1;                       // used while a socket has no measured scaling ratio
  int tcp_moderate_rcvbuf = 1;
  int tcp_app_win = 31;
  int tcp_workaround_signed_windows = 0;
  int tcp_shrink_window = 0;
  // sending
  std::string tcp_congestion_control = "cubic";
  int cubic_hystart = 1;            // tcp_cubic.hystart: leave slow start before a loss
  int cubic_hystart_detect = 3;     // tcp_cubic.hystart_detect: 1 ACK trains, 2 delays
  int cubic_hystart_plus_plus = 0;  // tcp_cubic.hystart_plus_plus: RFC 9406's in place of Linux's
  bool fair_queue = false;  // net.core.default_qdisc is fq: every connection is paced, as that queue would
  int tcp_slow_start_after_idle = 1;
  int tcp_no_metrics_save = 0;
  int tcp_min_tso_segs = 2;
  int tcp_tso_win_divisor = 3;
  int tcp_tso_rtt_log = 9;
  int tcp_gso_max_size = static_cast<int>(
      kSuperSegmentMax);  // tapir's own: bytes of the largest super-segment; the device's limit holds too
  int tcp_tso_defer_cwnd =
      16;  // tapir's own: segments; a smaller window waits for no larger super-segment. Linux: 0
  int tcp_grow_segments = 1;  // tapir's own: a super-segment takes from the next write what completes it, as
                              // Linux does since 6.10
  int tcp_record_charge =
      832;  // tapir's own: bytes of the send buffer that a record costs besides its payload, Linux's truesize
  int tcp_pacing_ss_ratio = 200;
  int tcp_pacing_ca_ratio = 120;
  std::uint32_t tcp_notsent_lowat = 0xffffffff;
  std::int64_t tcp_limit_output_bytes = 4194304;
  int tcp_autocorking = 1;
  // limits against abuse
  Duration tcp_invalid_ratelimit = 500ms;
  int tcp_paws_window =
      1000;  // tapir's own: ms that a reordered segment's timestamp may be behind; Linux: 1 (TCP_PAWS_WINDOW)
  int tcp_challenge_ack_limit = 0x7fffffff;
  // acknowledging
  Duration tcp_comp_sack_delay = 1ms;
  Duration tcp_comp_sack_slack = 100us;
  int tcp_comp_sack_nr = 44;
  Duration tcp_delack_min = 40ms;   // TCP_DELACK_MIN
  Duration tcp_delack_max = 200ms;  // TCP_DELACK_MAX
  // path MTU
  int tcp_mtu_probing = 0;
  int tcp_base_mss = 1024;
  int tcp_min_snd_mss = 48;
  int tcp_mtu_probe_floor = 48;  // bytes of MSS below which no search goes
  int tcp_probe_interval = 600;  // seconds
  int tcp_probe_threshold = 8;   // bytes: a search this narrow is over
  // ports
  std::array<int, 2> ip_local_port_range = {32768, 60999};
  int ip_unprivileged_port_start = 1024;
};

// The same by their names below /proc/sys, with dots: "net.ipv4.tcp_syn_retries", "net.core.somaxconn".
// The value as Linux prints it, the numbers of a vector separated by tabs; an error is one sentence.
std::expected<std::string, std::string> knob_get(const Knobs& knobs, std::string_view name);
// Takes what Linux's sysctl of that name takes: its unit, its range; a vector may be given in part, from its
// first number on.
std::expected<void, std::string> knob_set(Knobs& knobs, std::string_view name, std::string_view value);
// All names, sorted; those that cannot be set are among them.
std::vector<std::string_view> knob_names();

}  // namespace tapir::tcp
