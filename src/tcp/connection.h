// SPDX-License-Identifier: Apache-2.0
// The transmission control block of one connection: RFC 9293, with what Linux adds.
//
// Order of calls: one of the open_* first. Then, in any order and each with the present `now`: on_segment()
// for what arrived, on_timeout() when next_deadline() has come, the calls of the program (write, read, …),
// on_error() for what ICMP or the neighbour table said. After any of them: take_touched(), poll_segment()
// until it has nothing, next_deadline(). Input never sends: it changes what poll_segment() will answer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/loan.h"
#include "base/seq_num.h"
#include "base/stamp.h"
#include "base/time.h"
#include "base/timer_wheel.h"
#include "frame/outgoing_frame.h"
#include "inet/delivery_error.h"
#include "inet/endpoint.h"
#include "inet/path.h"
#include "tcp/ack_policy.h"
#include "tcp/activity.h"
#include "tcp/chronograph.h"
#include "tcp/congestion.h"
#include "tcp/delivery_rate.h"
#include "tcp/ecn.h"
#include "tcp/env.h"
#include "tcp/events.h"
#include "tcp/handshake.h"
#include "tcp/md5.h"
#include "tcp/mtu_search.h"
#include "tcp/options.h"
#include "tcp/remains.h"
#include "tcp/right_sizing.h"
#include "tcp/rtt.h"
#include "tcp/sequence_space.h"
#include "tcp/state.h"
#include "tcp/timestamps.h"
#include "tcp/touched.h"
#include "trace/drop_reason.h"
#include "trace/record.h"
#include "wire/tcp_segment.h"

namespace tapir::tcp {

// What a segment carries besides its TCP header.
struct SegmentContext {
  Ecn ecn = Ecn::kNotEct;
  InterfaceId interface = kNoInterface;
  std::uint16_t gso_size = 0;  // > 0: this is a super-segment (GRO) of segments of this many payload bytes
};

struct ConnectionInfo;

class Connection : public TouchedLink {
 public:
  explicit Connection(trace::Subject subject);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // ---- memory ----
  // Takes what a connection needs to begin; before anything else. False: no memory, and release() gives back
  // what was had.
  bool take_memory(const SocketOptions& options, const Path& path, Env& env);
  // Gives back what it does not need while idle; the next call that needs it takes it again. Called when a
  // call is over.
  void rest(Env& env);
  // Gives back everything; before destruction.
  void release(Env& env);

  // ---- birth ----
  // Active open: a SYN is owed (RFC 9293 §3.10.1; Linux: tcp_v4_connect, tcp_connect).
  void open_active(const FourTuple& tuple, const Path& path, SeqNum iss, std::uint32_t ts_offset, Env& env,
                   Instant now);
  // The third ACK of a passive open came (Linux: tcp_create_openreq_child). The segment that completed it
  // goes to on_segment() next.
  void open_passive(const Handshake& handshake, const Path& path, Env& env, Instant now);
  // A passive open by a SYN that may bring data at once (RFC 7413; Linux: tcp_fastopen_create_child):
  // SYN-RECEIVED, the SYN-ACK is owed. `data`: the SYN's payload. False: no memory, nothing has happened.
  bool open_fast(const FastOpenRequest& request, std::uint32_t ts_offset, const Path& path,
                 const wire::TcpSegment& syn, Frame data, Env& env, Instant now);

  // ---- the network ----
  // `frame` holds exactly the segment's payload (its TCP header trimmed off) and is consumed when the data is
  // kept.
  void on_segment(const wire::TcpSegment& segment, const SegmentContext& context, Frame frame, Env& env,
                  Instant now);
  // What the network said of something we sent; the quoted sequence number is checked here (RFC 5927 §4).
  void on_delivery_error(const DeliveryError& error, Env& env, Instant now);
  void on_path(const Path& path, Env& env, Instant now);  // a new route or path MTU
  void on_timeout(Env& env, Instant now);
  Instant next_deadline() const;
  // May next_deadline() have changed since this was last asked?
  bool take_deadlines_changed() {
    const bool changed = deadlines_changed_;
    deadlines_changed_ = false;
    return changed;
  }
  // Something must leave before the next frame is looked at (an ACK of what came out of order, a challenge, a
  // RST).
  bool output_due() const { return due_; }
  bool output_wanted() const;
  // The device takes nothing now, not even once its queue was handed over. What was to leave by a timer did
  // not, so there is nothing to back off from: another try soon (Linux: TCP_RESOURCE_PROBE_INTERVAL).
  void on_no_room(Env& env, Instant now);
  // Builds the next segment's TCP header (checksum left 0) and payload spans into `out`. False: nothing
  // (more) to send now.
  bool poll_segment(OutgoingFrame& out, Env& env, Instant now);
  // What poll_segment() built last leaves as ECT(0) (RFC 3168 §6.1.2).
  bool ecn_capable_segment() const { return ect_; }

