// SPDX-License-Identifier: Apache-2.0
#include "tcp/ack_policy.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace tapir::tcp {
namespace {

// Linux: TCP_MSS_DEFAULT, and TCP_MIN_MSS, the least segment a sane peer cuts.
constexpr std::uint32_t kMssDefault = 536;
constexpr std::uint32_t kMssMin = 88;
// Quick-ACKs when the window says none.
constexpr std::uint32_t kQuickAcksMin = 2;
// The longest a delayed ACK may wait for a segment that does not come in bulk (Linux: HZ / 2).
constexpr Duration kAtoMaxBulk = 500ms;

}  // namespace

void AckPolicy::on_data(std::uint32_t rcv_wnd, Instant now, Duration srtt, const Knobs& knobs) {
  scheduled_ = true;
  rto_ = shorten(srtt > Duration::zero() ? std::min(srtt + knobs.rto_min, knobs.rto_max) : Duration(1s));
  if (ato_ == ShortDuration::zero()) {
    // The first data: the peer is in slow start, and each ACK makes it faster.
    raise_quick(kQuickAcksMax, rcv_wnd);
    ato_ = shorten(kAtoMin);
  } else {
    const Duration gap = now - last_data_at_;
    if (gap <= kAtoMin / 2) {
      ato_ = shorten(ato_ / 2 + kAtoMin / 2);
    } else if (gap < ato_) {
      ato_ = shorten(std::min<Duration>(ato_ / 2 + gap, rto_));
    } else if (gap > rto_) {
      // So long a pause means that the peer starts from a small window again.
      raise_quick(kQuickAcksMax, rcv_wnd);
    }
  }
  last_data_at_ = now;
}

void AckPolicy::measure(std::uint32_t bytes, bool push) {
  const std::uint16_t previous = std::exchange(last_segment_size_, std::uint16_t{0});
  const auto size =
      static_cast<std::uint16_t>(std::min<std::uint32_t>(bytes, std::numeric_limits<std::uint16_t>::max()));
  if (size >= rcv_mss_) {
    rcv_mss_ = size;
    // A full segment that ends a write: the peer may wait for its ACK.
    if (push) pushes_ = std::max<std::uint8_t>(pushes_, 1);
    return;
  }
  // Smaller than thought: two in a row of the same size, neither the end of a write, say that full ones are
  // that small.
  if (size >= kMssDefault || (size >= kMssMin && !push)) {
    last_segment_size_ = size;
    if (size == previous) {
      rcv_mss_ = size;
      return;
    }
  }
  if (pushes_ < 2) ++pushes_;
}

void AckPolicy::raise_quick(std::uint8_t budget, std::uint32_t rcv_wnd) {
  std::uint32_t acks = rcv_wnd / (2U * rcv_mss_);
  if (acks == 0) acks = kQuickAcksMin;
  quick_ = std::max(quick_, static_cast<std::uint8_t>(std::min<std::uint32_t>(acks, budget)));
}

void AckPolicy::enter_quick(std::uint8_t budget, std::uint32_t rcv_wnd) {
  raise_quick(budget, rcv_wnd);
  ping_pong_count_ = 0;
  ato_ = shorten(kAtoMin);
}

void AckPolicy::on_data_sent(Instant now) {
  if (now - last_data_at_ < ato_ && ping_pong_count_ < std::numeric_limits<std::uint8_t>::max())
    ++ping_pong_count_;
}

void AckPolicy::on_ack_sent(std::uint32_t segments) {
  if (quick_ != 0 && scheduled_) {
    if (segments >= quick_) {
      quick_ = 0;
      ato_ = shorten(kAtoMin);  // leaving quick mode starts the measure of gaps anew
    } else {
      quick_ = static_cast<std::uint8_t>(quick_ - segments);
    }
  }
  scheduled_ = false;
  pushes_ = 0;
}

bool AckPolicy::due_now(std::uint32_t unacked, bool window_would_grow) const {
  return (unacked > rcv_mss_ && window_would_grow) || quick();
}

bool AckPolicy::due_after_read(std::uint32_t unacked, bool read_any, bool drained) const {
  if (!scheduled_) return false;
  if (unacked > rcv_mss_) return true;
  return read_any && drained && (pushes_ == 2 || (pushes_ == 1 && !ping_pong()));
}

Duration AckPolicy::delay(Duration srtt, Duration rto_min, const Knobs& knobs) const {
  Duration wait = ato_;
  if (wait > knobs.tcp_delack_min) {
    Duration most = ping_pong() || pushes_ != 0 ? knobs.tcp_delack_max : kAtoMaxBulk;
    if (srtt > Duration::zero()) most = std::min(most, std::max(srtt, knobs.tcp_delack_min));
    wait = std::min(wait, most);
  }
  // Never so long that the peer's time-out comes first, were its lower limit ours (Linux: tcp_delack_max).
  const Duration below_rto = std::max<Duration>(rto_min, 2ms) - 1ms;
  return std::min({wait, knobs.tcp_delack_max, below_rto});
}

void AckPolicy::on_timeout(const Knobs& knobs) {
  if (!ping_pong()) {
    ato_ = shorten(std::min({Duration(ato_) * 2, Duration(rto_), knobs.rto_max}));
  } else {
    // The reply it waited for did not come.
    ping_pong_count_ = 0;
    ato_ = shorten(kAtoMin);
  }
}

bool AckPolicy::set_quickack(int value) {
  if (value == 0) {
    enter_ping_pong();
    return false;
  }
  ping_pong_count_ = 0;
  if (!scheduled_) return false;
  if (pushes_ == 0) pushes_ = 1;
  if ((value & 1) == 0) enter_ping_pong();
  return true;
}

}  // namespace tapir::tcp
