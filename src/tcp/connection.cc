// SPDX-License-Identifier: Apache-2.0
// Birth, the program's calls, and the end of a connection.
#include "tcp/connection.h"

#include <algorithm>
#include <utility>

#include "tcp/events.h"
#include "tcp/initial_window.h"

namespace tapir::tcp {

using trace::Counter;

namespace {

// The time-out after a handshake that gave no round-trip time (RFC 6298 §5.7; Linux: TCP_TIMEOUT_FALLBACK).
constexpr Duration kRtoWithoutSample = 3s;

std::uint16_t initial_reordering(const Knobs& knobs) {
  return static_cast<std::uint16_t>(std::clamp(knobs.tcp_reordering, 0, 0xffff));
}

}  // namespace

Connection::Connection(trace::Subject subject) : TouchedLink(false), subject_(subject) {}

Connection::~Connection() = default;

// ---- memory ----

bool Connection::take_memory(const SocketOptions& options, const Path& path, Env& env) {
  options_ = env.options.share(options);
  corked_ = options.cork;
  return adopt_path(path, env) && options_ != nullptr && wake(env);
}

bool Connection::wake(Env& env) {
  if (busy_) return true;
  if (!busy_.make(env.activities)) return false;
  busy_->record_charge = static_cast<std::uint16_t>(env.knobs.tcp_record_charge);
  busy_->send_buffer.start(stream_end_);
  return true;
}

void Connection::rest(Env& env) {
  if (!busy_ || !busy_->over() || output_wanted() || syn_deferred()) return;
  stream_end_ = busy_->send_buffer.end();
  busy_->send_buffer.release_all(env.chunks);
  busy_.give_back(env.activities);
}

void Connection::release(Env& env) {
  drop_notes(env);
  if (busy_) {
    if (busy_->fast_open_request != 0) (void)take_fast_open_end(env);
    busy_->scoreboard.clear(env.transmissions);
    busy_->unsent.clear(env.unsent);
    busy_->send_buffer.release_all(env.chunks);
    busy_->receive_queue.clear();
    busy_->reassembly.clear();
    busy_.give_back(env.activities);
  }
  if (options_ != nullptr) env.options.drop(std::exchange(options_, nullptr));
  if (path_ != nullptr) env.paths.drop(std::exchange(path_, nullptr));
}

SocketOptions* Connection::edit_options(Env& env) { return env.options.own(options_); }

void Connection::settle_options(Env& env) { env.options.settle(options_); }

// ---- birth ----

void Connection::open_active(const FourTuple& tuple, const Path& path, SeqNum iss, std::uint32_t ts_offset,
                             Env& env, Instant now) {
  tuple_ = tuple;
  ts_.offset = ts_offset;
  timestamps_ = env.knobs.tcp_timestamps != 0;
  sack_ = env.knobs.tcp_sack != 0;
  window_scaling_ = env.knobs.tcp_window_scaling != 0;
  snd_.iss = snd_.una = snd_.nxt = snd_.wl1 = snd_.sml = iss;
  snd_.pushed = iss + 1;
  busy_->send_buffer.start(iss + 1);
  set_buffer_limits(env.knobs);
  rcv_.advmss = options_->max_segment != 0 ? std::min(options_->max_segment, path.advmss) : path.advmss;
  const InitialWindow initial =
      select_initial_window(window_from_space(receive_limit_), rcv_.advmss, options_->window_clamp,
                            window_scaling_, path.initrwnd, env.knobs);
  rcv_.wscale = initial.wscale;
  rcv_.wnd = initial.rcv_wnd;
  rcv_.ssthresh = initial.rcv_wnd;
  rcv_.window_clamp = initial.window_clamp;
  window_.cwnd = path.initcwnd;
  refresh_mss(env);
  rto_.set(1s, env.knobs);
  cwnd_stamp_ = opened_at_ = last_received_at_ = StampMs(now);
  busy_->retransmits_began = now;  // TCP_USER_TIMEOUT counts from the first SYN
  ecn_.wanted = env.knobs.tcp_ecn == 1;
  loss_memory_.reordering = initial_reordering(env.knobs);
  if (options_->congestion[0] != 0)
    control_.select(options_->congestion.data());
  else
    control_.select(env.knobs.tcp_congestion_control);
  syn_owed_ = true;
  enter(State::kSynSent, env, now);
}

// What both kinds of passive open share.
void Connection::set_up_passive(const Handshake& handshake, const Path& path, Env& env, Instant now) {
  passive_ = true;
  segments_in_ = 1;  // the SYN
  tuple_ = handshake.tuple;
  timestamps_ = handshake.timestamps;
  ts_.offset = handshake.ts_offset;
  ts_.recent = handshake.ts_recent;
  ts_.recent_at = StampS(now);
  sack_ = handshake.sack;
  window_scaling_ = handshake.window_scaling;
  snd_.iss = handshake.iss;
  snd_.una = snd_.nxt = snd_.sml = snd_.pushed = handshake.iss + 1;
  snd_.wl1 = handshake.irs;
  snd_.wscale = handshake.snd_wscale;
  snd_.peer_mss = handshake.peer_mss;
  busy_->send_buffer.start(handshake.iss + 1);
  rcv_.irs = handshake.irs;
  rcv_.nxt = rcv_.wup = rcv_.copied = handshake.irs + 1;
  ts_.last_ack_sent = rcv_.nxt;
  rcv_.wscale = handshake.rcv_wscale;
  rcv_.advmss = options_->max_segment != 0 ? std::min(options_->max_segment, path.advmss) : path.advmss;
  set_buffer_limits(env.knobs);
  set_up_receive_window(handshake.rcv_wnd, handshake.window_clamp, env.knobs);
  window_.cwnd = path.initcwnd;
  refresh_mss(env);
  rto_.set(1s, env.knobs);
  total_retransmits_ = handshake.syn_ack_retransmits;
  ecn_.on = handshake.ecn;
  loss_memory_.reordering = initial_reordering(env.knobs);
  cwnd_stamp_ = opened_at_ = last_received_at_ = StampMs(now);
  if (options_->congestion[0] != 0)
    control_.select(options_->congestion.data());
  else
    control_.select(env.knobs.tcp_congestion_control);
}

void Connection::open_passive(const Handshake& handshake, const Path& path, Env& env, Instant now) {
  set_up_passive(handshake, path, env, now);
  // A SYN-ACK sent again gives no sample; the window starts from one segment when more than one was lost (RFC
  // 5681 §3.1, as Linux's tcp_init_transfer reads it).
  if (handshake.syn_ack_retransmits == 0 && handshake.syn_ack_sent_at != kNever) {
    rtt_.on_sample(std::max<Duration>(now - handshake.syn_ack_sent_at, 1us), now, snd_.una.value(),
                   snd_.nxt.value(), env.knobs);
    rto_.set(rtt_.base_rto(env.knobs), env.knobs);
  } else if (handshake.syn_ack_retransmits > 1) {
    window_.cwnd = 1;
  }
  rate_.on_handshake();
  enter(State::kEstablished, env, now);
  become_established(env, now);
  if (options_->send_shut) shutdown_send(env, now);
  // The ACK of the handshake is about to be given to on_segment(), which takes the window from it.
}

void Connection::become_established(Env& env, Instant now) {
  ack_policy_.set_initial_rcv_mss(static_cast<std::uint16_t>(
      std::clamp<std::uint32_t>(std::min<std::uint32_t>(rcv_.advmss, snd_.mss), kRcvMssMin, 536)));
  // What the peer's segments can carry; one that connects has reckoned with it since the SYN-ACK (Linux:
  // tcp_rcv_state_process).
  if (timestamps_ && passive_ && state_ == State::kEstablished)
    rcv_.advmss = static_cast<std::uint16_t>(rcv_.advmss - kTimestampBytes);
  sizing_.space = std::min<std::uint32_t>(rcv_.wnd, 10U * rcv_.advmss);
  sizing_.seq = rcv_.copied;
  sizing_.began = StampUs(now);
  opened_at_ = StampMs(now);
  if (busy_) busy_->retransmits_began = {};
  if (!rtt_.has_sample() && !fast_open_pending()) rto_.set(kRtoWithoutSample, env.knobs);
  if (!passive_ && total_retransmits_ > 1) window_.cwnd = 1;
  expand_send_limit(env);
  last_sent_at_ = now;
  update_pacing_rate(env);
  arm_keepalive(env, now);
  touch(kTouchedWritable | kTouchedConnected);
}

// The only writer of state_.
void Connection::enter(State to, Env& env, Instant now) {
  if (state_ == to) return;
  TAPIR_INVARIANT(legal_move(state_, to), "states move along RFC 9293's figure 5");
  const bool was_counted = state_ == State::kEstablished || state_ == State::kCloseWait;
  const bool is_counted = to == State::kEstablished || to == State::kCloseWait;
  if (is_counted && !was_counted) env.counters.add(Counter::kTcpCurrEstab);
  if (was_counted && !is_counted) {
    env.counters.subtract(Counter::kTcpCurrEstab);
    if (to == State::kClosed) env.counters.add(Counter::kTcpEstabResets);
  }
  if ((state_ == State::kSynSent || state_ == State::kSynReceived) && to == State::kClosed)
    env.counters.add(Counter::kTcpAttemptFails);
  env.tracer.emit(now, Event::kState, subject_, static_cast<std::uint64_t>(state_),
                  static_cast<std::uint64_t>(to));
  state_ = to;
}

void Connection::set_buffer_limits(const Knobs& knobs) {
  send_limit_ =
      options_->send_buffer != 0 ? options_->send_buffer : static_cast<std::int32_t>(knobs.tcp_wmem[1]);
  receive_limit_ =
      options_->receive_buffer != 0 ? options_->receive_buffer : static_cast<std::int32_t>(knobs.tcp_rmem[1]);
}

void Connection::shutdown_send(Env& env, Instant now) {
  if (send_shutdown_) return;
  send_shutdown_ = true;
  switch (state_) {
    case State::kSynReceived:
    case State::kEstablished:
      fin_owed_ = true;
      enter(State::kFinWait1, env, now);
      break;
    case State::kCloseWait:
      fin_owed_ = true;
      enter(State::kLastAck, env, now);
      break;
    default:
      break;
  }
  corked_now_ = false;
}

void Connection::shutdown_receive() { receive_shutdown_ = true; }

// ---- the end ----

Duration Connection::fin_timeout(const Env& env) const {
  const Duration asked =
      std::chrono::seconds(options_->linger2 > 0 ? options_->linger2 : env.knobs.tcp_fin_timeout);
  return std::max<Duration>(asked, rto_.value() * 4 - rto_.value() / 2);
}

void Connection::enter_fin_wait_2_orphan(Env& env, Instant now) {
  if (options_->linger2 < 0) {
    env.counters.add(Counter::kTcpExtTCPAbortOnLinger);
    abort(CloseCause::kAborted, env, now);
    return;
  }
  const Duration timeout = fin_timeout(env);
  // What is longer than TIME-WAIT waits as a whole connection first, as in Linux.
  if (timeout > 60s)
    arm(Timer::kKeepalive, now + (timeout - Duration(60s)), env, now);
  else
    time_wait_owed_ = true;
}

void Connection::close(Env& env, Instant now) {
  orphan_ = true;
  receive_shutdown_ = true;
  if (state_ == State::kClosed) return;
  const bool unread = readable_bytes() > 0;
  if (unread) {
    env.counters.add(Counter::kTcpExtTCPAbortOnClose);
    abort(CloseCause::kAborted, env, now);
    return;
  }
  if (state_ == State::kSynSent) {
    finish(CloseCause::kAborted, env, now);
    return;
  }
  shutdown_send(env, now);
  if (state_ == State::kFinWait2) enter_fin_wait_2_orphan(env, now);
}

void Connection::abort(CloseCause cause, Env& env, Instant now) {
  const bool tell = state_ != State::kClosed && state_ != State::kSynSent && state_ != State::kTimeWait &&
                    state_ != State::kLastAck && state_ != State::kClosing;
  if (tell && wake(env)) {
    busy_->reset = {.owed = true, .with_ack = true, .seq = snd_.nxt, .ack = rcv_.nxt};
    due_ = true;
  }
  finish(cause, env, now);
}

// Everything stops; what was received may still be read (Linux: tcp_done).
void Connection::finish(CloseCause cause, Env& env, Instant now) {
  if (state_ == State::kClosed) return;
  if (cause_ == CloseCause::kNone) cause_ = cause;
  if (cause != CloseCause::kNone && cause != CloseCause::kAborted) {
    pending_cause_ = cause;
    touch(kTouchedError);
  }
  judge_fast_open(env, now);
  end_fast_open();
  notes_on_end(env, now);
  keepalive_at_ = kNever;
  deadlines_changed_ = true;
  syn_owed_ = fin_owed_ = probe_owed_ = ack_now_ = challenge_owed_ = false;
  send_shutdown_ = receive_shutdown_ = true;
  time_wait_owed_ = false;
  backoff_ = 0;
  if (busy_) {
    busy_->deadlines.fill(kNever);
    busy_->scoreboard.clear(env.transmissions);
    busy_->unsent.clear(env.unsent);
    busy_->send_buffer.release_all(env.chunks);
    busy_->reassembly.clear();
  }
  enter(State::kClosed, env, now);
  touch(kTouchedReadable | kTouchedWritable | kTouchedHangUp | kTouchedPeerFin);
}

CloseCause Connection::take_cause() { return std::exchange(pending_cause_, CloseCause::kNone); }

Remains Connection::take_remains(Env& env, Instant now) {
  Remains remains;
  remains.tuple = tuple_;
  remains.snd_nxt = snd_.nxt;
  remains.rcv_nxt = rcv_.nxt;
  remains.rcv_wnd = receive_window();
  remains.rcv_wscale = rcv_.wscale;
  remains.timestamps = timestamps_;
  remains.ts_recent = ts_.recent;
  remains.ts_recent_at = ts_.recent_at.at(now);
  remains.ts_offset = ts_.offset;
  remains.tos = options_->tos;
  remains.fin_wait_2 = state_ == State::kFinWait2;
  remains.timeout = remains.fin_wait_2 ? std::min<Duration>(fin_timeout(env), 60s) : Duration(60s);
  finish(CloseCause::kNone, env, now);
  return remains;
}

// ---- options ----

void Connection::on_options_changed(Env& env, Instant now) {
  if (options_->send_buffer != 0) send_limit_ = options_->send_buffer;
  if (options_->receive_buffer != 0) receive_limit_ = options_->receive_buffer;
  if (options_->window_clamp != 0) {
    rcv_.window_clamp = options_->window_clamp;
    rcv_.ssthresh = std::min(rcv_.ssthresh, rcv_.window_clamp);
  }
  if (state_ == State::kClosed) return;
  refresh_mss(env);
  arm_keepalive(env, now);
  check_writable(env, now);
}

bool Connection::set_congestion_control(std::string_view name) { return control_.select(name); }

void Connection::set_quickack(int value) {
  if (ack_policy_.set_quickack(value) && readable_bytes() == 0) ack_now_ = true;
}

}  // namespace tapir::tcp