  // ---- the program ----
  struct WriteFlags {
    bool more = false;           // MSG_MORE
    bool follows = false;        // the same call has more to write after `data`
    bool end_of_record = false;  // MSG_EOR
    bool urgent = false;         // MSG_OOB
    Loan* loan = nullptr;        // `data` may be pointed at until it is acknowledged; null: it is copied
  };
  // Takes as much as the send buffer allows (0: none: the caller would block, and kTouchedWritable tells when
  // there is room). Without data it only asks to be told. Only in states that may send.
  std::size_t write(Bytes data, WriteFlags flags, Env& env, Instant now);
  // True when a write would take at least a byte (Linux: sk_stream_memory_free / __sk_stream_is_writeable for
  // readiness).
  bool may_write() const;
  bool writable() const;  // the level that poll(2) reports as POLLOUT
  // Somebody found it not writable and will wait: kTouchedWritable tells when it is (Linux: tcp_poll sets
  // SOCK_NOSPACE).
  void ask_for_room() { no_space_ = true; }
  std::size_t read(MutableBytes out, Env& env, Instant now);
  // The same without copying: a frame of the queue, which is the caller's from now on. Empty when nothing is
  // queued.
  Frame lend(Env& env, Instant now);
  std::size_t peek(MutableBytes out, std::size_t offset) const;

  // ---- urgent data (connection_urgent.cc): a read stops at the mark, and steps over the byte behind it
  // unless SO_OOBINLINE ---- The reader stands at the mark (SIOCATMARK).
  bool at_mark() const;
  // Bytes up to the mark ahead; the largest number when there is none.
  std::size_t bytes_before_mark() const;
  // The urgent byte, if it came and was not taken; `keep`: MSG_PEEK.
  std::optional<std::uint8_t> take_urgent(bool keep);
  bool urgent_waiting() const { return busy_->urgent.byte == Urgent::Byte::kWaiting; }  // POLLPRI
  // A pointer was heard, and the mark is not passed.
  bool urgent_ahead() const { return busy_->urgent.byte != Urgent::Byte::kNone; }
  // It was taken already (MSG_OOB answers EINVAL then).
  bool urgent_taken() const { return busy_->urgent.byte == Urgent::Byte::kRead; }
  std::size_t discard(std::size_t count, Env& env, Instant now);  // MSG_TRUNC
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
  // TCP_CORK. Here and not with the options that connections share: servers set and clear it around every
  // answer.
  bool corked() const { return corked_; }
  void set_cork(bool on) { corked_ = on; }
  // TCP_NODELAY was set, or TCP_CORK cleared: what they held back leaves (Linux: tcp_push_pending_frames).
  void push_held();
  const SocketOptions& options() const { return *options_; }
  // To change them; then on_options_changed(). Null: no memory.
  SocketOptions* edit_options(Env& env);
  // Nothing is edited any more: those that have the same options share them.
  void settle_options(Env& env);
  bool set_congestion_control(std::string_view name);
  void set_quickack(int value);
  bool quickack() const { return ack_policy_.quickack_option(); }  // what TCP_QUICKACK reads

