// SPDX-License-Identifier: Apache-2.0
#include "tcp/loss_detection.h"

#include <algorithm>

#include "tcp/sent_order.h"

namespace tapir::tcp {

namespace {

// Recoveries for which a window grown by a D-SACK is kept (RFC 8985 §6.2: 16; Linux:
// TCP_RACK_RECOVERY_THRESH).
constexpr std::uint8_t kWindowPersist = 16;

}  // namespace

void LossDetection::on_ack(const AckSummary& summary) {
  if (!summary.timed) return;
  advanced_ = true;
  rtt_ = summary.timed_rtt;
  if (sent_after(summary.timed_sent_at, summary.timed_end, sent_at_, end_)) {
    sent_at_ = summary.timed_sent_at;
    end_ = summary.timed_end;
  }
}

LossDetection::Detected LossDetection::detect(Scoreboard& scoreboard, Duration reordering_window, Instant now,
                                              bool by_timer) {
  Detected result;
  if (!advanced_ && !by_timer) return result;
  advanced_ = false;
  const std::uint32_t copies = scoreboard.retrans_out();
  const Duration late = rtt_ + reordering_window;
  for (Transmission* t = scoreboard.oldest_sent(); t != nullptr;) {
    Transmission* const following = scoreboard.next_sent(*t);
    const bool out_of_flight = t->sacked || t->judged || (t->lost && !t->retransmitted);
    if (!out_of_flight) {
      if (!sent_after(sent_at_, end_, t->sent_at, t->range.end)) break;
      const Duration remaining = late - (now - t->sent_at);
      if (remaining < 1us) {
        scoreboard.mark_lost(*t);
        // Linux takes it off its list by time, and an undo does not put it back: then its time-out must tell.
        t->judged = true;
      } else {
        result.look_again = std::max(result.look_again, remaining);
      }
    }
    t = following;
  }
  result.retransmission_lost = scoreboard.retrans_out() < copies;
  return result;
}

Duration LossDetection::reordering_window(const LossMemory& memory, bool in_recovery,
                                          std::uint32_t sacked_out, int tcp_recovery, Duration min_rtt,
                                          Duration srtt) {
  if (memory.reorderings == 0) {
    if (in_recovery) return Duration::zero();
    if (sacked_out >= memory.reordering && (tcp_recovery & kRackNoDupThreshold) == 0) return Duration::zero();
  }
  if (min_rtt == Duration::max()) return Duration::zero();
  return std::min(min_rtt / 4 * memory.window_steps, srtt);
}

void LossDetection::adapt_window(LossMemory& memory, std::uint32_t delivered, std::uint32_t prior_delivered,
                                 int tcp_recovery) {
  if ((tcp_recovery & kRackStaticWindow) != 0 || prior_delivered == 0) return;
  // At most once per round trip.
  if (static_cast<std::int32_t>(prior_delivered - memory.window_set_at) < 0) memory.dsack_pending = false;
  if (memory.dsack_pending) {
    memory.window_steps = static_cast<std::uint8_t>(std::min(memory.window_steps + 1, 255));
    memory.dsack_pending = false;
    memory.window_set_at = delivered;
    memory.window_persists = kWindowPersist;
  } else if (memory.window_persists == 0) {
    memory.window_steps = 1;
  }
}

}  // namespace tapir::tcp
