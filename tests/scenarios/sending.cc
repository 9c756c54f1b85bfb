// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/rng.h"
#include "scenarios/calm.h"
#include "scenarios/kinds.h"
#include "scenarios/opening.h"
#include "scenarios/recorder.h"
#include "wire/tcp_segment.h"

namespace tapir::scenarios {

namespace {

// Longest a scenario goes on: so many segments arrive at the peer, so long it takes.
constexpr unsigned kArrivalsMax = 160;
constexpr Duration kEnd = 6s;

// RFC 9293 and 2018, as a careful receiver does it: an ACK for every second segment, at once for what is out
// of order or fills a hole; SACK blocks newest first, D-SACK for what came twice.
class Receiver {
 public:
  Receiver(const Opening& opening, Rng& rng) : opening_(opening), window_(opening.window_max()) {
    if (rng.below(5) == 0) window_ = static_cast<std::uint32_t>(rng.between(4, 40)) * opening.mss;
  }

  // True: an ACK is due at once.
  bool take(std::uint32_t from, std::uint32_t to, std::uint32_t timestamp, bool marked) {
    if (marked) echo_ = true;
    if (from <= last_acknowledged_) recent_ = timestamp;
    ++waiting_;
    const bool seen = to <= next_ || std::any_of(held_.begin(), held_.end(), [&](const auto& h) {
                        return h.first <= from && to <= h.second;
                      });
    if (seen) {
      twice_ = {from, to};
      return true;
    }
    if (from > next_) {
      hold(from, to);
      return true;
    }
    const bool holes = !held_.empty();
    next_ = std::max(next_, to);
    while (!held_.empty() && held_.begin()->first <= next_) {
      next_ = std::max(next_, held_.begin()->second);
      std::erase(order_, held_.begin()->first);
      held_.erase(held_.begin());
    }
    return holes || waiting_ >= 2;
  }
  bool waiting() const { return waiting_ != 0; }

  TcpSpec acknowledge(Duration now) {
    waiting_ = 0;
    TcpSpec ack;
    ack.flags = wire::kAck;
    if (opening_.ecn && echo_) ack.flags |= wire::kEce;
    ack.seq = 1;
    ack.ack = next_;
    last_acknowledged_ = next_;
    ack.window = static_cast<std::uint16_t>(
        std::min<std::uint32_t>(window_ >> (opening_.scaled ? opening_.shift : 0), 65535));
    if (opening_.timestamps) {
      ack.options.nop();
      ack.options.nop();
      ack.options.timestamps({static_cast<std::uint32_t>(700 + now / 1ms), recent_});
    }
    std::vector<wire::SackBlock> blocks;
    if (twice_.second != 0) blocks.push_back({SeqNum(twice_.first), SeqNum(twice_.second)});
    twice_ = {};
    const std::size_t room = opening_.timestamps ? 3 : 4;
    for (auto it = order_.rbegin(); it != order_.rend() && blocks.size() < room; ++it)
      blocks.push_back({SeqNum(*it), SeqNum(held_.at(*it))});
    if (opening_.sack && !blocks.empty()) {
      ack.options.nop();
      ack.options.nop();
      ack.options.sack(blocks);
    }
    return ack;
  }
  void congestion_reduced() { echo_ = false; }
  void set_recent(std::uint32_t timestamp) { recent_ = timestamp; }

 private:
  void hold(std::uint32_t from, std::uint32_t to) {
    // What touches it becomes one block, the newest.
    for (auto it = held_.begin(); it != held_.end();) {
      if (it->first <= to && it->second >= from) {
        from = std::min(from, it->first);
        to = std::max(to, it->second);
        std::erase(order_, it->first);
        it = held_.erase(it);
      } else {
        ++it;
      }
    }
    held_[from] = to;
    order_.push_back(from);
  }