  // ---- Fast Open (connection_fastopen.cc) ----
  // Between open_active() and the first output. The SYN asks for a cookie, or shows one and carries what
  // add_syn_data() is given. `defer`: there is a cookie (or none is needed), so the SYN waits for
  // release_syn() (TCP_FASTOPEN_CONNECT).
  void ask_fast_open(bool defer);
  void release_syn(Instant now);
  bool syn_deferred() const { return has_mark(kSynDeferred); }
  // Would a SYN show a cookie, or carry data without one? (Linux: tcp_fastopen_cookie_check)
  bool fast_open_ready(const Env& env, Instant now) const;
  // Bytes the SYN still to be sent has room for; 0 when it may carry none.
  std::size_t syn_data_room(const Env& env, Instant now) const;
  // Copies what there is room and memory for; how much.
  std::size_t add_syn_data(Bytes data, Env& env, Instant now);
  // Somebody waits to write as soon as the handshake is done: the ACK that ends it may ride on the data
  // (Linux: sk_write_pending).
  void note_writer_waits() { set_mark(kWriterWaits); }
  // A server's handshake is not finished (Linux: fastopen_rsk). In SYN-RECEIVED the program may read and
  // write all the same.
  bool fast_open_pending() const { return busy_->fast_open_request != 0 && !has_mark(kFastOpenEnded); }
  // The program accepted it.
  void note_accepted(Env& env);
  // The handshake of such a connection is over, one way or another: what its listener must know, told once.
  struct FastOpenEnd {
    std::uint64_t listener = 0;  // Handle<Listener>, packed
    bool reset_after_accept =
        false;  // then it goes on counting for a while, or resets would be a way round the limit
  };
  bool fast_open_ended() const { return has_mark(kFastOpenEnded); }
  FastOpenEnd take_fast_open_end(Env& env);

  // ---- what becomes of what was written (connection_notes.cc; send_notes.h) ----
  // False: as many as may be are waiting to be told already, or there is no memory (ENOBUFS).
  bool room_for_note(Env& env);
  // A MSG_ZEROCOPY call wrote what ends the stream now. `continues`: the same call as last time; `open`: it
  // will write more.
  void note_zero_copy(bool continues, bool open, Env& env);
  // The times of the last byte written are wanted: bits of SendStage.
  void note_times(std::uint8_t stages, Env& env, Instant now);
  // SOF_TIMESTAMPING_OPT_ID: bytes are counted from what is written next, or from what is unacknowledged now.
  void count_bytes(bool from_the_end, Env& env);
  void count_no_bytes(Env& env);
  bool has_report() const { return has_report_; }
  std::optional<SendReport> take_report(Env& env);

  // ---- what it is like ----
  State state() const { return state_; }
  const FourTuple& tuple() const { return tuple_; }
  Path path() const;
  std::uint32_t path_generation() const { return path_->generation; }
  InterfaceId interface() const { return path_->interface; }
  trace::Subject subject() const { return subject_; }
  bool orphan() const { return orphan_; }
  bool synchronised() const {
    return state_ != State::kSynSent && state_ != State::kSynReceived && state_ != State::kClosed;
  }
  bool receive_closed() const {
    return fin_received_ || receive_shutdown_;
  }  // read answers EOF after what is queued
  bool send_closed() const { return send_shutdown_; }
  bool peer_fin() const { return fin_received_; }
  std::size_t readable_bytes() const { return busy_->receive_queue.size(); }
  std::size_t unsent_bytes() const;                                        // SIOCOUTQNSD
  std::size_t unacked_bytes() const { return busy_->send_buffer.size(); }  // SIOCOUTQ
  // Was `seq` sent and not acknowledged (RFC 5927 §4.1: what an ICMP error must quote to be believed)?
  bool in_flight(SeqNum seq) const { return seq >= snd_.una && seq <= snd_.nxt; }
  CloseCause cause() const { return cause_; }  // why it ended; kNone while it lives
  CloseCause take_cause();                     // SO_ERROR: read once; kNone when it was read already
  CloseCause pending_cause() const { return pending_cause_; }  // what take_cause() would answer (POLLERR)
  CloseCause soft_cause() const { return soft_cause_; }        // what ICMP said last, if nothing ended
  CloseCause take_soft_cause() {
    return std::exchange(soft_cause_, CloseCause::kNone);
  }  // SO_ERROR reads it once
  Instant head_received_at() const { return busy_->receive_queue.head_received_at(); }
  // The peer has acknowledged something new since this was last asked (Linux: sk_dst_pending_confirm).
  bool take_confirmation() {
    const bool confirmed = confirmed_;
    confirmed_ = false;
    return confirmed;
  }
  std::uint8_t take_touched() { return std::exchange(touched_, std::uint8_t{0}); }
  std::int32_t send_buffer_limit() const { return send_limit_; }
  std::uint32_t window_clamp() const { return rcv_.window_clamp; }  // the most that is ever offered, bytes
  std::int32_t receive_buffer_limit() const { return receive_limit_; }
  std::size_t memory_used() const;  // bytes in its queues, for `ss -m` and the budget
  // Something remains to be a TimeWait record: the engine takes it, and the connection is CLOSED.
  bool wants_time_wait() const { return time_wait_owed_; }
  Remains take_remains(Env& env, Instant now);
  ConnectionInfo info(Instant now) const;  // connection_info.h

