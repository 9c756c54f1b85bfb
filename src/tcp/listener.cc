// SPDX-License-Identifier: Apache-2.0
#include "tcp/listener.h"

#include <algorithm>

#include "tcp/syn_cookie.h"

namespace tapir::tcp {

using trace::Counter;
using trace::DropReason;

Listener::SynVerdict Listener::on_syn(bool proven, const Knobs& knobs, trace::Counters& counters) const {
  using Kind = SynVerdict::Kind;
  bool cookie = false;
  if (!proven && (knobs.tcp_syncookies == 2 || syn_queue_full())) {
    cookie = knobs.tcp_syncookies != 0;
    counters.add(cookie ? Counter::kTcpExtTCPReqQFullDoCookies : Counter::kTcpExtTCPReqQFullDrop);
    if (!cookie) {
      counters.add(Counter::kTcpExtListenDrops);
      return {Kind::kDrop, DropReason::kTcpReqqFull};
    }
  }
  if (accept_queue_full()) {
    counters.add(Counter::kTcpExtListenOverflows);
    counters.add(Counter::kTcpExtListenDrops);
    return {Kind::kDrop, DropReason::kTcpListenOverflow};
  }
  if (cookie) return {Kind::kCookie, DropReason::kNone};
  // Without cookies the last quarter of tcp_max_syn_backlog is for peers known to be alive, and we remember
  // none.
  const auto backlog_max = static_cast<std::int64_t>(knobs.tcp_max_syn_backlog);
  if (!proven && knobs.tcp_syncookies == 0 && backlog_max - std::int64_t{half_open} < backlog_max >> 2) {
    counters.add(Counter::kTcpExtListenDrops);
    return {Kind::kDrop, DropReason::kTcpReqqFull};
  }
  return {Kind::kHalfOpen, DropReason::kNone};
}

bool Listener::enqueue(Handle<Connection> connection, AcceptPool& pool) {
  const Handle<AcceptEntry> entry = pool.emplace();
  if (!entry) return false;
  pool.get(entry)->connection = connection;
  if (tail_ == 0)
    head_ = entry.index + 1;
  else
    pool.at(tail_ - 1)->next = entry.index + 1;
  tail_ = entry.index + 1;
  ++queued_;
  return true;
}

Handle<Connection> Listener::dequeue(AcceptPool& pool) {
  if (head_ == 0) return {};
  AcceptEntry& entry = *pool.at(head_ - 1);
  const Handle<Connection> connection = entry.connection;
  head_ = entry.next;
  if (head_ == 0) tail_ = 0;
  --queued_;
  pool.erase(entry);
  return connection;
}

bool Listener::cookies_expected(Instant now) const {
  return last_cookie_at_ != kNever && now - last_cookie_at_ <= kCookieAgeMax * kCookiePeriod;
}

int Listener::syn_ack_retries(const Knobs& knobs) const {
  int retries = options.syn_count != 0 ? options.syn_count : knobs.tcp_synack_retries;
  // Half of the room is for young ones: the fuller the queue with old ones, the sooner those are given up.
  if (std::uint64_t{half_open} * 2 > std::max<std::uint64_t>(8, backlog)) {
    std::uint64_t fresh = std::uint64_t{young} * 2;
    while (retries > 2 && half_open >= fresh) {
      --retries;
      fresh *= 2;
      if (fresh == 0) retries = 2;
    }
  }
  return retries;
}

}  // namespace tapir::tcp
