// SPDX-License-Identifier: Apache-2.0
// What the program writes: how much is taken, in records of what size, how long a call waits for room, and
// when it is told that there is some (Linux: tcp_sendmsg_locked, sk_stream_memory_free, tcp_sndbuf_expand,
// tcp_check_space).
#include <algorithm>
#include <bit>
#include <utility>

#include "tcp/connection.h"

namespace tapir::tcp {

namespace {

// Linux: tcp_sndbuf_expand's estimate of what one segment costs: the MSS with headers, rounded up to a power
// of two, and the skb.
std::int64_t send_buffer_per_segment(std::uint32_t mss) {
  return static_cast<std::int64_t>(std::bit_ceil(mss + 640)) + 256;
}

}  // namespace

// SO_SNDBUF's arithmetic, and so EAGAIN and POLLOUT, follow it (Linux: sk_wmem_queued, a sum of truesizes).
std::size_t Connection::send_charge() const {
  return busy_->send_buffer.size() +
         busy_->record_charge * (busy_->scoreboard.record_count() + busy_->unsent.count());
}

bool Connection::may_write() const {
  return static_cast<std::int64_t>(send_charge()) < send_limit_ && unsent_bytes() < notsent_low_water_;
}

bool Connection::writable() const {
  const auto charge = static_cast<std::int64_t>(send_charge());
  if (send_limit_ - charge < charge / 2) return false;
  // Told again only when half of what may wait has left (Linux: tcp_stream_memory_free with wake = 1).
  return 2 * std::uint64_t{unsent_bytes()} < notsent_low_water_;
}

std::size_t Connection::unsent_bytes() const {
  const SeqNum sent = min(snd_.nxt, busy_->send_buffer.end());
  return busy_->send_buffer.end() - max(sent, busy_->send_buffer.begin());
}

std::uint32_t Connection::gso_max_size(const Env& env) const {
  return std::min(path_->offloads.gso_max_size, static_cast<std::uint32_t>(env.knobs.tcp_gso_max_size));
}

// How many bytes one record may hold (Linux: tcp_xmit_size_goal, tcp_bound_to_half_wnd): whole segments, at
// most half of the largest window the peer offered, so that it need not wait for one record to be complete
// before it can acknowledge.
std::uint32_t Connection::size_goal(const Env& env) const {
  std::uint32_t goal = gso_max_size(env);
  if (goal == 0) return snd_.mss;
  const std::uint32_t cutoff = snd_.max_wnd > 536 ? snd_.max_wnd / 2 : snd_.max_wnd;
  if (cutoff != 0 && goal > cutoff) goal = std::max<std::uint32_t>(cutoff, 68 - wire::kTcpHeaderMin);
  std::uint32_t segments = goal / snd_.mss;
  if (path_->offloads.gso_max_segs != 0)
    segments = std::min<std::uint32_t>(segments, path_->offloads.gso_max_segs);
  return std::max<std::uint32_t>(segments * snd_.mss, snd_.mss);
}

// Takes at most what fills the last record, so that the caller can let poll_segment() have it before the next
// one is begun: Linux's sendmsg sends each skb as it becomes full, and what remains of it is topped up first.
std::size_t Connection::write(Bytes data, WriteFlags flags, Env& env, Instant now) {
  if (send_shutdown_ || state_ == State::kClosed) return 0;
  if (data.empty()) {  // only asks to be told when there is room
    if (!may_write()) no_space_ = true;
    return 0;
  }
  if (!wake(env)) {
    no_space_ = true;
    return 0;
  }
  if (path_used_ && !mid_write_) use_grown_path(env);
  UnsentRecord* tail = busy_->unsent.back(env.unsent);
  const std::uint32_t goal = size_goal(env);
  if (tail != nullptr && (tail->end_of_record || tail->end - tail->begin >= goal)) tail = nullptr;
  const bool fresh = tail == nullptr;
  const bool starved = !mid_write_ && unsent_bytes() < snd_.mss &&
                       std::as_const(busy_)->scoreboard.in_flight() < window_.cwnd &&
                       busy_->scoreboard.lost_out() <= busy_->scoreboard.retrans_out();
  if (starved) rate_.on_application_limited(busy_->scoreboard.in_flight());
  if (fresh) {
    if (!may_write() || env.memory_exhausted()) {
      no_space_ = true;
      // The call is cut short here: what it wrote and could not send yet is pushed (Linux: tcp_sendmsg's
      // wait_for_space).
      if (UnsentRecord* last = mid_write_ ? busy_->unsent.back(env.unsent) : nullptr) {
        last->push = true;
        snd_.pushed = busy_->send_buffer.end();
      }
      return 0;
    }
    restart_after_idle(env, now);
    tail = busy_->unsent.push_back(busy_->send_buffer.end(), env.unsent);
    if (tail == nullptr) {
      no_space_ = true;
      return 0;
    }
  }
  const std::size_t room = goal - (tail->end - tail->begin);
  const std::size_t copied =
      busy_->send_buffer.append(data.first(std::min(room, data.size())), env.chunks, flags.loan);
  if (copied == 0) {
    if (fresh) busy_->unsent.pop_back(env.unsent);
    no_space_ = true;
    return 0;
  }
  chronograph_.start(Chronograph::What::kBusy, now);
  // What a call pushed stays pushed when the same call adds to it.
  if (!mid_write_) tail->push = false;
  push_now_ = false;
  tail->end += static_cast<std::uint32_t>(copied);
  if (flags.loan != nullptr) tail->lent = true;
  corked_now_ = flags.more;
  const bool all = copied == data.size() && !flags.follows;
  mid_write_ = !all;
  if (all && flags.end_of_record) tail->end_of_record = true;
  if (all && flags.urgent) {
    busy_->urgent.up = busy_->send_buffer.end();
    busy_->urgent.sending = true;
  }
  // PSH goes with the end of what the program wrote, and in between once half the peer's window is filled
  // (Linux: forced_push).
  const bool forced = busy_->send_buffer.end() > snd_.pushed + snd_.max_wnd / 2;
  // Until the call is over, a record that became full sends once, if it is the next in line (Linux:
  // tcp_push_one). A full one that leaves no room for another goes without PSH, too.
  const bool full = tail->end - tail->begin >= goal;
  one_send_ = !all && !forced && (full || may_write());
  one_sent_ = false;
  if ((all && !flags.more) || forced || (!full && !may_write())) {
    tail->push = true;
    snd_.pushed = busy_->send_buffer.end();
  }
  if (cork_holds()) arm_probe_if_stuck(env, now);
  return copied;
}

// What MSG_MORE, TCP_CORK or Nagle held back; the last two hold again what is written from now on.
void Connection::push_held() {
  corked_now_ = false;
  push_now_ = options_->no_delay && has_unsent();
}

void Connection::expand_send_limit(Env& env) {
  if (options_->send_buffer != 0) return;
  const std::uint32_t segments = std::max({static_cast<std::uint32_t>(path_->initcwnd), window_.cwnd,
                                           static_cast<std::uint32_t>(env.knobs.tcp_reordering) + 1});
  const std::int64_t wanted =
      2 * std::int64_t{segments} * send_buffer_per_segment(std::max(snd_.peer_mss, snd_.mss));
  send_limit_ = std::max(send_limit_, static_cast<std::int32_t>(std::min(wanted, env.knobs.tcp_wmem[2])));
}

// After an ACK: there may be room again (Linux: tcp_check_space).
void Connection::check_writable(Env& env, Instant now) {
  if (!no_space_) return;
  if (std::as_const(busy_)->scoreboard.in_flight() < window_.cwnd && !env.memory_pressure())
    expand_send_limit(env);
  if (!writable()) return;
  chronograph_.stop(Chronograph::What::kSendBuffer, false, now);
  no_space_ = false;
  touch(kTouchedWritable);
}

std::size_t Connection::memory_used() const {
  return send_charge() + busy_->receive_queue.true_size() + busy_->reassembly.true_size();
}

}  // namespace tapir::tcp
