// SPDX-License-Identifier: Apache-2.0
// The transmission control block of one connection: RFC 9293, with what Linux adds.
//
// Order of calls: one of the open_* first. Then, in any order and each with the present `now`: on_segment() for what arrived,
// on_timeout() when next_deadline() has come, the calls of the program (write, read, …), on_error() for what ICMP or the
// neighbour table said. After any of them: take_touched(), poll_segment() until it has nothing, next_deadline().
// Input never sends: it changes what poll_segment() will answer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/seq_num.h"
#include "base/time.h"
#include "base/timer_wheel.h"
#include "frame/outgoing_frame.h"
#include "inet/delivery_error.h"
#include "inet/endpoint.h"
#include "inet/path.h"
#include "tcp/ack_policy.h"
#include "tcp/congestion.h"
#include "tcp/env.h"
#include "tcp/options.h"
#include "tcp/reassembly.h"
#include "tcp/receive_queue.h"
#include "tcp/recovery.h"
#include "tcp/rtt.h"
#include "tcp/scoreboard.h"
#include "tcp/send_buffer.h"
#include "tcp/state.h"
#include "tcp/unsent_queue.h"
#include "trace/drop_reason.h"
#include "trace/record.h"
#include "wire/tcp_segment.h"

namespace tapir::tcp {

// What happened to a connection, for those who wait on it; bits.
enum Touched : std::uint8_t {
  kTouchedReadable = 1,
  kTouchedWritable = 2,
  kTouchedError = 4,
  kTouchedHangUp = 8,      // both directions are over
  kTouchedAccepted = 16,   // on a listener: a connection is ready
  kTouchedPeerFin = 32,    // no more data will come
  kTouchedConnected = 64,
  kTouchedUrgent = 128,
};

// What a segment carries besides its TCP header.
struct SegmentContext {
  Ecn ecn = Ecn::kNotEct;
  InterfaceId interface = kNoInterface;
  std::uint16_t gso_size = 0;   // > 0: this is a super-segment (GRO) of segments of this many payload bytes
};

// What a finished handshake hands over (from a HalfOpen record, a cookie).
struct Handshake {
  FourTuple tuple;
  SeqNum iss;
  SeqNum irs;
  SeqNum snd_una;                  // normally iss + 1
  std::uint16_t peer_mss = 536;
  std::uint8_t snd_wscale = 0;     // the peer's shift
  std::uint8_t rcv_wscale = 0;     // ours
  bool window_scaling = false;
  bool timestamps = false;
  bool sack = false;
  bool ecn = false;
  std::uint32_t ts_recent = 0;
  std::uint32_t ts_offset = 0;     // added to our clock on the wire
  std::uint32_t rcv_wnd = 0;       // offered in the SYN-ACK
  std::uint32_t window_clamp = 0;
  std::uint8_t syn_ack_retransmits = 0;
  Instant syn_ack_sent_at{};       // of the (only) SYN-ACK, for the first RTT sample
};

// Timers of a connection; one table, one switch.
enum class Timer : std::uint8_t {
  kRetransmit,    // When to send again what was not acknowledged (RFC 6298)
  kProbe,         // When to ask a closed window whether it opened (RFC 9293 §3.8.6.1)
  kDelayedAck,    // When to acknowledge data that nothing else acknowledged (RFC 9293 §3.8.6.3)
  kKeepalive,     // When to ask a silent peer whether it lives (RFC 9293 §3.8.4), and when FIN-WAIT-2 of an owner ends
  kReorder,       // When to look again for losses (RFC 8985 §6.3)
  kTailProbe,     // When to send the tail again (RFC 8985 §7)
  kPace,          // When the next segment may leave
  kCompressedAck, // When to send the SACKs held back
};
inline constexpr std::size_t kTimerCount = 8;

class Connection {
 public:
  Connection(const SocketOptions& options, trace::Subject subject);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // ---- birth ----
  // Active open: a SYN is owed (RFC 9293 §3.10.1; Linux: tcp_v4_connect, tcp_connect).
  void open_active(const FourTuple& tuple, const Path& path, SeqNum iss, std::uint32_t ts_offset, Env& env, Instant now);
  // The third ACK of a passive open came (Linux: tcp_create_openreq_child). The segment that completed it goes to on_segment() next.
  void open_passive(const Handshake& handshake, const Path& path, Env& env, Instant now);

  // ---- the network ----
  // `frame` holds exactly the segment's payload (its TCP header trimmed off) and is consumed when the data is kept.
  void on_segment(const wire::TcpSegment& segment, const SegmentContext& context, Frame frame, Env& env, Instant now);
  // What the network said of something we sent; the quoted sequence number is checked here (RFC 5927 §4).
  void on_delivery_error(const DeliveryError& error, Env& env, Instant now);
  void on_path(const Path& path, Env& env, Instant now);     // a new route or path MTU
  void on_timeout(Env& env, Instant now);
  Instant next_deadline() const;
  // Something must leave before the next frame is looked at (DESIGN: due).
  bool output_due() const { return due_; }
  bool output_wanted(Env& env, Instant now) const;
  // Builds the next segment's TCP header (checksum left 0) and payload spans into `out`. False: nothing (more) to send now.
  bool poll_segment(OutgoingFrame& out, Env& env, Instant now);

