// SPDX-License-Identifier: Apache-2.0
#include "tcp/scoreboard.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "tcp/paws.h"
#include "tcp/sent_order.h"

namespace tapir::tcp {
namespace {

// Segments that `payload` bytes make; one that carries none is a segment too.
std::uint16_t segments_of(std::uint32_t payload, std::uint16_t mss) {
  const std::uint32_t n = payload == 0 ? 1 : (payload + mss - 1) / mss;
  TAPIR_INVARIANT(n <= std::numeric_limits<std::uint16_t>::max(), "a super-segment is at most 64 KiB");
  return static_cast<std::uint16_t>(n);
}

}  // namespace

Scoreboard::~Scoreboard() { TAPIR_INVARIANT(records_.empty(), "a scoreboard is cleared before it goes"); }

// ---- time order ----

void Scoreboard::time_append(Transmission& t) {
  t.judged = false;
  t.time_prev = time_last_;
  t.time_next = nullptr;
  (time_last_ == nullptr ? time_first_ : time_last_->time_next) = &t;
  time_last_ = &t;
}

void Scoreboard::time_insert_after(Transmission& t, Transmission& after) {
  t.time_prev = &after;
  t.time_next = after.time_next;
  (after.time_next == nullptr ? time_last_ : after.time_next->time_prev) = &t;
  after.time_next = &t;
}

// Back into the order, behind what was sent no later.
void Scoreboard::time_insert_after_older(Transmission& t) {
  Transmission* after = time_last_;
  while (after != nullptr && after->sent_at > t.sent_at) after = after->time_prev;
  if (after != nullptr) return time_insert_after(t, *after);
  t.time_prev = nullptr;
  t.time_next = time_first_;
  (time_first_ == nullptr ? time_last_ : time_first_->time_prev) = &t;
  time_first_ = &t;
}

void Scoreboard::time_remove(Transmission& t) {
  if (t.time_prev == nullptr && time_first_ != &t) return;  // SACKed once, and so out of it already
  (t.time_prev == nullptr ? time_first_ : t.time_prev->time_next) = t.time_next;
  (t.time_next == nullptr ? time_last_ : t.time_next->time_prev) = t.time_prev;
  t.time_prev = t.time_next = nullptr;
}

// ---- records ----

void Scoreboard::adjust_counts(const Transmission& t, std::int32_t by) {
  const auto add = [by](std::uint32_t& count) {
    count = static_cast<std::uint32_t>(static_cast<std::int32_t>(count) + by);
  };
  add(packets_out_);
  if (t.sacked) add(sacked_);
  if (t.lost) add(lost_out_);
  if (t.retransmitted) add(retrans_out_);
}

void Scoreboard::recut(Transmission& t, std::uint16_t mss) {
  const std::uint16_t count = segments_of(t.payload(), mss);
  adjust_counts(t, std::int32_t{count} - std::int32_t{t.segment_count});
  t.mss = mss;
  t.segment_count = count;
}

void Scoreboard::forget(Transmission& t, TransmissionPool& pool) {
  time_remove(t);
  records_.erase(t);
  --record_count_;
  pool.erase(t);
}

// `t` keeps [begin, at), a new record behind it gets the rest, what follows the data (FIN, PSH, end of
// record) with it. Counts are kept when `at` is on a segment boundary; else the caller cuts both anew. Null:
// no record.
Transmission* Scoreboard::split(Transmission& t, SeqNum at, TransmissionPool& pool) {
  Transmission* rest = pool.get(pool.emplace());
  if (rest == nullptr) return nullptr;
  *rest = t;
  rest->range.begin = at;
  rest->syn = false;
  rest->segment_count = 0;
  t.range.end = at;
  t.fin = t.push = t.end_of_record = false;
  records_.insert(*rest);
  ++record_count_;
  const bool in_time_order = t.time_prev != nullptr || time_first_ == &t;
  rest->time_prev = rest->time_next = nullptr;
  if (in_time_order) time_insert_after(*rest, t);
  recut(t, t.mss);
  recut(*rest, rest->mss);
  return rest;
}

Transmission* Scoreboard::on_sent(SeqRange range, std::uint16_t mss, Instant now, TransmissionPool& pool,
                                  bool syn, bool fin) {
  TAPIR_INVARIANT(mss != 0 && !range.empty(), "a transmission takes sequence space and was cut at some size");
  TAPIR_INVARIANT(records_.empty() || last()->range.end <= range.begin,
                  "new data follows what is outstanding");
  Transmission* t = pool.get(pool.emplace());
  if (t == nullptr) return nullptr;
  if (records_.empty()) highest_sacked_ = range.begin;
  t->range = range;
  t->mss = mss;
  t->syn = syn;
  t->fin = fin;
  t->sent_at = t->first_sent_at = t->delivered_at = now;
  t->segment_count = segments_of(t->payload(), mss);
  packets_out_ += t->segment_count;
  records_.insert(*t);
  ++record_count_;
  time_append(*t);
  return t;
}

Transmission* Scoreboard::on_resent(Transmission& t, SeqNum end, std::uint16_t mss, Instant now,
                                    SeqNum snd_nxt, TransmissionPool& pool, bool probe) {
  TAPIR_INVARIANT(!t.sacked && t.range.begin < end, "what is sent again was not received, and is something");
  if (end < t.range.end) {
    Transmission* rest = split(t, end, pool);
    if (rest == nullptr) return nullptr;
    recut(*rest, mss);
  }
  recut(t, mss);
  if (!probe && !t.retransmitted) {
    retrans_out_ += t.segment_count;
    t.retransmitted = true;
  }
  t.ever_retransmitted = true;
  if (t.times_sent != std::numeric_limits<std::uint8_t>::max()) ++t.times_sent;
  t.sent_at = now;
  t.ack_seq_at_retransmit = snd_nxt.value();
  time_remove(t);
  time_append(t);
  return &t;
}

void Scoreboard::absorb_next(Transmission& t, TransmissionPool& pool) {
  Transmission& after = *next(t);
  TAPIR_INVARIANT(t.segment_count == 1 && after.segment_count <= 1 && !after.sacked && !after.syn,
                  "what is joined makes one segment");
  adjust_counts(after, -std::int32_t{after.segment_count});
  reno_sacked_ -= std::min<std::uint32_t>(reno_sacked_, after.segment_count);
  t.range.end = after.range.end;
  t.fin = after.fin;
  t.push = t.push || after.push;
  t.end_of_record = after.end_of_record;
  t.ever_retransmitted = t.ever_retransmitted || after.ever_retransmitted;
  forget(after, pool);
}

Transmission* Scoreboard::cut_last_segment(TransmissionPool& pool) {
  Transmission* const t = last();
  if (t == nullptr || t->segment_count < 2) return t;
  return split(*t, t->range.begin + (t->segment_count - 1U) * t->mss, pool);
}

Transmission* Scoreboard::find(SeqNum seq) const {
  Transmission* t = records_.floor(seq);
  return t != nullptr && seq < t->range.end ? t : nullptr;
}

void Scoreboard::clear(TransmissionPool& pool) {
  while (Transmission* t = last()) forget(*t, pool);
  packets_out_ = sacked_ = reno_sacked_ = lost_out_ = retrans_out_ = 0;
}

// ---- marks ----

void Scoreboard::mark_lost(Transmission& t) {
  if (t.sacked) return;
  if (!t.lost) {
    t.lost = true;
    lost_out_ += t.segment_count;
    lost_total_ += t.segment_count;
    limit_reno_sacks();
  } else if (t.retransmitted) {
    t.retransmitted = false;
    retrans_out_ -= t.segment_count;
    lost_total_ += t.segment_count;
  }
}

void Scoreboard::unmark_lost(Transmission& t) {
  if (!t.lost) return;
  t.lost = false;
  lost_out_ -= t.segment_count;
}

std::uint32_t Scoreboard::mark_head_lost(TransmissionPool& pool) {
  Transmission* const head = first();
  if (head == nullptr || head->lost || head->sacked) return 0;
  if (head->segments() > 1) (void)split(*head, head->range.begin + head->mss, pool);
  mark_lost(*head);
  return head->segments();
}

void Scoreboard::mark_timed_out(bool forget_sacks, Duration rtt, Instant now) {
  Transmission* const head = first();
  if (head == nullptr) return;
  for (Transmission* t = head; t != nullptr; t = next(*t)) {
    if (forget_sacks) {
      if (t->sacked) {
        t->sacked = false;
        sacked_ -= t->segment_count;
        time_insert_after_older(*t);
      }
    } else if (t != head && t->sent_at + rtt > now) {
      continue;
    }
    mark_lost(*t);
  }
  if (forget_sacks) highest_sacked_ = head->range.begin;
}

void Scoreboard::limit_reno_sacks() {
  const std::uint32_t holes = std::min(std::max(lost_out_, std::uint32_t{1}), packets_out_);
  reno_sacked_ = std::min(reno_sacked_, packets_out_ - holes);
}

std::uint32_t Scoreboard::add_reno_sack(std::uint32_t n) {
  const std::uint32_t before = reno_sacked_;
  reno_sacked_ += n;
  limit_reno_sacks();
  return reno_sacked_ > before ? reno_sacked_ - before : 0;
}

std::uint32_t Scoreboard::remove_reno_sacks(std::uint32_t acked) {
  std::uint32_t delivered = 0;
  if (acked > 0) {
    delivered = acked > reno_sacked_ + 1 ? acked - reno_sacked_ : 1;
    reno_sacked_ -= std::min(reno_sacked_, acked - 1);
  }
  limit_reno_sacks();
  return delivered;
}

// ---- what an ACK says ----

// What the steps of one apply() hand on.
struct Scoreboard::Pass {
  Pass(AckSummary& to, const AckTiming& times, Instant at, TransmissionPool& records, SeqNum highest_sacked)
      : summary(to), timing(times), now(at), pool(records), prior_highest_sacked(highest_sacked) {}

