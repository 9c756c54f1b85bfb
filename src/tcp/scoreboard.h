// SPDX-License-Identifier: Apache-2.0
// What was sent and is not yet acknowledged, one record per (super-)segment; what ACKs and SACKs say of it.
// Counts are in segments of the size each record was cut at, as Linux's packets_out, sacked_out, lost_out,
// retrans_out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/seq_num.h"
#include "base/slab.h"
#include "base/time.h"
#include "tcp/seq_tree.h"
#include "wire/tcp_segment.h"

namespace tapir::tcp {

// One (super-)segment sent and not yet acknowledged.
struct Transmission {
  SeqRange range;           // with SYN and FIN counted
  Instant sent_at{};        // last time
  Instant first_sent_at{};  // for the delivery rate
  Instant delivered_at{};   // delivery-rate snapshot when sent
  std::uint32_t delivered = 0;
  std::uint16_t mss = 0;  // the segment size it was cut at
  std::uint16_t segment_count =
      1;  // kept by the scoreboard; SYN and FIN ride along in a segment (Linux: tcp_skb_pcount)
  std::uint8_t times_sent = 1;  // saturates
  bool sacked = false;
  bool lost = false;  // marked to be sent again
  bool judged =
      false;  // RACK marked it: not asked of again until it is sent again, whatever was undone since
  bool retransmitted = false;       // a copy is in flight
  bool ever_retransmitted = false;  // Karn: no RTT sample without timestamps
  bool syn = false;
  bool fin = false;
  bool push = false;
  bool end_of_record = false;
  bool app_limited = false;
  std::uint32_t ack_seq_at_retransmit = 0;  // snd.nxt when last sent again: detects a lost retransmission

  // Bytes of payload: the range without SYN and FIN.
  std::uint32_t payload() const { return range.length() - (syn ? 1U : 0U) - (fin ? 1U : 0U); }
  // At least 1: a SYN or a FIN alone is a segment.
  std::uint32_t segments() const { return segment_count; }

  // Links of the orders it stands in; only the scoreboard touches them.
  Transmission* tree_left = nullptr;
  Transmission* tree_right = nullptr;
  Transmission* tree_parent = nullptr;
  std::uint32_t tree_height = 0;
  Transmission* time_prev = nullptr;
  Transmission* time_next = nullptr;
};

// Transmissions of all connections of a stack.
using TransmissionPool = Slab<Transmission>;

// Records of one connection beyond which a SACK splits no further (it then sacks nothing of the super-segment
// it cuts). Without it a hostile peer turns each super-segment into records of one segment (CVE-2019-11478).
// An honest peer needs it with more than 8192 holes and edges in one window: 11 MB at an MSS of 1448.
inline constexpr std::uint32_t kSplitRecordsMax = 8192;

// What an ACK's records are timed by.
struct AckTiming {
  bool sack = true;  // the connection has SACK: without it only retransmission time-outs judge by age
  Duration min_rtt = Duration::max();  // before this ACK
  std::optional<std::uint32_t> echo;   // TSecr
  std::uint32_t clock_at_zero = 0;     // TSval of Instant{}
};

// What one ACK changed.
struct AckSummary {
  std::uint32_t newly_acked = 0;          // segments cumulatively acknowledged by this ACK, not SACKed before
  std::uint32_t newly_sacked = 0;         // segments
  std::uint32_t acked_sacked_before = 0;  // segments cumulatively acknowledged that had been SACKed
  std::uint32_t delivered = 0;            // newly_acked + newly_sacked
  std::uint32_t acked_bytes = 0;
  bool una_moved = false;
  bool dsack = false;  // the first block reported a duplicate (RFC 2883)
  bool sack_seen = false;
  bool retransmitted_acked = false;  // something that had been sent again was acknowledged
  bool original_acked = false;       // something never sent again was newly acknowledged or SACKed
  SeqNum original_acked_end;         // the lowest end of such a record: F-RTO asks whether it is <= high_seq
  bool fin_acked = false;
  bool syn_acked = false;
  bool reneged = false;  // the head was SACKed before, and the cumulative ACK did not pass it
  // Something never sent again, or a needless retransmission, was delivered below what was SACKed: by so many
  // segments (0: nothing was; Linux: tcp_check_sack_reordering), as SACK blocks tell, and as the cumulative
  // ACK does.
  std::uint32_t reordering_sacked = 0;
  std::uint32_t reordering_acked = 0;
  Duration rtt{-1};       // of the cumulative ACK: since the first never-retransmitted record it covers was
                          // sent; < 0: none, also when it covers anything retransmitted (Karn)
  Duration sack_rtt{-1};  // since the first never-retransmitted record newly SACKed was sent
  Duration ca_rtt{-1};    // since the last such record of either kind was sent: no delayed ACK in it, for
                          // the minimum filter and congestion control (Linux: ca_rtt_us)
  bool anything_delivered = false;    // the next three mean something
  Instant latest_sent_at{};           // sent_at of the most recently sent record delivered by this ACK
  SeqNum latest_end;                  // and its end
  bool latest_retransmitted = false;  // and whether it had been sent again
  Instant latest_first_sent_at{};     // and its delivery-rate snapshot
  Instant latest_delivered_at{};
  std::uint32_t latest_delivered = 0;
  bool latest_app_limited = false;
  // The same for RACK, of those records only whose time tells something (RFC 8985 §6.2 step 2; Linux:
  // tcp_rack_advance).
  bool timed = false;  // there is one
  Instant timed_sent_at{};
  SeqNum timed_end;
  Duration timed_rtt{};  // of the one looked at last: SACKed ones in their order, then acknowledged ones
  std::uint32_t dsack_retransmitted =
      0;  // segments the D-SACK reports that were sent again and are still on the board
};

class Scoreboard {
 public:
  Scoreboard() = default;
  Scoreboard(const Scoreboard&) = delete;
  Scoreboard& operator=(const Scoreboard&) = delete;
  ~Scoreboard();  // must be empty: clear() first

