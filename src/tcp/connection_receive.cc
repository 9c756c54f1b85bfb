// SPDX-License-Identifier: Apache-2.0
// What the peer's bytes become: queued in order, kept beyond a hole, dropped when there is no room, read by
// the program; and its FIN (RFC 9293 §3.10.7.4, sixth to eighth; Linux: tcp_data_queue, tcp_ofo_queue,
// tcp_recvmsg).
#include <algorithm>
#include <utility>

#include "tcp/connection.h"
#include "tcp/dsack.h"
#include "tcp/events.h"

namespace tapir::tcp {

using trace::Counter;
using trace::DropReason;
using namespace wire;  // the names of flags and options

namespace {

// Duplicate ACKs of one hole that are never held back: the peer's fast retransmit (Linux:
// TCP_FASTRETRANS_THRESH).
constexpr std::uint8_t kUncompressedAcks = 3;
// ACKs sent at once when ECN tells of a small window of the peer (Linux: tcp_enter_quickack_mode(sk, 2)).
constexpr std::uint8_t kEcnQuickAcks = 2;

}  // namespace

void Connection::take_payload(const TcpSegment& segment, const SegmentContext& context, Frame frame, Env& env,
                              Instant now) {
  const auto size = static_cast<std::uint32_t>(segment.payload.size());
  const bool fin = segment.has(kFin);
  if (size == 0 && !fin) {
    // The SYN-ACK that ends a simultaneous open repeats what we have: it is acknowledged like any duplicate.
    if (segment.has(kSyn)) owe_duplicate_ack(segment, env);
    return;
  }
  // After the peer's FIN nothing more can come (RFC 9293: "This should not occur, since a FIN has been
  // received").
  if (fin_received_) {
    if (segment.end() <= rcv_.nxt) owe_duplicate_ack(segment, env);
    return;
  }
  const SeqNum seq = segment.seq;
  const SeqNum text_end = seq + size;
  if (segment.end() <= rcv_.nxt) {  // all of it is old: a retransmission
    owe_duplicate_ack(segment, env);
    return drop(DropReason::kTcpOldData, env, now);
  }
  const SeqNum right_edge = rcv_.nxt + receive_window();
  if (seq > rcv_.nxt) {
    if (seq >= right_edge && !(size == 0 && fin && seq == right_edge)) {
      ack_policy_.enter_quick(kQuickAcksMax, rcv_.wnd);
      ack_now_ = due_ = true;
      return drop(DropReason::kTcpOverWindow, env, now);
    }
    return take_out_of_order(segment, context, std::move(frame), env, now);
  }
  if (ecn_.on && segment.has(kCwr)) {
    // The peer's window may be one segment now: it waits for this ACK (RFC 3168 §6.1.3).
    ecn_.demand_cwr = false;
    ack_now_ = true;
  }
  // In order, perhaps with a front that we have.
  if (seq < rcv_.nxt && size > 0) {
    const std::uint32_t old = std::min(rcv_.nxt - seq, size);
    frame.trim_front(old);
    owe_dsack(busy_->dsack, {seq, rcv_.nxt}, Counter::kTcpExtTCPDSACKOldSent, sack_, env);
    ack_now_ = due_ = true;
  }
  if (size > 0 && text_end > rcv_.nxt) {
    if (receive_window() == 0) {
      env.counters.add(Counter::kTcpExtTCPZeroWindowDrop);
      ack_policy_.enter_quick(kQuickAcksMax, rcv_.wnd);
      ack_now_ = due_ = true;
      return drop(DropReason::kTcpZeroWindow, env, now);
    }
    if (!make_room(frame.meta().true_size, env)) {
      env.counters.add(Counter::kTcpExtTCPRcvQDrop);
      ack_now_ = due_ = true;
      return drop(DropReason::kProtoMem, env, now);
    }
    queue_in_order(std::move(frame), context.gso_size != 0 ? context.gso_size : size, segment.has(kPsh), env,
                   now);
    note_ecn(context.ecn, env, now);
  }
  const bool had_holes = !busy_->reassembly.empty();
  if (fin) {
    check_fin(text_end, env, now);
  } else {
    drain_reassembly(env, now);
  }
  // RFC 5681 §4.2: what fills all or part of a hole is acknowledged at once.
  if (had_holes) ack_now_ = due_ = true;
}

void Connection::queue_in_order(Frame frame, std::uint32_t segment_size, bool push, Env& env, Instant now) {
  const auto size = static_cast<std::uint32_t>(frame.size());
  const std::size_t true_size = frame.meta().true_size;
  append_in_order(std::move(frame), env);
  measure_segment(segment_size, size, true_size, push);
  ack_policy_.on_data(rcv_.wnd, now, rtt_.srtt(), env.knobs);
  ack_policy_.schedule();
  grow_receive_window(size, true_size, env);
}

// What came out of order was measured when it came.
void Connection::append_in_order(Frame frame, Env& env) {
  const auto size = static_cast<std::uint32_t>(frame.size());
  rcv_.nxt += size;
  bytes_received_ += size;
  // A program that will read no more still has its peer acknowledged; the bytes are let go.
  if (!orphan_) busy_->receive_queue.push(std::move(frame), env.frames);
  touch(kTouchedReadable);
}

// What is held and came again with what fills the hole before it (Linux: tcp_ofo_queue).
void Connection::report_overlap(Env& env) {
  const SeqRange held = busy_->reassembly.first_block();
  if (held.empty() || held.begin >= rcv_.nxt) return;
  // A report that is owed already stays: its range ends before the hole, so the two are never one.
  if (!busy_->dsack.empty()) return;
  owe_dsack(busy_->dsack, {held.begin, min(held.end, rcv_.nxt)}, Counter::kTcpExtTCPDSACKOldSent, sack_, env);
}

void Connection::drain_reassembly(Env& env, Instant now) {
  report_overlap(env);
  while (!busy_->reassembly.empty()) {
    Reassembly::Taken taken = busy_->reassembly.pop_at(rcv_.nxt);
    if (!taken.present) return;
    if (taken.payload && taken.payload.size() > 0) append_in_order(std::move(taken.payload), env);
    if (taken.fin) return check_fin(rcv_.nxt, env, now);
  }
}

void Connection::take_out_of_order(const TcpSegment& segment, const SegmentContext& context, Frame frame,
                                   Env& env, Instant now) {
  env.counters.add(Counter::kTcpExtTCPOFOQueue);
  ++out_of_order_segments_;
  note_ecn(context.ecn, env, now);
  ack_policy_.schedule();
  compress_ack(env, now);
  const SeqNum seq = segment.seq;
  const auto size = static_cast<std::uint32_t>(segment.payload.size());
  const bool fin = segment.has(kFin);
  if (frame && !make_room(frame.meta().true_size, env)) {
    env.counters.add(Counter::kTcpExtTCPOFODrop);
    return drop(DropReason::kTcpOfoDrop, env, now);
  }
  const std::size_t true_size = frame ? frame.meta().true_size : 0;
  if (frame)
    measure_segment(context.gso_size != 0 ? context.gso_size : size, size, true_size, segment.has(kPsh));
  const Reassembly::Inserted inserted = busy_->reassembly.insert(seq, std::move(frame), fin, env.frames);
  if (inserted.no_memory) {
    env.counters.add(Counter::kTcpExtTCPOFODrop);
    return drop(DropReason::kTcpOfoDrop, env, now);
  }
  if (!inserted.duplicate.empty() &&
      owe_dsack(busy_->dsack, inserted.duplicate, Counter::kTcpExtTCPDSACKOfoSent, sack_, env))
    ack_now_ = due_ = true;  // nothing is compressed that reports a duplicate
  if (!inserted.accepted) {
    env.counters.add(Counter::kTcpExtTCPOFOMerge);
    return drop(DropReason::kTcpOfoMerge, env, now);
  }
  grow_receive_window(size, true_size, env);
}

// CE on a segment of the peer: every ACK says so until it answers with CWR (RFC 3168 §6.1.3; Linux:
// __tcp_ecn_check_ce).
void Connection::note_ecn(Ecn ecn, Env& env, Instant now) {
  if (!ecn_.on) return;
  switch (ecn) {
    case Ecn::kNotEct:
      // Of a peer that marks its data this is a retransmission: it waits for its ACK.
      if (ecn_.seen_ect) ack_policy_.enter_quick(kEcnQuickAcks, rcv_.wnd);
      return;
    case Ecn::kCe:
      env.tracer.emit(now, Event::kCe, subject_, ecn_.demand_cwr ? 0 : 1);
      if (!ecn_.demand_cwr) ack_policy_.enter_quick(kEcnQuickAcks, rcv_.wnd);
      ecn_.demand_cwr = true;
      break;
    default:
      break;
  }
  ecn_.seen_ect = true;
}

// A duplicate ACK leaves at once, so that the peer sees the loss; beyond the first three of a hole the SACKs
// of one may stand for many (Linux: __tcp_ack_snd_check): tcp_comp_sack_nr of them at most, for 5 % of the
// round trip or tcp_comp_sack_delay.
void Connection::compress_ack(Env& env, Instant now) {
  Activity& busy = *busy_.operator->();
  const bool quick = ack_policy_.quick();
  if (!sack_ || quick || ack_now_ || busy.compressed_acks >= env.knobs.tcp_comp_sack_nr) {
    ack_now_ = due_ = true;
    return;
  }
  if (busy.compressed_at != rcv_.nxt) {
    busy.compressed_at = rcv_.nxt;
    busy.duplicate_acks = 0;
  }
  if (busy.duplicate_acks < kUncompressedAcks) {
    ++busy.duplicate_acks;
    ack_now_ = due_ = true;
    return;
  }
  ++busy.compressed_acks;
  if (armed(Timer::kCompressedAck)) return;
  std::uint32_t rtt_us = sizing_.rtt_us;
  if (rtt_.has_sample()) rtt_us = rtt_us == 0 ? rtt_.srtt_us8() >> 3 : std::min(rtt_us, rtt_.srtt_us8() >> 3);
  const Duration delay =
      std::min<Duration>(env.knobs.tcp_comp_sack_delay, std::chrono::microseconds(rtt_us) / 20);
  arm(Timer::kCompressedAck, now + delay, env, now);
}

// Linux: tcp_try_rmem_schedule and tcp_prune_queue. In-order data may overdraw a buffer that its own window
// allowed; what is out of order goes first.
bool Connection::make_room(std::size_t true_size, Env& env) {
  const auto limit = static_cast<std::size_t>(receive_limit_);
  const auto used = [this] { return busy_->receive_queue.true_size() + busy_->reassembly.true_size(); };
  if (used() + true_size <= limit) return true;
  env.counters.add(Counter::kTcpExtPruneCalled);
  const std::size_t queued = busy_->receive_queue.true_size() + true_size;
  if (!busy_->reassembly.empty()) {
    env.counters.add(Counter::kTcpExtOfoPruned);
    busy_->reassembly.prune(queued < limit ? limit - queued : 0);
  }
  return used() <= limit || busy_->receive_queue.empty();
}

// RFC 9293 §3.10.7.4, eighth. `fin_seq` is the FIN's own sequence number, which is rcv.nxt.
void Connection::check_fin(SeqNum fin_seq, Env& env, Instant now) {
  rcv_.nxt = fin_seq + 1;
  ++bytes_received_;  // Linux counts sequence numbers
  fin_received_ = true;
  ack_policy_.schedule();
  ack_now_ = true;
  busy_->reassembly.clear();
  touch(kTouchedReadable | kTouchedPeerFin);
  switch (state_) {
    case State::kSynReceived:
    case State::kEstablished:
      enter(State::kCloseWait, env, now);
      break;
    case State::kFinWait1:
      enter(State::kClosing, env, now);
      touch(kTouchedHangUp);
      break;
    case State::kFinWait2:
      enter(State::kTimeWait, env, now);
      touch(kTouchedHangUp);
      time_wait_owed_ = true;
      break;
    default:
      break;
  }
}

// ---- the program reads ----

std::size_t Connection::read(MutableBytes out, Env& env, Instant now) {
  const std::size_t count = busy_ ? busy_->receive_queue.read(out) : 0;
  if (count == 0) return 0;
  note_read();
  rcv_.copied += static_cast<std::uint32_t>(count);
  adjust_receive_space(env, now);
  offer_after_read();
  return count;
}

Frame Connection::lend(Env& env, Instant now) {
  Frame frame = busy_ ? busy_->receive_queue.lend() : Frame();
  if (!frame) return frame;
  note_read();
  rcv_.copied += static_cast<std::uint32_t>(frame.size());
  adjust_receive_space(env, now);
  offer_after_read();
  return frame;
}

std::size_t Connection::peek(MutableBytes out, std::size_t offset) const {
  return busy_->receive_queue.peek(out, offset);
}

std::size_t Connection::discard(std::size_t count, Env& env, Instant now) {
  const std::size_t dropped = busy_ ? busy_->receive_queue.discard(count) : 0;
  if (dropped == 0) return 0;
  note_read();
  rcv_.copied += static_cast<std::uint32_t>(dropped);
  adjust_receive_space(env, now);
  offer_after_read();
  return dropped;
}

}  // namespace tapir::tcp