  AckSummary& summary;
  const AckTiming& timing;
  Instant now;
  TransmissionPool& pool;
  SeqNum prior_highest_sacked;      // before this ACK
  bool reordered = false;           // something never sent again was delivered below what was SACKed:
  SeqNum lowest_reordered;          // from here,
  std::uint16_t reordered_mss = 1;  // cut at this size

  // The most recently sent of what was delivered, by time and then by sequence (Linux: tcp_rack_sent_after).
  void note_delivered(const Transmission& t, SeqNum end) {
    if (summary.anything_delivered && !sent_after(t.sent_at, end, summary.latest_sent_at, summary.latest_end))
      return;
    summary.anything_delivered = true;
    summary.latest_sent_at = t.sent_at;
    summary.latest_end = end;
    summary.latest_retransmitted = t.ever_retransmitted;
    summary.latest_first_sent_at = t.first_sent_at;
    summary.latest_delivered_at = t.delivered_at;
    summary.latest_delivered = t.delivered;
    summary.latest_app_limited = t.app_limited;
  }
  // A retransmission acknowledged sooner than the path allows was the original's ACK, and tells nothing.
  void note_time(const Transmission& t) {
    const Duration rtt = now - t.sent_at;
    if (t.ever_retransmitted && rtt < timing.min_rtt && timing.min_rtt != Duration::max()) return;
    summary.timed_rtt = rtt;
    if (summary.timed && !sent_after(t.sent_at, t.range.end, summary.timed_sent_at, summary.timed_end))
      return;
    summary.timed = true;
    summary.timed_sent_at = t.sent_at;
    summary.timed_end = t.range.end;
  }
  // Does the ACK's echo say that it was the original that arrived (Linux: tcp_skb_spurious_retrans)?
  bool needless(const Transmission& t) const {
    return t.ever_retransmitted && timing.echo && *timing.echo != 0 &&
           SeqNum(*timing.echo) < SeqNum(timing.clock_at_zero + timestamp_clock(t.sent_at));
  }
  // Something never sent again was delivered; `highest` is what was SACKed before it.
  void note_original(const Transmission& t, SeqNum end, SeqNum highest) {
    if (!summary.original_acked || end < summary.original_acked_end) summary.original_acked_end = end;
    summary.original_acked = true;
    if (t.range.begin < highest) note_reordered(t.range.begin, t.mss);
  }
  void note_reordered(SeqNum begin, std::uint16_t mss) {
    if (reordered && lowest_reordered <= begin) return;
    reordered = true;
    lowest_reordered = begin;
    reordered_mss = mss;
  }
  // By how many segments what was noted so far came late; 0: nothing was.
  std::uint32_t take_reordering(SeqNum highest) {
    if (!std::exchange(reordered, false)) return 0;
    return (highest - lowest_reordered + reordered_mss - 1) / reordered_mss;
  }
};

// Linux: tcp_sacktag_one.
void Scoreboard::sack(Transmission& t, Pass& pass) {
  pass.note_delivered(t, t.range.end);
  pass.note_time(t);
  if (t.retransmitted) {
    // Not known which copy arrived. Of one thought lost it is taken to be the second; else that one counts as
    // in flight.
    if (t.lost) {
      t.lost = t.retransmitted = false;
      lost_out_ -= t.segment_count;
      retrans_out_ -= t.segment_count;
    }
  } else {
    if (!t.ever_retransmitted) {
      pass.note_original(t, t.range.end, highest_sacked_);
      const Duration rtt = pass.now - t.sent_at;
      if (pass.summary.sack_rtt < Duration::zero()) pass.summary.sack_rtt = rtt;
      pass.summary.ca_rtt = rtt;
    }
    unmark_lost(t);
  }
  t.sacked = true;
  sacked_ += t.segment_count;
  pass.summary.newly_sacked += t.segment_count;
  highest_sacked_ = max(highest_sacked_, t.range.end);
  time_remove(t);
}

// Joins `t` with SACKed neighbours when nothing that matters later tells them apart. Returns the record `t`
// is part of.
Transmission* Scoreboard::merge_sacked(Transmission& t, TransmissionPool& pool) {
  const auto alike = [](const Transmission& a, const Transmission& b) {
    return a.sacked && b.sacked && a.range.end == b.range.begin && a.mss == b.mss &&
           a.retransmitted == b.retransmitted && a.ever_retransmitted == b.ever_retransmitted && !a.syn &&
           !a.fin && !a.push && !a.end_of_record && a.payload() % a.mss == 0 &&
           a.segment_count + b.segment_count <= std::numeric_limits<std::uint16_t>::max();
  };
  const auto join = [&](Transmission& a, Transmission& b) {
    a.segment_count = static_cast<std::uint16_t>(a.segment_count + b.segment_count);
    a.fin = b.fin;
    a.push = b.push;
    a.end_of_record = b.end_of_record;
    a.sent_at = std::max(a.sent_at, b.sent_at);
    a.range.end = b.range.end;
    forget(b, pool);
  };
  if (Transmission* after = next(t); after != nullptr && alike(t, *after)) join(t, *after);
  if (Transmission* before = prev(t); before != nullptr && alike(*before, t)) {
    join(*before, t);
    return before;
  }
  return &t;
}

// Marks what `block` covers whole segments of (Linux: tcp_sacktag_walk, tcp_match_skb_to_sack).
void Scoreboard::sack_block(SeqRange block, bool duplicate, Pass& pass) {
  const auto cut_off = [&](Transmission& of, std::uint32_t bytes) {
    return record_count_ >= kSplitRecordsMax ? nullptr : split(of, of.range.begin + bytes, pass.pool);
  };
  Transmission* t = records_.floor(block.begin);
  if (t == nullptr) t = first();
  while (t != nullptr && t->range.begin < block.end) {
    if (t->range.end <= block.begin) {
      t = next(*t);
      continue;
    }
    if (!t->sacked && t->range.begin < block.begin) {
      // Whole segments only: the first one begins at or after the block.
      const std::uint32_t cut = (block.begin - t->range.begin + t->mss - 1) / t->mss * t->mss;
      Transmission* rest = cut >= t->payload() ? nullptr : cut_off(*t, cut);
      t = rest != nullptr ? rest : next(*t);
      continue;
    }
    if (!t->sacked && t->range.end > block.end) {
      // Whole segments only: the last one ends at or before the block; a FIN belongs to the last of the
      // record.
      const std::uint32_t whole = std::min((block.end - t->range.begin) / t->mss, t->segment_count - 1U);
      if (whole == 0 || cut_off(*t, whole * t->mss) == nullptr) return;
    }
    if (!t->sacked) {
      sack(*t, pass);
      t = merge_sacked(*t, pass.pool);
    }
    if (duplicate && t->retransmitted && t->range.end <= block.end) {
      // Two copies arrived: the one sent again is not in flight either.
      t->retransmitted = false;
      retrans_out_ -= t->segment_count;
    }
    t = next(*t);
  }
}

// What a D-SACK reports twice, and was sent twice (RFC 2883, RFC 3708). A retransmission of what had been
// SACKed already was overtaken: that is reordering.
void Scoreboard::note_duplicate(const wire::SackBlock& block, Pass& pass) {
  Transmission* t = records_.floor(block.begin);
  if (t == nullptr || t->range.end <= block.begin) t = t == nullptr ? first() : next(*t);
  for (; t != nullptr && t->range.begin < block.end; t = next(*t)) {
    const SeqNum begin = max(t->range.begin, block.begin);
    const SeqNum end = min(t->range.end, block.end);
    // What was SACKed may have been joined with its neighbours since.
    const bool whole = begin == t->range.begin && end == t->range.end;
    if (!t->ever_retransmitted || (!whole && !t->sacked)) continue;
    pass.summary.dsack_retransmitted += whole ? t->segment_count : segments_of(end - begin, t->mss);
    if (t->sacked && begin < highest_sacked_) pass.note_reordered(begin, t->mss);
  }
}

// Linux: tcp_clean_rtx_queue.
void Scoreboard::acknowledge(SeqNum ack, Pass& pass) {
  AckSummary& summary = pass.summary;
  Duration last_rtt{-1};
  while (Transmission* t = first()) {
    if (ack <= t->range.begin) break;
    const bool whole = t->range.end <= ack;
    const SeqNum end = whole ? t->range.end : ack;
    std::uint32_t gone = t->segment_count;
    if (!whole) {
      const bool syn = t->syn && end == t->range.begin + 1;
      const std::uint32_t payload_acked = end - t->range.begin - (t->syn ? 1U : 0U);
      gone = syn ? 0 : gone - segments_of(t->payload() - payload_acked, t->mss);
    }
    if (gone != 0) {
      if (t->ever_retransmitted) {
        summary.retransmitted_acked = true;
      } else if (!t->sacked) {
        last_rtt = pass.now - t->sent_at;
        if (summary.rtt < Duration::zero()) summary.rtt = last_rtt;
        pass.note_original(*t, end, pass.prior_highest_sacked);
      }
      if (t->sacked) {
        summary.acked_sacked_before += gone;
      } else {
        summary.newly_acked += gone;
        pass.note_delivered(*t, end);
        if (pass.timing.sack && !pass.needless(*t)) pass.note_time(*t);
      }
      adjust_counts(*t, -static_cast<std::int32_t>(gone));
    }
    summary.acked_bytes += end - t->range.begin;
    summary.syn_acked |= t->syn;
    if (!whole) {
      t->range.begin = ack;
      t->syn = false;
      t->segment_count = static_cast<std::uint16_t>(t->segment_count - gone);
      break;
    }
    summary.fin_acked |= t->fin;
    forget(*t, pass.pool);
  }
  if (summary.retransmitted_acked) {
    summary.rtt = Duration{-1};
  } else if (summary.sack_rtt < Duration::zero()) {
    summary.ca_rtt = last_rtt;
  }
}

AckSummary Scoreboard::apply(SeqNum ack, std::span<const wire::SackBlock> blocks, bool first_is_dsack,
                             const AckTiming& timing, Instant now, TransmissionPool& pool) {
  AckSummary summary;
  summary.dsack = first_is_dsack && !blocks.empty();
  if (records_.empty()) return summary;
  Pass pass{summary, timing, now, pool, highest_sacked_};
  if (summary.dsack) note_duplicate(blocks.front(), pass);

  // In ascending order: then a record counts as below the highest SACKed only for what came before it.
  // An insertion sort of at most four.
  std::array<wire::SackBlock, wire::kSackBlocksMax> sorted;
  std::size_t count = 0;
  for (const wire::SackBlock& block : blocks) {
    if (!(block.begin > ack && block.begin < block.end && block.end <= last()->range.end) ||
        count == sorted.size())
      continue;
    std::size_t place = count++;
    for (; place > 0 && block.begin < sorted[place - 1].begin; --place) sorted[place] = sorted[place - 1];
    sorted[place] = block;
  }
  summary.sack_seen = count != 0;
  const std::span<wire::SackBlock> valid(sorted.data(), count);
  for (const wire::SackBlock& block : valid)
    sack_block({block.begin, block.end}, summary.dsack && block == blocks.front(), pass);
  summary.reordering_sacked = pass.take_reordering(highest_sacked_);

  if (ack > first()->range.begin) {
    summary.una_moved = true;
    acknowledge(ack, pass);
  }
  if (sacked_ == 0) highest_sacked_ = max(ack, highest_sacked_);
  summary.reordering_acked = pass.take_reordering(highest_sacked_);
  summary.reneged = first() != nullptr && first()->sacked;
  summary.delivered = summary.newly_acked + summary.newly_sacked;
  return summary;
}

}  // namespace tapir::tcp