  const Opening& opening_;
  std::uint32_t window_;
  std::uint32_t next_ = 1;
  std::uint32_t last_acknowledged_ = 1;
  std::uint32_t recent_ = 0;
  std::map<std::uint32_t, std::uint32_t> held_;
  std::vector<std::uint32_t> order_;  // their begins, last changed last
  std::pair<std::uint32_t, std::uint32_t> twice_{};
  unsigned waiting_ = 0;
  bool echo_ = false;
};

struct Path {
  std::uint32_t loss_ppm, late_ppm, twice_ppm, ack_loss_ppm, mark_ppm;
  unsigned burst_max;
};

class Sending {
 public:
  Sending(std::uint64_t seed, bool closely)
      : closely_(closely),
        rng_(seed),
        opening_(Opening::any(rng_)),
        receiver_(opening_, rng_),
        recorder_(opening_.commands) {
    static constexpr std::uint32_t kRates[] = {0, 0, 20'000, 50'000, 100'000, 200'000, 400'000};
    const auto rate = [&] { return kRates[rng_.below(std::size(kRates))]; };
    path_ = {rate(),
             rate() / 2,
             rate() / 4,
             rate() / 2,
             opening_.ecn ? rate() / 4 : 0,
             1 + static_cast<unsigned>(rng_.below(4))};
  }

  std::string script() {
    recorder_.on_sent([this](const SeenSegment& seen) { sent(seen); });
    recorder_.accept_connection(opening_.syn(), opening_.rtt, opening_.timestamps);
    if (closely_) recorder_.look_closely();
    receiver_.set_recent(recorder_.last_timestamp());
    if (rng_.below(3) == 0) recorder_.set_option("SOL_TCP", IPPROTO_TCP, "TCP_NODELAY", TCP_NODELAY, 1);
    plan_writes();
    while (!recorder_.broken() && recorder_.now() < kEnd && arrivals_ < kArrivalsMax && step()) {
    }
    recorder_.assert_info();
    return recorder_.text();
  }

 private:
  void plan_writes() {
    Duration at = recorder_.now();
    const auto writes = 1 + rng_.below(rng_.below(2) == 0 ? 2 : 8);
    for (std::uint64_t i = 0; i < writes; ++i) {
      const std::uint64_t segments = rng_.below(3) == 0 ? rng_.between(1, 4) : rng_.between(4, 60);
      std::uint64_t bytes = segments * opening_.mss;
      if (rng_.below(3) == 0) bytes = rng_.between(1, bytes);
      writes_.emplace(at, static_cast<std::uint32_t>(bytes));
      at += Duration(static_cast<std::int64_t>(rng_.between(0, 60)) * kStepMs * 1'000'000);
    }
  }

  static Duration on_step(Duration at) {
    const Duration step = std::chrono::milliseconds(kStepMs);
    return (at + step - Duration(1)) / step * step;
  }

  void sent(const SeenSegment& seen) {
    if ((seen.flags & wire::kCwr) != 0)
      reduced_at_ = std::min(reduced_at_, seen.at - sim::drill::Machine::kStart + opening_.rtt / 2);
    const std::uint32_t unit = seen.segment_size != 0 ? seen.segment_size : std::max(seen.length, 1U);
    const Duration at = seen.at - sim::drill::Machine::kStart;
    for (std::uint32_t done = 0; done < seen.length; done += unit) {
      const std::uint32_t size = std::min(unit, seen.length - done);
      if (burst_left_ != 0 || rng_.chance_ppm(path_.loss_ppm)) {
        burst_left_ = burst_left_ != 0 ? burst_left_ - 1 : static_cast<unsigned>(rng_.below(path_.burst_max));
        continue;
      }
      Duration there = at + opening_.rtt / 2;
      // A kernel's timer is late: so is what it sent, and the answer.
      if (recorder_.by_itself()) there += slack_of(at - recorder_.last_event());
      if (rng_.chance_ppm(path_.late_ppm))
        there += opening_.rtt * static_cast<std::int64_t>(rng_.between(1, 8)) / 8;
      // Round trips of what was sent again are judged against the shortest one: never to be just that.
      if (seen.seq + done < sent_) there += opening_.rtt / 8;
      const bool marked = (seen.tos & 3U) != 0 && rng_.chance_ppm(path_.mark_ppm);
      const Arrival arrival{seen.seq + done, seen.seq + done + size, recorder_.last_timestamp(), marked};
      arriving_.emplace(there, arrival);
      if (rng_.chance_ppm(path_.twice_ppm)) arriving_.emplace(there + opening_.rtt / 4, arrival);
    }
    sent_ = std::max(sent_, seen.seq + seen.length);
  }

  // One thing that happens next: false when there is none.
  bool step() {
    Duration next = Duration::max();
    if (!arriving_.empty()) next = std::min(next, arriving_.begin()->first);
    if (!acks_.empty()) next = std::min(next, acks_.begin()->first);
    if (!writes_.empty()) next = std::min(next, writes_.begin()->first);
    next = std::min(next, delayed_at_);
    const Duration timer = recorder_.next_timeout();
    if (next == Duration::max() && timer > kEnd) return false;
    if (timer < next) {
      recorder_.advance_to(timer);
      return true;
    }
    // Arrivals are the peer's: the stack does not see them.
    if (!arriving_.empty() && arriving_.begin()->first == next) return arrive(), true;
    if (delayed_at_ == next) {
      delayed_at_ = Duration::max();
      if (receiver_.waiting()) answer(next);
      return true;
    }
    const Duration at = advance_calmly(recorder_, on_step(next));
    if (rng_.below(6) == 0 && at + 60ms < recorder_.next_timeout()) recorder_.assert_info();
    while (!acks_.empty() && acks_.begin()->first <= at) {
      const TcpSpec ack = acks_.begin()->second;
      acks_.erase(acks_.begin());
      recorder_.inject(ack);
    }
    while (!writes_.empty() && writes_.begin()->first <= at) {
      const std::uint32_t bytes = writes_.begin()->second;
      writes_.erase(writes_.begin());
      recorder_.write(bytes, rng_.below(12) == 0 ? MSG_MORE : 0);
    }
    return true;
  }

  void arrive() {
    const auto [at, arrival] = *arriving_.begin();
    arriving_.erase(arriving_.begin());
    ++arrivals_;
    if (at >= reduced_at_) {
      reduced_at_ = Duration::max();
      receiver_.congestion_reduced();
    }
    if (receiver_.take(arrival.from, arrival.to, arrival.timestamp, arrival.marked))
      answer(at);
    else if (delayed_at_ == Duration::max())
      delayed_at_ = at + 40ms;
  }

  void answer(Duration at) {
    delayed_at_ = Duration::max();
    const TcpSpec ack = receiver_.acknowledge(at);
    if (!rng_.chance_ppm(path_.ack_loss_ppm)) acks_.emplace(at + opening_.rtt / 2, ack);
  }

  struct Arrival {
    std::uint32_t from, to, timestamp;
    bool marked;
  };

  bool closely_;
  Rng rng_;
  Opening opening_;
  Receiver receiver_;
  Recorder recorder_;
  Path path_{};
  std::uint32_t sent_ = 1;  // up to where
  unsigned burst_left_ = 0;
  unsigned arrivals_ = 0;
  std::multimap<Duration, Arrival> arriving_;
  std::multimap<Duration, TcpSpec> acks_;
  std::multimap<Duration, std::uint32_t> writes_;
  Duration delayed_at_ = Duration::max();
  Duration reduced_at_ = Duration::max();
};

}  // namespace

std::string sending(std::uint64_t seed, bool closely) { return Sending(seed, closely).script(); }

}  // namespace tapir::scenarios
