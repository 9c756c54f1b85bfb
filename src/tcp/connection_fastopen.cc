// SPDX-License-Identifier: Apache-2.0
// Fast Open (RFC 7413) in a connection: a server's SYN-RECEIVED that may already be read and written, a
// client's SYN with data.
#include <algorithm>

#include "tcp/connection.h"
#include "tcp/events.h"
#include "tcp/fastopen.h"
#include "tcp/reset.h"

namespace tapir::tcp {

using trace::Counter;
using trace::DropReason;
using namespace wire;  // the names of flags and options

namespace {

// What a SYN's data leave free: middleboxes add options of their own (Linux: MAX_TCP_OPTION_SPACE).
constexpr std::uint32_t kOptionReserve = 40;
// The time-out of the first SYN-ACK (RFC 6298 §2.1).
constexpr Duration kSynAckTimeout = 1s;

}  // namespace

// ---- the server ----

FastOpenRequest& Connection::fast_open_request(Env& env) const {
  return *env.fast_open_requests.at(busy_->fast_open_request - 1);
}

bool Connection::open_fast(const FastOpenRequest& request, std::uint32_t ts_offset, const Path& path,
                           const TcpSegment& syn, Frame data, Env& env, Instant now) {
  const Handle<FastOpenRequest> handle = env.fast_open_requests.emplace(request);
  if (!handle) return false;
  busy_->fast_open_request = handle.index + 1;
  FastOpenRequest& kept = *env.fast_open_requests.get(handle);
  kept.request.flags |= HalfOpen::kFastOpen;
  set_up_passive(request.request.handshake(ts_offset), path, env, now);
  snd_.wnd = snd_.max_wnd = syn.window;  // never scaled on a SYN (RFC 7323 §2.2)
  refresh_mss(env);
  enter(State::kSynReceived, env, now);
  become_established(env, now);
  const auto size = static_cast<std::uint32_t>(data.size());
  if (size > 0 && make_room(data.meta().true_size, env)) {
    queue_in_order(std::move(data), size, syn.has(kPsh), env, now);
    ++data_segments_in_;
    set_mark(kSynDataAcked);
    kept.request.set_syn_data(size);
  }
  set_mark(kFastOpenChild);
  rcv_.wup = rcv_.nxt;
  syn_owed_ = due_ = true;
  arm(Timer::kRetransmit, now + kSynAckTimeout, env, now);
  return true;
}

bool Connection::emit_fast_open_syn_ack(OutgoingFrame& out, Env& env, Instant now) {
  FastOpenRequest& pending = fast_open_request(env);
  const std::uint32_t stamp = timestamp_clock(now);
  TcpSegment segment = pending.request.syn_ack(stamp);
  if (!pending.sent) segment.options.fast_open = pending.option;
  if (signs()) segment.options.md5.emplace();
  if (tcp_options_length(segment.options, true) > kTcpOptionBytesMax) segment.options.fast_open.reset();
  if (!pending.sent) pending.request.first_ts_value = stamp;
  pending.sent = true;
  pending.request.syn_ack_sent_at = now;
  syn_owed_ = false;
  const MutableBytes header = out.append_header(tcp_header_length(segment.options, true));
  emit_tcp(segment, header);
  out.checksum = {.wanted = true, .start = 0, .offset = static_cast<std::uint16_t>(kTcpChecksumOffset)};
  env.counters.add(Counter::kTcpOutSegs);
  trace_segment(Event::kSegmentOut, segment, 0, env, now);
  if (rcv_.nxt == pending.request.rcv_nxt()) note_ack_sent(env);
  return true;
}

// Before anything else looks at a segment: who may go on (Linux: tcp_check_req with a Fast Open child).
Connection::Verdict Connection::check_fast_open(const TcpSegment& segment, Env& env, Instant now) {
  using Kind = HalfOpen::Verdict::Kind;
  FastOpenRequest& pending = fast_open_request(env);
  const HalfOpen::Verdict verdict =
      pending.request.on_segment(segment, ts_.offset, 0, env.knobs, env.counters, now);
  switch (verdict.kind) {
    case Kind::kComplete:
      return Verdict::kContinue;
    case Kind::kSynAck:
      env.counters.add(Counter::kTcpRetransSegs);
      env.counters.add(Counter::kTcpExtTCPSynRetrans);
      if (pending.request.retransmits != 255) ++pending.request.retransmits;
      ++total_retransmits_;
      syn_owed_ = due_ = true;
      break;
    case Kind::kAck:
      ack_now_ = due_ = true;
      break;
    case Kind::kResetAndEnd:
      // A SYN that anybody could have made: it is answered, and ends nothing (Linux: tcp_check_req).
      if (const auto reset = build_reset(segment)) {
        busy_->reset = {.owed = true, .with_ack = reset->has(kAck), .seq = reset->seq, .ack = reset->ack};
        due_ = true;
      }
      break;
    case Kind::kEnd:
      set_mark(kFastOpenReset);
      finish(CloseCause::kReset, env, now);
      break;
    case Kind::kDrop:
    case Kind::kListener:
      break;
  }
  drop(verdict.reason == DropReason::kNone ? DropReason::kTcpFastOpen : verdict.reason, env, now);
  return Verdict::kDone;
}

// The third segment came (Linux: tcp_rcv_synrecv_state_fastopen).
void Connection::finish_fast_open(Env& env, Instant now) {
  const HalfOpen& request = fast_open_request(env).request;
  rate_.on_handshake();
  if (!rtt_.has_sample() && request.retransmits == 0) {
    rtt_.on_sample(std::max<Duration>(now - request.syn_ack_sent_at, 1us), now, snd_.una.value(),
                   snd_.nxt.value(), env.knobs);
    rto_.set(rtt_.base_rto(env.knobs), env.knobs);
  }
  retransmits_ = backoff_ = 0;
  busy_->retransmits_began = {};
  end_fast_open();
  // What was sent meanwhile has its own time-out from now on.
  if (busy_->scoreboard.empty())
    disarm(Timer::kRetransmit);
  else
    arm_loss(Timer::kRetransmit, now + rto_.value(), env, now);
}

void Connection::end_fast_open() {
  if (fast_open_pending()) set_mark(kFastOpenEnded);
}

void Connection::note_accepted(Env& env) {
  if (fast_open_pending()) fast_open_request(env).accepted = true;
}

Connection::FastOpenEnd Connection::take_fast_open_end(Env& env) {
  FastOpenRequest& pending = fast_open_request(env);
  const FastOpenEnd end{pending.listener.packed(), has_mark(kFastOpenReset) && pending.accepted};
  env.fast_open_requests.erase(pending);
  busy_->fast_open_request = 0;
  clear_mark(kFastOpenEnded);
  return end;
}

// Before the SYN-ACK is acknowledged nothing else is sent again (Linux: tcp_fastopen_synack_timer).
void Connection::on_syn_ack_timeout(Env& env, Instant now) {
  HalfOpen& request = fast_open_request(env).request;
  env.counters.add(Counter::kTcpExtTCPTimeouts);
  note_timeout();
  const int tries = options_->syn_count != 0 ? options_->syn_count : env.knobs.tcp_synack_retries + 1;
  if (request.timeouts >= tries) {
    env.counters.add(Counter::kTcpExtTCPAbortOnTimeout);
    return finish(soft_cause_ != CloseCause::kNone ? soft_cause_ : CloseCause::kTimedOut, env, now);
  }
  if (retransmits_ == 1) busy_->recovery.on_rto(sender(env, now), 0, false);
  env.counters.add(Counter::kTcpRetransSegs);
  env.counters.add(Counter::kTcpExtTCPSynRetrans);
  if (request.retransmits != 255) ++request.retransmits;
  ++total_retransmits_;
  syn_owed_ = true;
  if (request.timeouts != 255) ++request.timeouts;
  if (retransmits_ != 255) ++retransmits_;
  if (busy_->retransmits_began == Instant{}) busy_->retransmits_began = now;
  const Duration wait = std::min(
      kSynAckTimeout * (std::int64_t{1} << std::min<unsigned>(request.timeouts, 20)), env.knobs.rto_max);
  arm(Timer::kRetransmit, later(now, wait), env, now);
}

// ---- the client ----

void Connection::ask_fast_open(bool defer) {
  set_mark(kFastOpenAsked);
  if (!defer) return;
  set_mark(kSynDeferred);
  syn_owed_ = false;
}

void Connection::release_syn(Instant now) {
  if (!syn_deferred()) return;
  clear_mark(kSynDeferred);
  syn_owed_ = true;
  opened_at_ = cwnd_stamp_ = last_received_at_ = StampMs(now);
  busy_->retransmits_began = now;
}

// Linux: tcp_fastopen_cookie_check.
Connection::SynOffer Connection::syn_offer(const Env& env, Instant now) const {
  const FastOpenPause::Answer pause = env.fast_open.pause.ask(env.knobs, now);
  SynOffer offer;
  if (!pause.allowed) return offer;
  offer.trial = pause.on_trial;
  if (options_->fast_open_no_cookie || (env.knobs.tcp_fastopen & kFastOpenClientNoCookie) != 0) {
    offer.data = true;
    return offer;
  }
  const FastOpenMetric* known = env.fast_open.cache.find(tuple_.local.address, tuple_.remote.address);
  offer.option.emplace();
  if (known == nullptr) return offer;
  *offer.option = known->cookie;
  offer.data = known->cookie.length > 0;
  if (!offer.data && known->try_experimental == 1) offer.option->experimental = true;
  return offer;
}

bool Connection::fast_open_ready(const Env& env, Instant now) const { return syn_offer(env, now).data; }

std::size_t Connection::syn_data_room(const Env& env, Instant now) const {
  if (state_ != State::kSynSent || !has_mark(kFastOpenAsked) || !busy_->scoreboard.empty() ||
      !syn_offer(env, now).data)
    return 0;
  const FastOpenMetric* known = env.fast_open.cache.find(tuple_.local.address, tuple_.remote.address);
  std::uint32_t mss = known != nullptr && known->mss != 0 ? known->mss : rcv_.advmss;
  if (options_->max_segment != 0) mss = std::min<std::uint32_t>(mss, options_->max_segment);
  mss = std::min(mss, path_->mtu > 40 ? path_->mtu - 40 : 1);
  mss = std::max<std::uint32_t>(mss, static_cast<std::uint32_t>(env.knobs.tcp_min_snd_mss));
  const auto room = static_cast<std::size_t>(mss > kOptionReserve ? mss - kOptionReserve : 0);
  return room - std::min(room, busy_->send_buffer.size());
}

std::size_t Connection::add_syn_data(Bytes data, Env& env, Instant now) {
  if (!wake(env)) return 0;
  return busy_->send_buffer.append(data.first(std::min(data.size(), syn_data_room(env, now))), env.chunks);
}

// The option of the first SYN (Linux: tcp_send_syn_data, tcp_syn_options).
void Connection::offer_fast_open(TcpOptions& options, Env& env, Instant now) {
  const SynOffer offer = syn_offer(env, now);
  if (offer.trial) set_mark(kFastOpenTrial);
  if (!offer.option) return;
  if (!offer.data) fast_open_failure_ = FastOpenFailure::kCookieUnavailable;
  options.fast_open = offer.option;
  if (tcp_options_length(options, true) > kTcpOptionBytesMax) {
    options.fast_open.reset();
    return;
  }
  set_mark(kSynFastOpen);
  if (offer.option->experimental) set_mark(kSynFastOpenExp);
}

// The SYN's data are a record of their own: should the SYN be sent again, it goes without them.
void Connection::record_syn_data(Env& env, Instant now) {
  const SeqRange range{snd_.iss + 1, busy_->send_buffer.end()};
  Transmission* const record =
      busy_->scoreboard.on_sent(range, std::max<std::uint16_t>(snd_.mss, 1), now, env.transmissions);
  if (record == nullptr) {
    // No memory: they wait for the handshake like any other data, if even that can be noted.
    if (UnsentRecord* const waits = busy_->unsent.push_back(range.begin, env.unsent)) {
      waits->end = range.end;
      waits->push = true;
    } else {
      busy_->send_buffer.release_all(env.chunks);
      busy_->send_buffer.start(range.begin);
    }
    return;
  }
  rate_.on_sent(*record, false, busy_->flight, now);
  record->push = true;
  snd_.nxt = range.end;
  snd_.pushed = range.end;
  set_mark(kSynData);
  last_sent_at_ = now;
  bytes_sent_ += range.length();
  data_segments_out_ += record->segments();
  env.counters.add(Counter::kTcpExtTCPOrigDataSent, record->segments());
}

// The SYN-ACK: a cookie to keep, and whether the data were taken (Linux: tcp_rcv_fastopen_synack).
void Connection::on_fast_open_answer(const TcpSegment& segment, Env& env, Instant now) {
  if (!has_mark(kSynFastOpen) && !has_mark(kSynData)) return;
  const bool unacked = has_mark(kSynData) && !busy_->scoreboard.empty();
  const FastOpenOption* cookie = segment.options.fast_open ? &*segment.options.fast_open : nullptr;
  bool lost = false;
  std::uint8_t try_experimental = 0;
  if (!has_mark(kSynFastOpen))
    cookie = nullptr;  // nobody asked for it
  else if (total_retransmits_ > 0)
    lost = cookie == nullptr && unacked;
  else if (cookie == nullptr && !has_mark(kSynData))
    try_experimental = has_mark(kSynFastOpenExp) ? 2 : 1;
  env.fast_open.cache.learn(tuple_.local.address, tuple_.remote.address, segment.options.mss.value_or(536),
                            cookie, lost, try_experimental, now);
  if (unacked) {
    fast_open_failure_ =
        total_retransmits_ > 0 ? FastOpenFailure::kSynRetransmitted : FastOpenFailure::kDataNotAcked;
    for (Transmission* t = busy_->scoreboard.first(); t != nullptr; t = busy_->scoreboard.next(*t))
      busy_->scoreboard.mark_lost(*t);
    busy_->recovery.resend_from(snd_.una);
    env.counters.add(Counter::kTcpExtTCPFastOpenActiveFail);
    return;
  }
  if (!has_mark(kSynData)) return;
  set_mark(kSynDataAcked);
  env.counters.add(Counter::kTcpExtTCPFastOpenActive);
  // One packet on the wire, two records.
  rate_.discount();
}

// The third time-out in a row, or the last, of a connection whose SYN was unusual: it may be why nothing gets
// through (Linux: tcp_fastopen_active_detect_blackhole).
void Connection::watch_fast_open_timeout(bool expired, Env& env, Instant now) {
  if (!has_mark(kSynFastOpen) && !has_mark(kSynData)) return;
  if (retransmits_ != 2 && !(retransmits_ < 2 && expired)) return;
  env.fast_open.pause.begin(env.knobs, env.counters, now);
  env.counters.add(Counter::kTcpExtTCPFastOpenActiveFail);
}

// At the end: a FIN that came though no data ever did tells of a box that swallows them; data of one on
// trial, that there is none (Linux: tcp_fastopen_active_disable_ofo_check).
void Connection::judge_fast_open(Env& env, Instant now) {
  if (!has_mark(kSynFastOpen)) return;
  if (data_segments_in_ == 0) {
    if (busy_ && busy_->reassembly.only_the_last_segment())
      env.fast_open.pause.begin(env.knobs, env.counters, now);
  } else if (has_mark(kFastOpenTrial)) {
    env.fast_open.pause.end();
  }
}

}  // namespace tapir::tcp