  // Segments carry an MD5 signature (RFC 2385): the option is written with room for the digest, which the
  // engine fills in.
  bool signs() const { return md5_keys != 0; }
  // The engine gave it a key, or took it away.
  void on_signing_changed(Env& env);

  // For the engine: the entry in the wheel, the place in the list of output, its name, its list of one key.
  void set_subject(trace::Subject subject) { subject_ = subject; }
  TimerEntry wheel_entry;
  std::uint32_t output_next = 0;  // index + 1
  std::uint32_t owner =
      0;  // index + 1 of the socket that has it, for socket/ to find; 0: not accepted yet, or let go
  std::uint32_t md5_keys = 0;  // of the engine's Md5Keys
  bool in_output_list = false;
  bool attached = true;  // a socket refers to it

 private:
  friend struct ConnectionPeek;  // tests look inside

  enum class Verdict : std::uint8_t { kContinue, kDone };

  // ---- connection_input.cc: RFC 9293 §3.10.7, a step a call ----
  Verdict check_timestamps(const wire::TcpSegment& segment, Env& env, Instant now);
  bool predicted(const wire::TcpSegment& segment) const;
  Verdict check_sequence(const wire::TcpSegment& segment, Env& env, Instant now);
  Verdict check_rst(const wire::TcpSegment& segment, Env& env, Instant now);
  Verdict check_syn(const wire::TcpSegment& segment, Env& env, Instant now);
  Verdict challenge_syn(Env& env, Instant now);
  Verdict check_ack(const wire::TcpSegment& segment, Env& env, Instant now);
  Verdict check_state(const wire::TcpSegment& segment, Env& env, Instant now);
  bool acceptable(SeqNum seq, SeqNum end) const;
  void note_timestamp(const wire::TcpSegment& segment, Instant now);
  // The window that the segment tells of, in bytes.
  std::uint32_t told_window(const wire::TcpSegment& segment) const {
    return segment.has(wire::kSyn) ? segment.window : std::uint32_t{segment.window} << snd_.wscale;
  }
  bool newer_window(const wire::TcpSegment& segment, SeqNum ack) const;
  void update_send_window(const wire::TcpSegment& segment, SeqNum ack, bool& moved, Env& env, Instant now);
  void drop(trace::DropReason reason, Env& env, Instant now);
  void owe_challenge_ack(Env& env, Instant now);
  void owe_duplicate_ack(const wire::TcpSegment& segment, Env& env);
  bool out_of_window_limited(const wire::TcpSegment& segment, trace::Counter skipped, Env& env, Instant now);
  void check_urg(const wire::TcpSegment& segment, const Env& env);
  SeqNum read_up_to() const;  // the next byte of the stream that the program will read (Linux: copied_seq)
  void note_read();           // the reader may have passed the mark
  void mark_urgent(wire::TcpSegment& segment) const;
  void decide_ack(Env& env, Instant now);

  // ---- connection_syn.cc: of an active open ----
  void on_syn_sent(const wire::TcpSegment& segment, const SegmentContext& context, Frame frame, Env& env,
                   Instant now);
  void on_simultaneous_open(Env& env, Instant now);
  bool emit_syn(OutgoingFrame& out, Env& env, Instant now);

  // ---- connection_receive.cc: what the peer's bytes become ----
  void take_payload(const wire::TcpSegment& segment, const SegmentContext& context, Frame frame, Env& env,
                    Instant now);
  void queue_in_order(Frame frame, std::uint32_t segment_size, bool push, Env& env, Instant now);
  void append_in_order(Frame frame, Env& env);
  void drain_reassembly(Env& env, Instant now);
  void report_overlap(Env& env);
  void take_out_of_order(const wire::TcpSegment& segment, const SegmentContext& context, Frame frame,
                         Env& env, Instant now);
  void note_ecn(Ecn ecn, Env& env, Instant now);
  void compress_ack(Env& env, Instant now);
  bool make_room(std::size_t true_size, Env& env);
  void check_fin(SeqNum fin_seq, Env& env, Instant now);

  // ---- connection_notes.cc ----
  SendNotes* notes(Env& env);
  void report_notes();
  void notes_on_sent(SeqRange sent, Env& env, Instant now);
  void notes_on_acked(Env& env, Instant now);
  void notes_on_end(Env& env, Instant now);
  void drop_notes(Env& env);