  // A new (super-)segment left; `range` follows what is outstanding and counts `syn` and `fin`, which are
  // recorded. Null: no record could be had (then it must not be sent).
  Transmission* on_sent(SeqRange range, std::uint16_t mss, Instant now, TransmissionPool& pool,
                        bool syn = false, bool fin = false);
  // `t`, not SACKed, or its front up to `end`, is sent again, cut at `mss`; the rest is cut anew too (Linux:
  // tcp_fragment, tcp_retransmit_skb). Moves it to the end of the time order. Null: it would have to be split
  // and no record could be had (then it must not be sent). A `probe` of the tail is not counted as a copy in
  // flight (Linux: tcp_send_loss_probe).
  Transmission* on_resent(Transmission& t, SeqNum end, std::uint16_t mss, Instant now, SeqNum snd_nxt,
                          TransmissionPool& pool, bool probe = false);
  // The record after `t` becomes part of it: both are one segment at most, and together too (Linux:
  // tcp_collapse_retrans).
  void absorb_next(Transmission& t, TransmissionPool& pool);
  // The last segment of the last record, split off if there is more; null: nothing is outstanding, or no
  // record could be had.
  Transmission* cut_last_segment(TransmissionPool& pool);

  // Applies a cumulative ACK and SACK blocks (already validated against [una, nxt]; those that do not begin
  // beyond `ack` are passed over, as tcp_is_sackblock_valid does). A record partly acknowledged begins at
  // `ack` afterwards and counts the segments left (Linux: tcp_tso_acked); a SACK of part of a segment sacks
  // nothing (tcp_match_skb_to_sack). Without SACK the caller calls remove_reno_sacks(newly_acked) next.
  AckSummary apply(SeqNum ack, std::span<const wire::SackBlock> blocks, bool first_is_dsack,
                   const AckTiming& timing, Instant now, TransmissionPool& pool);

