// SPDX-License-Identifier: Apache-2.0
// A connection whose SYN was answered and whose handshake is not finished: all that a stranger can make us
// remember (Linux: request_sock, tcp_check_req, reqsk_timer_handler).
#pragma once

#include <cstdint>

#include "base/seq_num.h"
#include "base/time.h"
#include "base/timer_wheel.h"
#include "inet/endpoint.h"
#include "tcp/connection.h"
#include "tcp/initial_window.h"
#include "tcp/knobs.h"
#include "trace/counters.h"
#include "wire/tcp_segment.h"

namespace tapir::tcp {

struct HalfOpen {
  // What the SYN asked for and the knobs allow (Linux: tcp_parse_options, tcp_openreq_init,
  // tcp_ecn_create_request).
  static HalfOpen from_syn(const wire::TcpSegment& syn, const FourTuple& tuple, InterfaceId interface,
                           Ecn ecn, std::uint16_t user_mss, const Knobs& knobs);

  // What an arriving segment means for it.
  struct Verdict {
    enum class Kind : std::uint8_t {
      kDrop,         // nothing to do
      kSynAck,       // send the SYN-ACK again and start its timer anew
      kAck,          // out of window: send ack(), drop
      kListener,     // not for it: the listener looks at it (a cookie, or a RST)
      kResetAndEnd,  // send a RST; it ends
      kEnd,          // it ends
      kComplete,     // the handshake is finished, if the accept queue has room
    } kind = Kind::kDrop;
    trace::DropReason reason = trace::DropReason::kNone;
  };
  // In tcp_check_req's order. `ts_offset`: timestamp_offset() of the tuple, 0 where none is used;
  // `defer_accept`: the listener's.
  Verdict on_segment(const wire::TcpSegment& segment, std::uint32_t ts_offset, std::uint8_t defer_accept,
                     const Knobs& knobs, trace::Counters& counters, Instant now);

  struct TimerVerdict {
    bool expire = false;
    bool resend = false;
  };
  // When the SYN-ACK was not answered in time (Linux: syn_ack_recalc). `retries`: the listener's.
  TimerVerdict on_timer(int retries, std::uint8_t defer_accept) const;
  // Until the next timer.
  Duration timeout(const Knobs& knobs) const;

  // `ts_value`: our timestamp as it goes out.
  wire::TcpSegment syn_ack(std::uint32_t ts_value) const;
  wire::TcpSegment ack(std::uint32_t ts_value) const;
  Handshake handshake(std::uint32_t ts_offset) const;
  // The window of the SYN-ACK, and its shift.
  void set_window(const InitialWindow& window) {
    rcv_wnd = window.rcv_wnd;
    window_clamp = window.window_clamp;
    rcv_wscale = window.wscale;
  }

  FourTuple tuple;
  InterfaceId interface = kNoInterface;  // the SYN came over it
  std::uint16_t peer_mss = 536;
  TimerEntry timer;           // owner: its index
  Instant syn_ack_sent_at{};  // the last time
  SeqNum iss;
  SeqNum irs;
  std::uint32_t ts_recent = 0;
  std::uint32_t first_ts_value = 0;  // TSval of the first SYN-ACK
  std::uint32_t rcv_wnd = 0;         // bytes
  std::uint32_t window_clamp = 0;
  std::uint32_t last_answer_ms = 0;  // when it last answered what needed no answer; 0: never
  std::uint32_t listener = 0;        // index
  std::uint32_t prev =
      0;  // index + 1: neighbours among the listener's. With kFastOpen it is in no list: syn_data()
  std::uint32_t next = 0;
  std::uint16_t announced_mss = 536;  // in the SYN-ACK
  std::uint8_t snd_wscale = 0;        // the peer's shift
  std::uint8_t rcv_wscale = 0;        // ours
  std::uint8_t timeouts = 0;          // of the timer (Linux: num_timeout)
  std::uint8_t retransmits = 0;       // SYN-ACKs sent again, whatever for (Linux: num_retrans)
  std::uint8_t flags = 0;             // of Flag
  enum Flag : std::uint8_t {
    kTimestamps = 1,
    kSack = 2,
    kWindowScaling = 4,
    kEcn = 8,
    kAcked = 16,     // the ACK came and could not be taken yet
    kOffset = 32,    // our timestamps carry timestamp_offset()
    kFastOpen = 64,  // a Connection exists already: FastOpenRequest
  };
  // Bytes of the SYN's data that were taken (Fast Open).
  std::uint32_t syn_data() const { return has(kFastOpen) ? prev : 0; }
  void set_syn_data(std::uint32_t bytes) { prev = bytes; }
  SeqNum rcv_nxt() const { return irs + 1 + syn_data(); }
  bool has(Flag flag) const { return (flags & flag) != 0; }

 private:
  std::uint32_t window() const { return rcv_wnd < 65535 ? rcv_wnd : 65535; }
};
// What a peer may cost at most before its handshake ends.
static_assert(sizeof(HalfOpen) <= 128);

// Whether another answer to what needs none may go out at `now`; remembers it if so (Linux:
// tcp_oow_rate_limited). Segments with data and without SYN cannot be part of a loop of ACKs and are always
// answered.
bool answer_allowed(std::uint32_t& last_ms, const wire::TcpSegment& segment, trace::Counter skipped,
                    const Knobs& knobs, trace::Counters& counters, Instant now);

}  // namespace tapir::tcp