  // ---- connection_fastopen.cc ----
  enum Mark : std::uint16_t {
    kFastOpenAsked = 1,   // a client's SYN shall ask for it
    kSynDeferred = 2,     // and waits for data
    kSynFastOpen = 4,     // a SYN with the option left (Linux: syn_fastopen)
    kSynFastOpenExp = 8,  // in its experimental form
    kSynData = 16,        // a SYN with data left (Linux: syn_data)
    kSynDataAcked =
        32,  // a SYN's data was taken, ours by the peer or the peer's by us (Linux: syn_data_acked)
    kFastOpenTrial = 64,  // the first after a pause (Linux: syn_fastopen_ch)
    kWriterWaits = 128,
    kFastOpenEnded = 256,   // a server's handshake is over and the engine has not been told
    kFastOpenReset = 512,   // by a RST
    kFastOpenChild = 1024,  // begun by a SYN with the option (Linux: fastopen_child)
  };
  bool has_mark(Mark mark) const { return (marks_ & mark) != 0; }
  void set_mark(Mark mark) { marks_ = static_cast<std::uint16_t>(marks_ | mark); }
  void clear_mark(Mark mark) { marks_ = static_cast<std::uint16_t>(marks_ & ~mark); }
  FastOpenRequest& fast_open_request(Env& env) const;
  Verdict check_fast_open(const wire::TcpSegment& segment, Env& env, Instant now);
  void finish_fast_open(Env& env, Instant now);
  void end_fast_open();
  bool emit_fast_open_syn_ack(OutgoingFrame& out, Env& env, Instant now);
  void on_syn_ack_timeout(Env& env, Instant now);
  struct SynOffer {
    std::optional<wire::FastOpenOption> option;
    bool data = false;
    bool trial = false;
  };
  SynOffer syn_offer(const Env& env, Instant now) const;
  void offer_fast_open(wire::TcpOptions& options, Env& env, Instant now);
  void record_syn_data(Env& env, Instant now);
  void on_fast_open_answer(const wire::TcpSegment& segment, Env& env, Instant now);
  void watch_fast_open_timeout(bool expired, Env& env, Instant now);
  void judge_fast_open(Env& env, Instant now);

  // ---- connection_ack.cc: what an ACK tells the sender ----
  struct AckEffects {
    bool window_moved = false;
    bool carried_data = false;
  };
  // What the SACK option of an ACK says, as far as it is believed.
  struct Sacks {
    std::array<wire::SackBlock, wire::kSackBlocksMax> blocks{};
    std::size_t count = 0;
    bool dsack = false;  // the first block is a duplicate's
    bool dsack_of_tail_probe = false;
    std::uint32_t dsack_segments = 0;
  };
  Sacks read_sacks(const wire::TcpSegment& segment, Env& env);
  bool read_dsack(const wire::TcpSegment& segment, Sacks& sacks, Env& env);
  void on_ack(const wire::TcpSegment& segment, const AckEffects& effects, bool ece, Env& env, Instant now);
  void on_old_ack(const wire::TcpSegment& segment, Env& env, Instant now);
  AckTiming ack_timing(const wire::TcpSegment& segment) const;
  void judge_ack(const wire::TcpSegment& segment, const Sacks& sacks, const AckSummary& summary,
                 SeqNum una_before, bool advanced, const AckEffects& effects, bool ece, bool old, Env& env,
                 Instant now);
  AckSample ack_sample(const AckSummary& summary, std::uint32_t delivered, bool ece, Env& env,
                       Instant now) const;
  void sample_rtt(const wire::TcpSegment& segment, const AckSummary& summary, Env& env, Instant now);
  void update_pacing_rate(const Env& env);
  Recovery::Sender sender(Env& env, Instant now);
  void after_window_opened(Env& env, Instant now);