  // Marks: each keeps the counts right. Lost: to be sent again, unless SACKed; of a record that is lost and
  // was sent again, the copy is lost too (Linux: tcp_mark_skb_lost).
  void mark_lost(Transmission& t);
  // Not lost after all (Linux: tcp_undo_cwnd_reduction's unmark_loss).
  void unmark_lost(Transmission& t);
  // The first segment of the oldest record alone, which is split if it holds more (NewReno; RFC 6582 §3.2).
  // Returns segments marked.
  std::uint32_t mark_head_lost(TransmissionPool& pool);
  // On RTO: the first record is lost, and every other one not SACKed that was sent `rtt` ago or longer
  // (Linux: tcp_timeout_mark_lost). `forget_sacks`: the peer reneged (RFC 2018 §8), nothing counts as SACKed,
  // and all of it is lost.
  void mark_timed_out(bool forget_sacks, Duration rtt, Instant now);
  // Segments ever marked lost, those sent again and lost again counted again (Linux: tp->lost); wraps.
  std::uint32_t lost_total() const { return lost_total_; }
  // Does anything outstanding stand for more than its first transmission (Linux: tcp_any_retrans_done)?
  bool anything_resent() const {
    return retrans_out_ != 0 || (first() != nullptr && first()->ever_retransmitted);
  }
  // SACK-less (NewReno): pretend `n` segments were SACKed by duplicate ACKs, at most what the holes leave
  // (Linux: tcp_add_reno_sack, tcp_limit_reno_sacked). Returns the segments delivered.
  std::uint32_t add_reno_sack(std::uint32_t n);
  // A cumulative ACK of `acked` segments: one filled the hole, the rest had sent duplicate ACKs (Linux:
  // tcp_remove_reno_sacks). Returns the segments delivered.
  std::uint32_t remove_reno_sacks(std::uint32_t acked);
  void reset_reno_sack() { reno_sacked_ = 0; }

  std::uint32_t packets_out() const { return packets_out_; }
  std::uint32_t sacked_out() const { return sacked_ + reno_sacked_; }
  std::uint32_t lost_out() const { return lost_out_; }
  std::uint32_t retrans_out() const { return retrans_out_; }
  std::uint32_t left_out() const { return sacked_out() + lost_out_; }
  // packets_out - left_out + retrans_out (Linux: tcp_packets_in_flight).
  std::uint32_t in_flight() const {
    const std::uint32_t sent = packets_out_ + retrans_out_;
    return sent > left_out() ? sent - left_out()
                             : 0;  // without SACK, between apply() and remove_reno_sacks()
  }

  bool empty() const { return records_.empty(); }
  Transmission* first() const { return records_.first(); }
  Transmission* last() const { return records_.last(); }
  Transmission* next(const Transmission& t) const { return records_.next(t); }
  Transmission* prev(const Transmission& t) const { return records_.prev(t); }
  Transmission* find(SeqNum seq) const;                      // the record that contains seq; O(log n)
  Transmission* oldest_sent() const { return time_first_; }  // time order, for RACK; SACKed records leave it
  Transmission* next_sent(const Transmission& t) const { return t.time_next; }
  // End of the highest SACKed record; snd.una while nothing is SACKed (Linux: tcp_highest_sack_seq).
  SeqNum highest_sacked() const { return highest_sacked_; }
  std::size_t record_count() const { return record_count_; }
  void clear(TransmissionPool& pool);

 private:
  struct Pass;  // one apply()

  Transmission* split(Transmission& t, SeqNum at, TransmissionPool& pool);
  void recut(Transmission& t, std::uint16_t mss);
  void adjust_counts(const Transmission& t, std::int32_t by);
  void forget(Transmission& t, TransmissionPool& pool);
  void sack_block(SeqRange block, bool duplicate, Pass& pass);
  void sack(Transmission& t, Pass& pass);
  void note_duplicate(const wire::SackBlock& block, Pass& pass);
  Transmission* merge_sacked(Transmission& t, TransmissionPool& pool);
  void acknowledge(SeqNum ack, Pass& pass);
  void time_append(Transmission& t);
  void time_insert_after(Transmission& t, Transmission& after);
  void time_insert_after_older(Transmission& t);
  void time_remove(Transmission& t);
  void limit_reno_sacks();

  SeqTree<Transmission> records_;
  Transmission* time_first_ = nullptr;
  Transmission* time_last_ = nullptr;
  std::uint32_t packets_out_ = 0;
  std::uint32_t sacked_ = 0;       // segments of records marked SACKed
  std::uint32_t reno_sacked_ = 0;  // duplicate ACKs standing for segments, without SACK
  std::uint32_t lost_out_ = 0;
  std::uint32_t retrans_out_ = 0;
  std::uint32_t record_count_ = 0;
  std::uint32_t lost_total_ = 0;
  SeqNum highest_sacked_;
};

}  // namespace tapir::tcp
