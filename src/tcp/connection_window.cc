// SPDX-License-Identifier: Apache-2.0
// The window we offer, and the buffer behind it: it opens as the program reads, grows with what it reads per
// round trip, and what was offered is never taken back (RFC 9293 §3.8.6.2.2; Linux: __tcp_select_window,
// tcp_grow_window, tcp_rcv_space_adjust).
#include <algorithm>

#include "tcp/connection.h"

namespace tapir::tcp {

using trace::Counter;
using namespace wire;

namespace {

// No clamp is smaller (Linux: SOCK_MIN_RCVBUF / 2).
constexpr std::uint32_t kWindowClampMin = 1152;

// The buffer in which a window of `wanted` bytes fits, as far as tcp_rmem allows (Linux: tcp_rcvbuf_grow).
std::int32_t buffer_for(std::uint64_t wanted, std::uint32_t scaling_ratio, const Knobs& knobs) {
  return static_cast<std::int32_t>(
      std::min<std::uint64_t>(wanted * 256 / scaling_ratio, static_cast<std::uint64_t>(knobs.tcp_rmem[2])));
}

}  // namespace

std::uint32_t Connection::window_from_space(std::int64_t space) const {
  if (space <= 0) return 0;
  return static_cast<std::uint32_t>(std::min<std::int64_t>(space * scaling_ratio_ / 256, 0x3fffffff));
}

std::int64_t Connection::receive_space() const {
  return receive_limit_ -
         static_cast<std::int64_t>(busy_->receive_queue.true_size() + busy_->reassembly.true_size());
}

std::uint32_t Connection::receive_window() const {
  const SeqNum right_edge = rcv_.wup + rcv_.wnd;
  return right_edge > rcv_.nxt ? right_edge - rcv_.nxt : 0;
}

// Linux: tcp_init_buffer_space's clamps, once the options are known.
void Connection::set_up_receive_window(std::uint32_t rcv_wnd, std::uint32_t window_clamp,
                                       const Knobs& knobs) {
  const std::uint32_t full = window_from_space(receive_limit_);
  // Of a connection that was accepted timestamps are taken off it only later.
  const std::uint32_t advmss = rcv_.advmss - (timestamps_ && passive_ ? kTimestampBytes : 0U);
  rcv_.wnd = rcv_wnd;
  rcv_.window_clamp = window_clamp;
  if (rcv_.window_clamp >= full) {
    rcv_.window_clamp = full;
    // tcp_app_win: a share of the buffer that is the program's alone; at 31, the default, none.
    const int share = std::clamp(knobs.tcp_app_win, 0, 31);
    if (share != 0 && full > 4 * advmss) rcv_.window_clamp = std::max(full - (full >> share), 4 * advmss);
  }
  // One segment stays in reserve, so that the last one before a full buffer is not lost.
  if (knobs.tcp_app_win != 0 && rcv_.window_clamp > 2 * advmss && rcv_.window_clamp + advmss > full) {
    rcv_.window_clamp = std::max(2 * advmss, full > advmss ? full - advmss : 0);
  }
  rcv_.ssthresh = std::min(rcv_wnd, rcv_.window_clamp);
  sizing_.rtt_seq = rcv_.nxt + rcv_.wnd;
}

// In bytes, a multiple of the scale's unit. Notes that it was offered.
std::uint32_t Connection::choose_window(Env& env) {
  const std::uint32_t offered = receive_window();
  const std::uint32_t unit = std::uint32_t{1} << rcv_.wscale;
  std::uint32_t segment = ack_policy_.rcv_mss();
  const std::uint32_t allowed = window_from_space(receive_limit_);
  const std::uint32_t full = std::min(rcv_.window_clamp, allowed);
  segment = std::min(segment, full);
  std::uint32_t free = window_from_space(receive_space());
  std::uint32_t window = 0;
  bool closed = segment == 0;
  if (!closed && free < full / 2) {
    free = free / unit * unit;
    // Less than a segment, or next to nothing of a large buffer, is not worth a silly window (RFC 9293
    // §3.8.6.2.2).
    closed = free < allowed / 16 || free < segment;
  }
  if (!closed) {
    free = std::min(free, rcv_.ssthresh);
    if (rcv_.wscale != 0) {
      window = (free + unit - 1) / unit * unit;
    } else {
      window = rcv_.wnd;
      if (window + segment <= free || window > free)
        window = free / segment * segment;
      else if (segment == full && free > window + full / 2)
        window = free;
    }
  }
  if (window < offered) {  // never take back
    if (window == 0) env.counters.add(Counter::kTcpExtTCPWantZeroWindowAdv);
    window = (offered + unit - 1) / unit * unit;
  }
  const std::uint32_t before = rcv_.wnd;
  rcv_.wnd = window;
  rcv_.wup = rcv_.nxt;
  const std::uint32_t most = std::uint32_t{65535} << rcv_.wscale;
  window = std::min(window, most);
  if (window == 0 && before != 0)
    env.counters.add(Counter::kTcpExtTCPToZeroWindowAdv);
  else if (window != 0 && before == 0)
    env.counters.add(Counter::kTcpExtTCPFromZeroWindowAdv);
  return window;
}

// A peer that sends full segments is offered more, step by step, up to what the buffer could take (Linux:
// tcp_grow_window).
void Connection::grow_receive_window(std::uint32_t payload, std::size_t true_size, Env& env) {
  if (env.memory_pressure()) return;
  // What is out of order waits for a round trip more than the program reads in one.
  if (!busy_->reassembly.empty() && !orphan_ && env.knobs.tcp_moderate_rcvbuf != 0 &&
      options_->receive_buffer == 0) {
    const std::uint64_t wanted =
        2 * std::uint64_t{sizing_.space} + (busy_->reassembly.highest_end() - rcv_.nxt);
    if (const std::int32_t buffer = buffer_for(wanted, scaling_ratio_, env.knobs); buffer > receive_limit_) {
      receive_limit_ = buffer;
      if (options_->window_clamp == 0) rcv_.window_clamp = window_from_space(buffer);
    }
  }
  const std::uint32_t target = std::min(rcv_.window_clamp, window_from_space(receive_space()));
  if (rcv_.ssthresh >= target) return;
  // Frames that cost much more than they carry do not earn window: the buffer would run over (the rule is
  // Linux's, by true size).
  const bool dense = true_size <= std::size_t{payload} * 4 + 1024;
  const std::uint32_t step = dense ? std::max<std::uint32_t>(2U * rcv_.advmss, 2 * payload) : 0;
  rcv_.ssthresh += std::min(step, target - rcv_.ssthresh);
}

// What one segment tells of the peer's segments and of what they cost (Linux: tcp_measure_rcv_mss).
void Connection::measure_segment(std::uint32_t segment_size, std::uint32_t payload, std::size_t true_size,
                                 bool push) {
  measure_scaling_ratio(segment_size, payload, true_size);
  ack_policy_.measure(std::min<std::uint32_t>(segment_size, rcv_.advmss), push);
}

// How much of a buffer is payload, by the largest segment seen so far: the buffer makes so much window
// (Linux: tcp_measure_rcv_mss, tcp_set_window_clamp).
void Connection::measure_scaling_ratio(std::uint32_t segment_size, std::uint32_t payload,
                                       std::size_t true_size) {
  if (segment_size <= ack_policy_.rcv_mss() || true_size == 0) return;
  // A frame of the next class, of which little is used, says nothing of a queue of them: it is copied to what
  // it holds (frame/). A ratio of an eighth would leave a small buffer a window that no segment of its peer
  // fits.
  true_size = std::min(true_size, std::size_t{2} * payload + 512);
  const auto ratio =
      static_cast<std::uint8_t>(std::clamp<std::size_t>(std::size_t{payload} * 256 / true_size, 1, 255));
  if (ratio == scaling_ratio_) return;
  scaling_ratio_ = ratio;
  const std::uint32_t clamp = std::max(window_from_space(receive_limit_), kWindowClampMin);
  if (options_->window_clamp != 0) return;
  if (clamp < rcv_.window_clamp)
    rcv_.ssthresh = std::min(rcv_.ssthresh, clamp);
  else
    rcv_.ssthresh = std::max(rcv_.ssthresh, std::min(rcv_.wnd, clamp));
  rcv_.window_clamp = clamp;
  sizing_.space = std::min(sizing_.space, clamp);
}

// The receiver's own estimate of the round trip: by echoed timestamps, else by how long a window takes to
// arrive.
void Connection::measure_receive_rtt(const TcpSegment& segment, Instant now) {
  if (segment.payload.empty()) return;
  if (timestamps_ && segment.options.timestamps && segment.options.timestamps->echo != 0) {
    const std::uint32_t elapsed =
        std::max<std::uint32_t>(timestamp_clock(now) - segment.options.timestamps->echo, 1);
    if (elapsed > 0x7fffffffU / 1000) return;
    const std::uint32_t sample = elapsed * 1000;
    sizing_.rtt_us = sizing_.rtt_us == 0 ? sample
                                         : std::min(sizing_.rtt_us - (sizing_.rtt_us >> 3) + (sample >> 3),
                                                    std::max(sizing_.rtt_us, sample));
    return;
  }
  if (!sizing_.rtt_began.set()) {
    sizing_.rtt_began = StampUs(now);
    sizing_.rtt_seq = rcv_.nxt + rcv_.wnd;
    return;
  }
  if (rcv_.nxt < sizing_.rtt_seq) return;
  const auto sample =
      static_cast<std::uint32_t>(std::max<std::uint64_t>(to_usec(sizing_.rtt_began.age(now)), 1));
  sizing_.rtt_us = sizing_.rtt_us == 0 ? sample : std::min(sizing_.rtt_us, sample);
  sizing_.rtt_began = StampUs(now);
  sizing_.rtt_seq = rcv_.nxt + rcv_.wnd;
}

// Once per round trip: the window shall be twice what the program read in the last one, and as much more as
// that had grown.
void Connection::adjust_receive_space(Env& env, Instant now) {
  if (sizing_.rtt_us == 0 || sizing_.began.age(now) < std::chrono::microseconds(sizing_.rtt_us)) return;
  const std::uint32_t copied = rcv_.copied - sizing_.seq;
  if (copied > sizing_.space) {
    std::uint64_t wanted = 2 * std::uint64_t{copied};
    wanted += 2 * (wanted * (copied - sizing_.space) / std::max<std::uint32_t>(sizing_.space, 1));
    if (!busy_->reassembly.empty()) wanted += busy_->reassembly.highest_end() - rcv_.nxt;
    const std::int32_t buffer = buffer_for(wanted, scaling_ratio_, env.knobs);
    if (buffer > receive_limit_ && env.knobs.tcp_moderate_rcvbuf != 0 && options_->receive_buffer == 0 &&
        !env.memory_pressure()) {
      receive_limit_ = buffer;
      if (options_->window_clamp == 0) rcv_.window_clamp = window_from_space(buffer);
    }
    sizing_.space = copied;
  }
  sizing_.seq = rcv_.copied;
  sizing_.began = StampUs(now);
}

// The program read: tell the peer when the window opens by what is worth telling (Linux: tcp_cleanup_rbuf).
void Connection::offer_after_read() {
  if (state_ == State::kClosed || fin_received_) return;
  if (ack_policy_.due_after_read(rcv_.nxt - rcv_.wup, true, busy_->receive_queue.empty())) {
    ack_now_ = true;
    return;
  }
  const std::uint32_t offered = receive_window();
  if (2 * offered > rcv_.window_clamp) return;
  const std::uint32_t possible =
      std::min({window_from_space(receive_space()), rcv_.window_clamp, rcv_.ssthresh});
  if (possible != 0 && possible >= 2 * offered) ack_now_ = true;
}

}  // namespace tapir::tcp