  // ---- connection_output.cc: everything that leaves ----
  bool poll_reset(OutgoingFrame& out, Env& env, Instant now);
  bool poll_challenge(OutgoingFrame& out, Env& env, Instant now);
  bool poll_resend(OutgoingFrame& out, Env& env, Instant now);
  bool poll_new_data(OutgoingFrame& out, Env& env, Instant now);
  bool poll_mtu_probe(OutgoingFrame& out, bool& wait, Env& env, Instant now);
  bool poll_tail_probe(OutgoingFrame& out, Env& env, Instant now);
  bool send_new(OutgoingFrame& out, UnsentRecord& record, std::uint32_t length, Env& env, Instant now);
  bool resend_tail(OutgoingFrame& out, Transmission& last, Env& env, Instant now);
  void take_unsent(std::uint32_t length, Transmission& t, Env& env);
  bool may_join(std::uint32_t length, Env& env) const;
  void join_small(Transmission& record, SeqNum right_edge, Env& env);
  void note_resent(std::uint32_t segments, std::uint32_t payload, Env& env);
  void note_queue_sent(bool first, Env& env, Instant now);
  bool paced(const Env& env) const {
    return options_->max_pacing_rate != ~std::uint64_t{0} || env.knobs.fair_queue;
  }
  bool pace_holds(Env& env, Instant now);
  void note_transmission(Transmission& t, std::uint32_t payload, bool first, Env& env, Instant now);
  bool poll_fin(OutgoingFrame& out, Env& env, Instant now);
  bool poll_probe(OutgoingFrame& out, Env& env, Instant now);
  bool poll_ack(OutgoingFrame& out, Env& env, Instant now);
  void trace_segment(Event event, const wire::TcpSegment& segment, std::uint32_t payload, Env& env,
                     Instant now) const;
  void emit(OutgoingFrame& out, std::uint16_t flags, SeqNum seq, SeqRange payload, Env& env, Instant now,
            bool fresh = false);
  // A time-out of the retransmission timer, counted (Linux: tcp_update_rto_stats). Before it counts as a
  // back-off.
  void note_timeout() {
    if (retransmits_ == 0) ++rto_recoveries_;
    ++total_rto_;
  }
  std::uint32_t next_segment_limit(UnsentRecord& record, Env& env, Instant now, bool& cwnd_limited);
  bool nagle_holds(bool partial) const;
  bool should_defer(std::uint32_t record_left, bool last_record, std::uint32_t max_segments, bool ends_stream,
                    Env& env, Instant now, bool& cwnd_limited) const;
  std::uint32_t max_segments_per_send(const Env& env) const;
  void note_ack_sent(Env& env);
  void note_data_sent(SeqNum end, bool partial, bool first, Env& env, Instant now);
  std::size_t collect_sack_blocks(wire::TcpOptions& options) const;
  std::uint16_t current_mss(Instant now) const;
  wire::TcpOptions common_options(Instant now) const;
  std::uint32_t timestamp_clock(Instant now) const;
  bool fin_due() const { return fin_owed_ && !fin_sent_; }

  // ---- connection_cwnd.cc: the congestion window's validity ----
  void validate_window(bool cwnd_limited, Env& env, Instant now);
  void restart_after_idle(Env& env, Instant now);

  // ---- connection_timers.cc ----
  void on_retransmit_timeout(Env& env, Instant now);
  void on_probe_timeout(Env& env, Instant now);
  void on_delayed_ack_timeout(Env& env);
  void on_keepalive_timeout(Env& env, Instant now);
  void on_reorder_timeout(Env& env, Instant now);
  void on_tail_probe_timeout(Env& env, Instant now);
  void arm_loss(Timer timer, Instant when, Env& env, Instant now);
  void rearm_retransmit(Env& env, Instant now, bool reorder_time_over = false);
  bool schedule_tail_probe(bool from_now, Env& env, Instant now);
  bool thin_stream(const Env& env) const;
  bool retransmits_exhausted(int boundary, Duration user_timeout, Duration base, const Env& env,
                             Instant now) const;
  bool give_up(Env& env, Instant now);
  int orphan_retries(bool alive, const Env& env) const;
  Duration probe_delay(const Env& env, Instant now) const;
  Duration within_user_timeout(Duration delay, Instant now) const;
  Duration backed_off_rto(const Env& env) const;
  void arm(Timer timer, Instant when, Env& env, Instant now);
  void disarm(Timer timer) { set_deadline(timer, kNever); }
  bool armed(Timer timer) const { return deadline(timer) != kNever; }
  Instant deadline(Timer timer) const {
    return timer == Timer::kKeepalive ? keepalive_at_ : busy_->deadlines[static_cast<std::size_t>(timer)];
  }
  void set_deadline(Timer timer, Instant when) {
    Instant& at =
        timer == Timer::kKeepalive ? keepalive_at_ : busy_->deadlines[static_cast<std::size_t>(timer)];
    if (at == when) return;
    at = when;
    deadlines_changed_ = true;
  }
  void arm_keepalive(Env& env, Instant now);
  void arm_probe_if_stuck(Env& env, Instant now);

