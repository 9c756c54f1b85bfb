// SPDX-License-Identifier: Apache-2.0
// How fast the network delivers: one sample per ACK (draft-ietf-ccwg-bbr §4.1; Linux: net/ipv4/tcp_rate.c).
//
//   sent ---|== send phase ==|            the slower of the two phases bounds the rate
//   acked        |==== ACK phase ====|
#pragma once

#include <cstdint>

#include "base/time.h"
#include "tcp/scoreboard.h"

namespace tapir::tcp {

class DeliveryRate {
 public:
  // What one ACK tells; interval zero: nothing.
  struct Sample {
    std::uint32_t delivered = 0;  // segments delivered over the interval
    Duration interval{};
    bool app_limited = false;
    bool retransmitted = false;
  };
  // Of the window in flight; nothing of it is missed once nothing is.
  struct Flight {
    Instant delivered_at{};   // of the last ACK that delivered anything
    Instant first_sent_at{};  // when the window began to leave
  };
  // `t` is about to leave; `first`: nothing else is in flight.
  void on_sent(Transmission& t, bool first, Flight& flight, Instant now) const;
  // After Scoreboard::apply(). `newly`: segments this ACK says arrived; `ece`: it says so with ECE;
  // `reneged`: it is not to be believed.
  Sample on_ack(const AckSummary& summary, std::uint32_t newly, bool ece, bool reneged, Duration min_rtt,
                Flight& flight, Instant now);
  // The program has less than a segment to send and nothing else holds the sender back; `in_flight` segments.
  void on_application_limited(std::uint32_t in_flight);
  // The handshake's SYN-ACK, which no record stands for, counts as delivered (Linux: tcp_rcv_state_process).
  void on_handshake() { ++delivered_; }
  // Two records were one segment on the wire: a SYN and its data.
  void discount() { delivered_ -= delivered_ > 1 ? 1U : 0U; }

  std::uint32_t delivered() const { return delivered_; }  // segments ever; tcpi_delivered
  std::uint32_t delivered_ce() const { return delivered_ce_; }
  bool app_limited() const { return rate_app_limited_; }  // of the rate below
  // Bytes per second, of segments of `mss`; 0: no sample (Linux: tcp_compute_delivery_rate).
  std::uint64_t rate(std::uint16_t mss) const;

 private:
  std::uint32_t delivered_ = 0;
  std::uint32_t delivered_ce_ = 0;
  // delivered_ beyond which the pause of the program is past; 0: there is none. A connection begins with one
  // (Linux: tcp_init_sock).
  std::uint32_t limited_until_ = 0xffffffff;
  std::uint32_t rate_delivered_ = 0;  // the last rate not limited by the program, or the largest
  std::uint32_t rate_interval_us_ = 0;
  bool rate_app_limited_ = true;
};

}  // namespace tapir::tcp
