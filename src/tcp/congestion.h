// SPDX-License-Identifier: Apache-2.0
// The congestion window and the seam to the algorithms that move it. An algorithm sees samples, never the
// sender.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>

#include "base/seq_num.h"
#include "base/time.h"
#include "tcp/knobs.h"
#include "trace/counters.h"

namespace tapir::tcp {

// All windows count segments, as Linux does.
struct Window {
  std::uint32_t cwnd = 10;
  std::uint32_t ssthresh = 0x7fffffff;  // TCP_INFINITE_SSTHRESH
  std::uint32_t prior_cwnd = 0;         // cwnd before the last reduction
  std::uint32_t cwnd_cnt = 0;           // ACKed segments towards the next +1 (congestion avoidance)
  std::uint32_t cwnd_clamp = 0xffffffff;
  std::uint32_t cwnd_used = 0;  // most segments in flight in the last application-limited interval
  std::uint64_t pacing_rate = ~std::uint64_t{0};  // bytes per second; all ones = not paced

  bool in_slow_start() const { return cwnd < ssthresh; }
};

// What one ACK told.
struct AckSample {
  Instant now{};
  std::uint32_t acked = 0;      // segments newly acknowledged (cumulatively or selectively)
  std::uint32_t in_flight = 0;  // segments, after this ACK
  Duration rtt{};               // zero: no sample
  Duration srtt{};
  Duration min_rtt{};
  bool cwnd_limited = false;  // the window, not the application, held the sender back
  bool ece = false;
  bool pacing = false;  // the sender spreads its segments: ACKs of a window come over half a round trip
  std::uint32_t gso_max_size = 0;  // bytes of the largest super-segment
  SeqNum snd_una;
  SeqNum snd_nxt;
  const Knobs* knobs = nullptr;  // never null where an algorithm sees it
  trace::Counters* counters = nullptr;
};

// One instance per connection, inside kCongestionStateMax bytes kept in the connection: no allocation.
class CongestionControl {
 public:
  virtual ~CongestionControl() = default;
  virtual std::string_view name() const = 0;
  virtual void on_ack(Window& window, const AckSample& sample) = 0;  // may raise cwnd
  // Every ACK of something, before on_ack(), also while the window is being reduced (Linux: pkts_acked).
  virtual void on_measured(Window&, const AckSample&) {}
  virtual std::uint32_t ssthresh_after_loss(const Window& window) = 0;  // at the start of a reduction
  virtual std::uint32_t cwnd_after_undo(const Window& window) = 0;
  virtual void on_timeout(Window& window, Instant now) = 0;  // forget what was learnt; recovery sets cwnd
  virtual void on_idle_restart(Window& window, Instant now) = 0;  // sending again after a pause
  // Data leaves while nothing is in flight; the last left at `last_sent` (Linux: CA_EVENT_TX_START).
  virtual void on_transmit_start(Instant /*now*/, Instant /*last_sent*/) {}
};

// Room for any algorithm's state.
inline constexpr std::size_t kCongestionStateMax = 72;
class CongestionSlot {
 public:
  CongestionSlot();  // CUBIC
  ~CongestionSlot();
  CongestionSlot(const CongestionSlot&) = delete;
  CongestionSlot& operator=(const CongestionSlot&) = delete;
  // False when there is no such algorithm (socket/: ENOENT).
  bool select(std::string_view name);
  static bool known(std::string_view name);
  static std::string_view available();  // names with a space between, for tcp_available_congestion_control
  CongestionControl& operator*() { return *control(); }
  CongestionControl* operator->() { return control(); }
  const CongestionControl* operator->() const { return const_cast<CongestionSlot*>(this)->control(); }

 private:
  // Every algorithm begins with its CongestionControl, at the front of the storage.
  CongestionControl* control() { return std::launder(reinterpret_cast<CongestionControl*>(storage_.data())); }

  alignas(8) std::array<std::byte, kCongestionStateMax> storage_;
};

// RFC 5681 slow start and congestion avoidance with byte counting in segments (Linux: tcp_slow_start,
// tcp_cong_avoid_ai). Returns the ACKed segments left over after slow start reached ssthresh.
std::uint32_t slow_start(Window& window, std::uint32_t acked);
void congestion_avoidance_ai(Window& window, std::uint32_t w, std::uint32_t acked);

}  // namespace tapir::tcp