  // ---- connection_window.cc: what we offer ----
  std::uint32_t receive_window() const;   // bytes still offered from rcv.nxt on
  std::uint32_t choose_window(Env& env);  // never takes back what was offered
  std::uint32_t window_from_space(std::int64_t space) const;
  std::int64_t receive_space() const;  // buffer bytes free, as window
  void grow_receive_window(std::uint32_t payload, std::size_t true_size, Env& env);
  void measure_segment(std::uint32_t segment_size, std::uint32_t payload, std::size_t true_size, bool push);
  void measure_scaling_ratio(std::uint32_t segment_size, std::uint32_t payload, std::size_t true_size);
  void measure_receive_rtt(const wire::TcpSegment& segment, Instant now);
  void adjust_receive_space(Env& env, Instant now);
  void offer_after_read();
  void set_up_receive_window(std::uint32_t rcv_wnd, std::uint32_t window_clamp, const Knobs& knobs);

  // ---- connection_write.cc ----
  // Bytes of IP packet of the largest super-segment; 0: the device splits none.
  std::uint32_t gso_max_size(const Env& env) const;
  std::uint32_t size_goal(const Env& env) const;
  void expand_send_limit(Env& env);
  std::size_t send_charge() const;
  void check_writable(Env& env, Instant now);

  // ---- connection_path.cc ----
  bool adopt_path(const Path& path, Env& env);
  void refresh_mss(Env& env);
  void use_grown_path(Env& env);
  void mark_oversized(bool all, Env& env, Instant now);
  // Of a data segment's packet.
  std::uint16_t header_bytes() const {
    return static_cast<std::uint16_t>(40 + (timestamps_ ? kTimestampBytes : 0) +
                                      (signs() ? kMd5OptionBytes : 0) + options_->ip_options.size);
  }

  // ---- connection.cc ----
  void enter(State to, Env& env, Instant now);
  void set_up_passive(const Handshake& handshake, const Path& path, Env& env, Instant now);
  void become_established(Env& env, Instant now);
  void finish(CloseCause cause, Env& env, Instant now);
  void enter_fin_wait_2_orphan(Env& env, Instant now);
  void on_mtu_probe_answered(std::uint16_t size, Env& env);
  void set_buffer_limits(const Knobs& knobs);
  Duration fin_timeout(const Env& env) const;
  void touch(std::uint8_t what) { touched_ = static_cast<std::uint8_t>(touched_ | what); }
  SeqNum stream_end() const {
    return busy_ ? busy_->send_buffer.end() : stream_end_;
  }  // write_seq, the FIN not counted
  // There is an Activity to work with, or now is. False: no memory.
  bool wake(Env& env);
  bool has_unsent() const { return !busy_->unsent.empty(); }
  bool cork_holds() const;
  bool unsent_wanted() const;