  // ---- the program ----
  struct WriteFlags {
    bool more = false;           // MSG_MORE
    bool end_of_record = false;  // MSG_EOR
    bool urgent = false;         // MSG_OOB
  };
  // Takes as much as the send buffer allows (0: none: the caller would block). Only in states that may send.
  std::size_t write(Bytes data, WriteFlags flags, Env& env, Instant now);
  // True when a write would take at least a byte (Linux: sk_stream_memory_free / __sk_stream_is_writeable for readiness).
  bool may_write() const;
  bool writable() const;         // the level that poll(2) reports as POLLOUT
  std::size_t read(MutableBytes out, Env& env, Instant now);
  std::size_t peek(MutableBytes out, std::size_t offset) const;
  std::size_t discard(std::size_t count, Env& env, Instant now);   // MSG_TRUNC
  // The program closed its sending side: a FIN is owed after the data (Linux: tcp_shutdown).
  void shutdown_send(Env& env, Instant now);
  // The program will read no more: what comes is acknowledged and dropped (Linux: RCV_SHUTDOWN).
  void shutdown_receive();
  // The program let go of it (Linux: tcp_close). Unread data: RST. After it the connection is an orphan.
  void close(Env& env, Instant now);
  // A RST is owed if the state calls for one; then CLOSED (RFC 9293 §3.10.5; SO_LINGER 0, disconnect).
  void abort(CloseCause cause, Env& env, Instant now);
  // Options changed: what depends on them is looked at again.
  void on_options_changed(Env& env, Instant now);
  SocketOptions& options() { return options_; }
  const SocketOptions& options() const { return options_; }
  bool set_congestion_control(std::string_view name);
  void set_quickack(int value, Env& env, Instant now);

  // ---- what it is like ----
  State state() const { return state_; }
  const FourTuple& tuple() const { return tuple_; }
  const Path& path() const { return path_; }
  trace::Subject subject() const { return subject_; }
  bool orphan() const { return orphan_; }
  bool synchronised() const { return state_ != State::kSynSent && state_ != State::kSynReceived && state_ != State::kClosed; }
  bool receive_closed() const { return fin_received_ || receive_shutdown_; }  // read answers EOF after what is queued
  bool send_closed() const { return send_shutdown_; }
  bool peer_fin() const { return fin_received_; }
  std::size_t readable_bytes() const { return receive_queue_.size(); }
  std::size_t unsent_bytes() const { return send_buffer_.end() - snd_.nxt_data; }   // SIOCOUTQNSD
  std::size_t unacked_bytes() const { return send_buffer_.size(); }                  // SIOCOUTQ
  CloseCause cause() const { return cause_; }             // why it ended; kNone while it lives
  CloseCause take_cause();                                // SO_ERROR: read once
  CloseCause soft_cause() const { return soft_cause_; }   // what ICMP said last, if nothing ended
  Instant head_received_at() const { return receive_queue_.head_received_at(); }
  std::uint8_t take_touched() { return std::exchange(touched_, std::uint8_t{0}); }
  std::int64_t send_buffer_limit() const { return send_limit_; }
  std::int64_t receive_buffer_limit() const { return receive_limit_; }
  std::size_t memory_used() const;                        // bytes in its queues, for `ss -m` and the budget
  // FIN-WAIT-2 of an orphan, or TIME-WAIT: what the small record needs (Linux: tcp_time_wait).
  struct Remains {
    FourTuple tuple;
    SeqNum snd_nxt;
    SeqNum rcv_nxt;
    std::uint32_t rcv_wnd = 0;
    std::uint8_t rcv_wscale = 0;
    bool timestamps = false;
    std::uint32_t ts_recent = 0;
    Instant ts_recent_at{};
    std::uint32_t ts_offset = 0;
    Duration timeout{};            // FIN-WAIT-2's
    std::uint8_t tos = 0;
    bool fin_wait_2 = false;       // waits for the peer's FIN still
  };
  // Something remains to be a TimeWait record: the engine takes it, and the connection is CLOSED.
  bool wants_time_wait() const { return time_wait_owed_; }
  Remains take_remains(Env& env, Instant now);
  // Gives back all buffers and records; before destruction.
  void release(Env& env);

  // TCP_INFO's figures; socket/ lays them out. Times are Durations, counts segments.
  struct Info;
  Info info(Instant now, const Env& env) const;

  // For the engine: the entry in the wheel, the place in the output list.
  TimerEntry wheel_entry;
  std::uint32_t output_next = 0;   // index + 1
  bool in_output_list = false;
  bool attached = true;            // a socket refers to it

 private:
  friend struct ConnectionPeek;    // tests look inside

#include "tcp/connection_members.inc"
};

}  // namespace tapir::tcp
