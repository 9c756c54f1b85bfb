// SPDX-License-Identifier: Apache-2.0
#include "tcp/loss_detection.h"

#include <algorithm>

namespace tapir::tcp {

namespace {

// Was the record (a_sent, a_end) sent after (b_sent, b_end)? Ties of one burst are settled by sequence.
bool sent_after(Instant a_sent, SeqNum a_end, Instant b_sent, SeqNum b_end) {
  return a_sent > b_sent || (a_sent == b_sent && a_end > b_end);
}

}  // namespace

void LossDetection::on_ack(const AckSummary& summary, Duration min_rtt, Instant now) {
  if (!summary.anything_delivered) return;
  const Duration rtt = now - summary.latest_sent_at;
  if (summary.latest_retransmitted && rtt < min_rtt && min_rtt != Duration::max()) return;
  advanced_ = true;
  rtt_ = rtt;
  if (sent_after(summary.latest_sent_at, summary.latest_end, sent_at_, end_)) {
    sent_at_ = summary.latest_sent_at;
    end_ = summary.latest_end;
  }
}

LossDetection::Detected LossDetection::detect(Scoreboard& scoreboard, Duration reordering_window, Instant now) {
  Detected result;
  if (!advanced_) return result;
  advanced_ = false;
  for (Transmission* t = scoreboard.oldest_sent(); t != nullptr;) {
    Transmission* const following = scoreboard.next_sent(*t);
    const bool out_of_flight = t->sacked || (t->lost && !t->retransmitted);
    if (!out_of_flight) {
      if (!sent_after(sent_at_, end_, t->sent_at, t->range.end)) break;
      const Duration remaining = rtt_ + reordering_window - (now - t->sent_at);
      if (remaining <= Duration::zero()) {
        result.marked += t->segments();
        scoreboard.mark_lost(*t);
      } else {
        result.look_again = std::max(result.look_again, remaining);
      }
    }
    t = following;
  }
  if (result.look_again > Duration::zero()) advanced_ = true;  // the timer judges by the same delivery
  return result;
}

Duration LossDetection::reordering_window(bool reordering_seen, bool in_recovery, std::uint32_t sacked_out,
                                          std::uint32_t reordering, Duration min_rtt, Duration srtt) {
  if (!reordering_seen && (in_recovery || sacked_out >= reordering)) return Duration::zero();
  if (min_rtt == Duration::max()) return Duration::zero();
  return std::min(min_rtt / 4, srtt);
}

}  // namespace tapir::tcp
