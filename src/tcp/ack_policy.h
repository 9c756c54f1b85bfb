// SPDX-License-Identifier: Apache-2.0
// When received data is acknowledged: at once, with the second full segment, or after a short wait
// (RFC 9293 §3.8.6.3, RFC 5681 §4.2; Linux: inet_csk(sk)->icsk_ack, tcp_event_data_recv, __tcp_ack_snd_check).
#pragma once

#include <cstdint>

#include "base/time.h"
#include "tcp/knobs.h"

namespace tapir::tcp {

// Quick-ACKs at most in one budget (Linux: TCP_MAX_QUICKACKS).
inline constexpr std::uint8_t kQuickAcksMax = 16;

class AckPolicy {
 public:
  // In-order data of `bytes` arrived (Linux: tcp_event_data_recv + tcp_measure_rcv_mss); rcv_wnd in bytes.
  void on_data(std::uint32_t bytes, bool push, std::uint32_t rcv_wnd, Instant now, Duration srtt, const Knobs& knobs);
  // Out-of-order, duplicate or hole-filling data (Linux: tcp_enter_quickack_mode).
  void enter_quick(std::uint8_t budget, std::uint32_t rcv_wnd);
  // Data left us: the connection is a conversation (Linux: tcp_event_data_sent -> ping-pong).
  void on_data_sent(Instant now);
  // An ACK left us, whatever carried it (Linux: tcp_event_ack_sent): `quick` decrements the budget.
  void on_ack_sent(std::uint32_t segments);

  bool ack_owed() const { return scheduled_; }
  void schedule() { scheduled_ = true; }
  // Now, rather than at ack_deadline()? `unacked` bytes were received since the last ACK and the window could move by
  // `window_growth`-bytes test made by the caller (Linux: __tcp_ack_snd_check).
  bool due_now(std::uint32_t unacked, bool window_would_grow) const;
  bool quick() const { return quick_ > 0 && !ping_pong(); }
  bool ping_pong() const { return ping_pong_count_ >= 3; }
  // The delay of a delayed ACK from `now` (Linux: tcp_send_delayed_ack).
  Duration delay(Duration srtt, Duration rto_min, const Knobs& knobs);
  // The delayed-ACK timer fired (Linux: tcp_delack_timer_handler).
  void on_timeout(const Knobs& knobs);
  // TCP_QUICKACK: 0 delays, 1 acknowledges at once.
  void set_quickack(int value);
  bool quickack_option() const { return !ping_pong(); }
  std::uint16_t rcv_mss() const { return rcv_mss_; }         // estimate of the peer's segment size
  void set_initial_rcv_mss(std::uint16_t mss) { rcv_mss_ = mss; }
  Instant last_data_at() const { return last_data_at_; }
  Duration ato() const { return ato_; }

 private:
  Instant last_data_at_{};
  Instant last_sent_at_{};
  Duration ato_{};
  std::uint16_t rcv_mss_ = 536;
  std::uint16_t last_segment_size_ = 0;
  std::uint8_t quick_ = 0;
  std::uint8_t ping_pong_count_ = 0;
  bool scheduled_ = false;
  bool pushed_ = false;
};

}  // namespace tapir::tcp