  // Hot: what every segment touches.
  State state_ = State::kClosed;
  std::uint8_t touched_ = 0;
  bool due_ : 1 = false;      // an ACK or RST that must leave before the next frame
  bool ack_now_ : 1 = false;  // an ACK at the end of the turn at the latest
  bool challenge_owed_ : 1 = false;
  bool fin_owed_ : 1 = false;  // the program closed its side
  bool fin_sent_ : 1 = false;
  bool fin_received_ : 1 = false;
  bool sack_ : 1 = false;
  bool timestamps_ : 1 = false;
  bool window_scaling_ : 1 = false;
  bool syn_owed_ : 1 = false;    // a SYN or SYN-ACK that was never sent
  bool probe_owed_ : 1 = false;  // a window probe or keepalive
  bool probe_data_ : 1 = false;  // the probe may carry data: the window is open
  bool space_check_owed_ : 1 =
      false;                     // an ACK may have made room: looked at once the output it allowed has left
  bool corked_ : 1 = false;      // TCP_CORK
  bool corked_now_ : 1 = false;  // the last write said MSG_MORE, and nothing has happened since
  bool one_send_ : 1 =
      false;  // a write is under way: only the record at the head, and one segment of it, may leave
  bool one_sent_ : 1 = false;  // and it has
  bool push_now_ : 1 =
      false;  // TCP_NODELAY was set: what waits leaves, corked or not (Linux: TCP_NAGLE_PUSH)
  bool mid_write_ : 1 = false;   // the call that wrote last has more to write
  bool rto_resend_ : 1 = false;  // the next retransmission is the time-out's own, which armed its timer
  bool path_grew_ : 1 = false;   // the path carries more: segments grow once one has left on it
  bool path_used_ : 1 = false;   // and one has
  bool ect_ : 1 = false;         // the segment built last is ECN-capable
  bool orphan_ : 1 = false;
  bool send_shutdown_ : 1 = false;
  bool receive_shutdown_ : 1 = false;
  bool time_wait_owed_ : 1 = false;
  bool cwnd_limited_ : 1 = false;  // in the last round
  bool no_space_ : 1 = false;      // a write was refused: tell when there is room again
  bool passive_ : 1 = false;
  bool has_report_ : 1 = false;         // the program has not read what was told
  bool deadlines_changed_ : 1 = false;  // since take_deadlines_changed()
  bool confirmed_ : 1 = false;          // what was sent arrives: the neighbour is to hear of it
  EcnState ecn_;
  std::uint16_t mss_now_ = 536;  // snd_.mss less the SACK blocks that segments carry at the moment
  SendSequence snd_;
  ReceiveSequence rcv_;
  Timestamps ts_;
  SeqNum stream_end_;  // where the send buffer ended when last there was one
  std::uint32_t total_retransmits_ = 0;
  ActivityRef busy_;               // none while idle
  Instant keepalive_at_ = kNever;  // the deadline of Timer::kKeepalive
  Window window_;
  AckPolicy ack_policy_;
  Rtt rtt_;
  Rto rto_;
  // Warm and cold.
  CongestionSlot control_;
  FourTuple tuple_;
  std::uint32_t notsent_low_water_ = 0xffffffff;  // TCP_NOTSENT_LOWAT, or the knob's
  const PathProperties* path_ = nullptr;          // shared with the connections that have the same
  const SocketOptions* options_ = nullptr;        // likewise
  trace::Subject subject_;
  RightSizing sizing_;
  std::int32_t send_limit_ = 0;     // sk_sndbuf
  std::int32_t receive_limit_ = 0;  // sk_rcvbuf
  Instant last_sent_at_{};          // of data (Linux: lsndtime)
  StampMs last_received_at_;        // of anything acceptable (Linux: rcv_tstamp)
  StampMs last_challenge_at_;
  StampMs last_out_of_window_at_;
  StampMs cwnd_stamp_;  // when the window was last used or cut
  StampMs opened_at_;   // first SYN sent, or handshake done
  SeqNum cwnd_usage_seq_;
  std::uint32_t max_packets_out_ = 0;  // most in flight in the round, when not limited by the window
  std::uint32_t total_rto_ = 0;
  std::uint64_t bytes_acked_ = 0;
  std::uint64_t bytes_received_ = 0;
  std::uint64_t bytes_sent_ = 0;
  std::uint64_t bytes_retransmitted_ = 0;
  std::uint32_t segments_in_ = 0;
  std::uint32_t segments_out_ = 0;
  std::uint32_t data_segments_in_ = 0;
  std::uint32_t data_segments_out_ = 0;
  std::uint32_t dsack_dups_ = 0;
  std::uint32_t notes_ = 0;  // index + 1 in Env::notes; 0: nothing was ever to be told
  std::uint32_t out_of_order_segments_ = 0;
  LossMemory loss_memory_;
  std::uint32_t rto_time_ms_ = 0;     // how long the episodes of time-outs took that ended
  std::uint16_t rto_recoveries_ = 0;  // how many began (Linux: total_rto_recoveries)
  std::uint16_t marks_ = 0;           // of Mark
  // Small ones, in what the three before them leave of their last words.
  [[no_unique_address]] DeliveryRate rate_;
  FastOpenFailure fast_open_failure_ = FastOpenFailure::kNone;
  std::uint8_t retransmits_ = 0;  // RTOs in a row (Linux: icsk_retransmits)
  std::uint8_t backoff_ = 0;
  [[no_unique_address]] Chronograph chronograph_;
  std::uint8_t probes_out_ = 0;
  std::uint8_t scaling_ratio_ = 128;  // payload per true size of received frames, in 1/256
  CloseCause cause_ = CloseCause::kNone;
  [[no_unique_address]] MtuSearch mtu_search_;
  CloseCause pending_cause_ = CloseCause::kNone;  // for SO_ERROR, until read
  CloseCause soft_cause_ = CloseCause::kNone;
};

}  // namespace tapir::tcp
