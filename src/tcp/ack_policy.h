// SPDX-License-Identifier: Apache-2.0
// When received data is acknowledged: at once, with the second full segment, or after a short wait
// (RFC 9293 §3.8.6.3, RFC 5681 §4.2; Linux: inet_csk(sk)->icsk_ack, tcp_event_data_recv,
// __tcp_ack_snd_check).
//
// Where it is coarser than Linux: times are exact, not jiffies; a segment is measured by its payload alone,
// without the option bytes that Linux adds and takes off again; and the retransmission time-out that bounds
// `ato` is taken as srtt + rto_min (1 s before a sample), which is Linux's value while the variance stays
// under rto_min.
#pragma once

#include <cstdint>

#include "base/stamp.h"
#include "base/time.h"
#include "tcp/knobs.h"

namespace tapir::tcp {

// Quick-ACKs at most in one budget (Linux: TCP_MAX_QUICKACKS).
inline constexpr std::uint8_t kQuickAcksMax = 16;
// Replies within `ato` of received data after which a connection counts as a conversation (Linux ≥ 6.7:
// tcp_pingpong_thresh).
inline constexpr std::uint8_t kPingPongThreshold = 1;
// The least expected gap between segments (Linux: TCP_ATO_MIN).
inline constexpr Duration kAtoMin = 40ms;

// Bytes; the peer's segments are never taken for smaller (Linux: TCP_MIN_MSS).
inline constexpr std::uint16_t kRcvMssMin = 88;

class AckPolicy {
 public:
  // Data arrived, in order or not (Linux: tcp_measure_rcv_mss). `bytes`: payload of one segment (of a
  // super-segment, its gso size), at most the MSS we advertised; `push`: PSH is set.
  void measure(std::uint32_t bytes, bool push);
  // In-order data arrived and was measured (Linux: tcp_event_data_recv): an ACK is owed. rcv_wnd in bytes;
  // srtt zero: no sample.
  void on_data(std::uint32_t rcv_wnd, Instant now, Duration srtt, const Knobs& knobs);
  // Out-of-order, duplicate or hole-filling data (Linux: tcp_enter_quickack_mode).
  void enter_quick(std::uint8_t budget, std::uint32_t rcv_wnd);
  // The SYN-ACK of an active open counts as the first thing received (Linux: tcp_finish_connect).
  void on_connected(Instant now) { last_data_at_ = now; }
  // Data left us: within `ato` of what came last, the connection is a conversation (Linux:
  // tcp_event_data_sent).
  void on_data_sent(Instant now);
  // An ACK left us, whatever carried it (Linux: tcp_event_ack_sent): nothing is owed, and if something was,
  // `segments` of the quick-ACK budget are spent (1 as Linux ≥ 6.7 counts).
  void on_ack_sent(std::uint32_t segments);

  bool ack_owed() const { return scheduled_; }
  void schedule() { scheduled_ = true; }
  // Now, rather than at a delayed-ACK deadline? `unacked` bytes were received since the last ACK;
  // `window_would_grow`: the window would move on by as much, or the program waits for more (Linux:
  // __tcp_ack_snd_check).
  bool due_now(std::uint32_t unacked, bool window_would_grow) const;
  // The program read: is the ACK owed due now (Linux: tcp_cleanup_rbuf)? `drained`: nothing is left to read.
  bool due_after_read(std::uint32_t unacked, bool read_any, bool drained) const;
  bool quick() const { return quick_ > 0 && !ping_pong(); }
  std::uint8_t quick_budget() const { return quick_; }
  bool ping_pong() const { return ping_pong_count_ >= kPingPongThreshold; }
  // The delay of a delayed ACK from `now` (Linux: tcp_send_delayed_ack). A deadline set before that is
  // earlier stays.
  Duration delay(Duration srtt, Duration rto_min, const Knobs& knobs) const;
  // A delayed ACK is asked for while a deadline stands: it is so near that the ACK leaves now (Linux:
  // tcp_send_delayed_ack).
  static bool nearly_due(Instant deadline, Instant now, Duration delay) {
    return deadline <= now + delay / 4;
  }
  // The delayed-ACK timer fired with an ACK owed (Linux: tcp_delack_timer_handler).
  void on_timeout(const Knobs& knobs);
  // TCP_QUICKACK (Linux: __tcp_sock_set_quickack): 0 delays (ping-pong mode), odd values leave that mode,
  // even ones leave it for the ACK now owed alone. True: an ACK is owed and leaves now if nothing is unread.
  bool set_quickack(int value);
  bool quickack_option() const { return !ping_pong(); }
  // A conversation from the start (Linux: inet_csk_enter_pingpong_mode).
  void enter_ping_pong() { ping_pong_count_ = kPingPongThreshold; }
  std::uint16_t rcv_mss() const { return rcv_mss_; }  // estimate of the peer's segment size
  void set_initial_rcv_mss(std::uint16_t mss) { rcv_mss_ = mss; }
  Instant last_data_at() const { return last_data_at_; }  // of in-order data
  Duration ato() const { return ato_; }  // expected gap between segments; zero before any data

 private:
  void raise_quick(std::uint8_t budget, std::uint32_t rcv_wnd);

  Instant last_data_at_{};
  ShortDuration ato_{};
  ShortDuration rto_{1s};  // as the last data saw it
  std::uint16_t rcv_mss_ = 536;
  std::uint16_t last_segment_size_ = 0;  // of the last segment that may have been a full one; 0: it was not
  std::uint8_t quick_ = 0;               // ACKs still to be sent at once
  std::uint8_t ping_pong_count_ = 0;
  std::uint8_t pushes_ =
      0;  // small or pushed segments since the last ACK, at most 2 (ICSK_ACK_PUSHED, PUSHED2)
  bool scheduled_ = false;
};

}  // namespace tapir::tcp
