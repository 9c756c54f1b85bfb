// SPDX-License-Identifier: Apache-2.0
#include "tcp/scoreboard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/rng.h"

namespace tapir::tcp {
namespace {

constexpr std::uint16_t kMss = 100;

class ScoreboardTest : public testing::TestWithParam<std::uint32_t> {
 protected:
  ~ScoreboardTest() override {
    board.clear(pool);
    EXPECT_TRUE(pool.empty());
  }
  SeqNum at(std::uint32_t offset) const { return SeqNum(GetParam()) + offset; }
  Instant time(int ms) const { return Instant{} + 100s + std::chrono::milliseconds(ms); }
  Transmission* send(std::uint32_t begin, std::uint32_t end, int ms = 0) {
    return board.on_sent({at(begin), at(end)}, kMss, time(ms), pool);
  }
  struct Offsets {
    std::uint32_t begin, end;
  };
  AckSummary ack(std::uint32_t una, std::vector<Offsets> blocks = {}, int ms = 50, bool dsack = false) {
    std::vector<wire::SackBlock> sack;
    for (Offsets b : blocks) sack.push_back({at(b.begin), at(b.end)});
    return board.apply(at(una), sack, dsack, {}, time(ms), pool);
  }
  void resend(std::uint32_t begin, std::uint32_t end, int ms) {
    ASSERT_NE(board.on_resent(*board.find(at(begin)), at(end), kMss, time(ms), board.last()->range.end, pool),
              nullptr);
  }

  TransmissionPool pool{100000};
  Scoreboard board;
};

TEST_P(ScoreboardTest, CumulativeAck) {
  send(0, 1000, 0);
  send(1000, 1250, 5);
  EXPECT_EQ(board.packets_out(), 13U);
  EXPECT_EQ(board.in_flight(), 13U);
  AckSummary s = ack(1000, {}, 50);
  EXPECT_TRUE(s.una_moved);
  EXPECT_EQ(s.newly_acked, 10U);
  EXPECT_EQ(s.delivered, 10U);
  EXPECT_EQ(s.acked_bytes, 1000U);
  EXPECT_EQ(s.rtt, 50ms);
  EXPECT_EQ(s.ca_rtt, 50ms);
  EXPECT_TRUE(s.original_acked);
  EXPECT_EQ(s.original_acked_end, at(1000));
  EXPECT_EQ(s.latest_sent_at, time(0));
  EXPECT_EQ(board.packets_out(), 3U);
  EXPECT_FALSE(ack(1000).una_moved);
  ack(1250);
  EXPECT_TRUE(board.empty());
  EXPECT_EQ(board.packets_out(), 0U);
}

TEST_P(ScoreboardTest, AckInsideASegmentKeepsItCounted) {
  send(0, 300);
  AckSummary s = ack(50);
  EXPECT_EQ(s.newly_acked, 0U);
  EXPECT_TRUE(s.una_moved);
  EXPECT_EQ(s.acked_bytes, 50U);
  EXPECT_EQ(s.rtt, Duration{-1});
  EXPECT_EQ(board.packets_out(), 3U);
  s = ack(150);
  EXPECT_EQ(s.newly_acked, 1U);
  EXPECT_EQ(board.packets_out(), 2U);
  EXPECT_EQ(board.first()->range.begin, at(150));
  s = ack(299);
  EXPECT_EQ(board.packets_out(), 1U);
  EXPECT_EQ(ack(300).newly_acked, 1U);
}

TEST_P(ScoreboardTest, SynAndFinRideAlong) {
  board.on_sent({at(0), at(1)}, kMss, time(0), pool, true, false);
  EXPECT_EQ(board.packets_out(), 1U);
  AckSummary s = ack(1);
  EXPECT_TRUE(s.syn_acked);
  EXPECT_EQ(s.newly_acked, 1U);
  board.on_sent({at(1), at(202)}, kMss, time(0), pool, false, true);
  EXPECT_EQ(board.packets_out(), 2U);
  s = ack(1, {{101, 201}});  // all but the FIN of the last segment
  EXPECT_EQ(s.newly_sacked, 0U);
  s = ack(201);
  EXPECT_FALSE(s.fin_acked);
  EXPECT_EQ(board.packets_out(), 1U);
  s = ack(202);
  EXPECT_TRUE(s.fin_acked);
  EXPECT_TRUE(board.empty());
}

TEST_P(ScoreboardTest, SackSplitsOnSegmentBoundaries) {
  send(0, 1000);
  AckSummary s = ack(0, {{250, 650}});
  EXPECT_EQ(s.newly_sacked, 3U);  // 300..600
  EXPECT_EQ(board.sacked_out(), 3U);
  EXPECT_EQ(board.packets_out(), 10U);
  EXPECT_EQ(board.record_count(), 3U);
  EXPECT_TRUE(board.find(at(300))->sacked);
  EXPECT_FALSE(board.find(at(299))->sacked);
  EXPECT_FALSE(board.find(at(600))->sacked);
  EXPECT_EQ(board.highest_sacked(), at(600));
  EXPECT_EQ(s.sack_rtt, 50ms);
  s = ack(0, {{610, 690}});  // part of a segment sacks nothing
  EXPECT_EQ(s.newly_sacked, 0U);
  s = ack(0, {{200, 700}});  // neighbours of equal fate merge
  EXPECT_EQ(s.newly_sacked, 2U);
  EXPECT_EQ(board.record_count(), 3U);
  s = ack(800);
  EXPECT_EQ(s.newly_acked, 3U);
  EXPECT_EQ(s.acked_sacked_before, 5U);
  EXPECT_EQ(board.packets_out(), 2U);
  EXPECT_EQ(board.sacked_out(), 0U);
  EXPECT_EQ(board.highest_sacked(), at(800));
}

TEST_P(ScoreboardTest, ASegmentSmallerThanTheMssIsWhole) {
  send(0, 250);
  EXPECT_EQ(ack(0, {{200, 250}}).newly_sacked, 1U);
  EXPECT_EQ(ack(0, {{201, 250}}).newly_sacked, 0U);
}

TEST_P(ScoreboardTest, LostAndSentAgain) {
  send(0, 300, 0);
  send(300, 600, 1);
  ack(0, {{300, 600}}, 50);
  board.mark_lost(*board.first());
  EXPECT_EQ(board.lost_out(), 3U);
  EXPECT_EQ(board.in_flight(), 0U);
  resend(0, 200, 60);
  EXPECT_EQ(board.retrans_out(), 2U);
  EXPECT_EQ(board.in_flight(), 2U);
  EXPECT_EQ(board.record_count(), 3U);
  EXPECT_EQ(board.first()->times_sent, 2);
  EXPECT_EQ(board.oldest_sent(), board.find(at(200)));
  // The copy is lost again.
  board.mark_lost(*board.first());
  EXPECT_EQ(board.retrans_out(), 0U);
  EXPECT_EQ(board.lost_out(), 3U);
  resend(0, 200, 90);
  AckSummary s = ack(200, {{300, 600}}, 120);
  EXPECT_TRUE(s.retransmitted_acked);
  EXPECT_EQ(s.rtt, Duration{-1});  // Karn
  EXPECT_TRUE(s.latest_retransmitted);
  EXPECT_EQ(s.latest_sent_at, time(90));
  EXPECT_EQ(board.lost_out(), 1U);
  EXPECT_EQ(board.retrans_out(), 0U);
  board.unmark_lost(*board.first());
  EXPECT_EQ(board.lost_out(), 0U);
}

TEST_P(ScoreboardTest, SackOfARetransmission) {
  send(0, 100, 0);
  send(100, 200, 0);
  board.mark_lost(*board.find(at(100)));
  resend(100, 200, 10);
  AckSummary s = ack(0, {{100, 200}}, 20);
  EXPECT_EQ(s.newly_sacked, 1U);
  EXPECT_EQ(s.sack_rtt, Duration{-1});
  EXPECT_FALSE(s.original_acked);
  EXPECT_EQ(board.lost_out(), 0U);
  EXPECT_EQ(board.retrans_out(), 0U);
  EXPECT_EQ(board.in_flight(), 1U);
}

// What was sent less than a round trip ago may still arrive; the oldest is lost whatever its age.
TEST_P(ScoreboardTest, TimeoutSparesWhatWasJustSent) {
  send(0, 100, 0);
  send(100, 200, 0);
  send(200, 300, 90);
  board.mark_timed_out(false, 50ms, time(100));
  EXPECT_TRUE(board.find(at(0))->lost);
  EXPECT_TRUE(board.find(at(100))->lost);
  EXPECT_FALSE(board.find(at(200))->lost);
}

TEST_P(ScoreboardTest, DsackEndsACopyInFlight) {
  send(0, 100, 0);
  send(100, 200, 0);
  resend(100, 200, 10);  // a tail probe: not thought lost
  ack(0, {{100, 200}}, 20);
  EXPECT_EQ(board.retrans_out(), 1U);
  AckSummary s = ack(0, {{100, 200}}, 30, true);
  EXPECT_TRUE(s.dsack);
  EXPECT_EQ(board.retrans_out(), 0U);
  EXPECT_TRUE(ack(0, {{0, 100}}, 30, true).dsack);  // below una: nothing but the report
}

TEST_P(ScoreboardTest, ReorderingIsSeen) {
  for (std::uint32_t i = 0; i < 10; ++i) send(i * 100, i * 100 + 100);
  EXPECT_EQ(ack(0, {{500, 600}}).reordering_sacked, 0U);
  EXPECT_EQ(ack(0, {{200, 300}, {500, 600}}).reordering_sacked, 4U);  // 200 .. 600
  EXPECT_EQ(ack(100, {{200, 300}, {500, 600}}).reordering_acked,
            6U);  // the hole before was filled by the original
  // A SACK and an ACK that arrive together say nothing about order.
  board.clear(pool);
  for (std::uint32_t i = 0; i < 10; ++i) send(i * 100, i * 100 + 100);
  EXPECT_EQ(ack(200, {{500, 600}}).reordering_acked, 0U);
  // What was sent again proves nothing.
  board.mark_lost(*board.find(at(200)));
  resend(200, 300, 10);
  EXPECT_EQ(ack(300, {{500, 600}}).reordering_acked, 0U);
}

TEST_P(ScoreboardTest, Reneging) {
  send(0, 200);
  send(200, 400);
  ack(0, {{200, 400}});
  EXPECT_FALSE(ack(0).reneged);
  EXPECT_TRUE(ack(200).reneged);
  board.mark_timed_out(true, Duration::zero(), time(0));
  EXPECT_EQ(board.sacked_out(), 0U);
  EXPECT_EQ(board.lost_out(), 2U);
  EXPECT_EQ(board.highest_sacked(), at(200));
  resend(200, 400, 100);
  EXPECT_EQ(board.in_flight(), 2U);
  EXPECT_EQ(ack(400).newly_acked, 2U);
}

TEST_P(ScoreboardTest, TimeoutMarksAll) {
  send(0, 300);
  send(300, 600);
  send(600, 700);
  ack(0, {{300, 400}});
  board.mark_lost(*board.find(at(0)));
  resend(0, 100, 5);
  board.mark_timed_out(false, Duration::zero(), time(5));
  EXPECT_EQ(board.lost_out(), 6U);
  EXPECT_EQ(board.retrans_out(), 0U);
  EXPECT_EQ(board.in_flight(), 0U);
}

TEST_P(ScoreboardTest, DuplicateAcksStandForSacks) {
  for (std::uint32_t i = 0; i < 5; ++i) send(i * 100, i * 100 + 100);
  EXPECT_EQ(board.add_reno_sack(3), 3U);
  EXPECT_EQ(board.in_flight(), 2U);
  EXPECT_EQ(board.add_reno_sack(9), 1U);  // one hole must remain
  EXPECT_EQ(board.sacked_out(), 4U);
  board.mark_lost(*board.first());
  EXPECT_EQ(board.in_flight(), 0U);
  board.mark_lost(*board.find(at(100)));
  EXPECT_EQ(board.sacked_out(), 3U);  // sacked + lost ≤ packets
  board.unmark_lost(*board.find(at(100)));
  resend(0, 100, 10);
  AckSummary s = ack(200);
  EXPECT_EQ(board.remove_reno_sacks(s.newly_acked), 1U);
  EXPECT_EQ(board.sacked_out(), 2U);
  EXPECT_EQ(board.packets_out(), 3U);
  board.reset_reno_sack();
  EXPECT_EQ(board.sacked_out(), 0U);
}

TEST_P(ScoreboardTest, ASmallerSegmentSizeCutsAnew) {
  send(0, 1000);
  board.mark_lost(*board.first());
  ASSERT_NE(board.on_resent(*board.first(), at(100), 50, time(10), at(1000), pool), nullptr);
  EXPECT_EQ(board.packets_out(), 20U);
  EXPECT_EQ(board.lost_out(), 20U);
  EXPECT_EQ(board.retrans_out(), 2U);
  EXPECT_EQ(ack(1000).newly_acked, 20U);
}

TEST_P(ScoreboardTest, NoRecordNoSend) {
  TransmissionPool small(2);
  Scoreboard other;
  ASSERT_NE(other.on_sent({at(0), at(1000)}, kMss, time(0), small), nullptr);
  ASSERT_NE(other.on_sent({at(1000), at(1100)}, kMss, time(0), small), nullptr);
  EXPECT_EQ(other.on_sent({at(1100), at(1200)}, kMss, time(0), small), nullptr);
  EXPECT_EQ(other.on_resent(*other.first(), at(500), kMss, time(1), at(1100), small), nullptr);
  EXPECT_EQ(other.retrans_out(), 0U);
  const wire::SackBlock block{at(300), at(400)};
  EXPECT_EQ(other.apply(at(0), {&block, 1}, false, {}, time(1), small).newly_sacked, 0U);
  EXPECT_EQ(other.packets_out(), 11U);
  other.clear(small);
}

TEST_P(ScoreboardTest, SplitsAreRefusedAtTheLimit) {
  for (std::uint32_t i = 0; i < 2 * kSplitRecordsMax; i += 8) send(i * kMss, (i + 8) * kMss);
  for (std::uint32_t i = 1; i < 2 * kSplitRecordsMax; i += 2) ack(0, {{i * kMss, (i + 1) * kMss}});
  EXPECT_LE(board.record_count(), kSplitRecordsMax + 1);
  EXPECT_GT(board.sacked_out(), kSplitRecordsMax / 4);
  EXPECT_EQ(ack(2 * kSplitRecordsMax * kMss).acked_bytes, 2 * kSplitRecordsMax * kMss);
  EXPECT_TRUE(board.empty());
}

// ---- against a model that knows nothing but segments ----

struct Segment {
  std::uint32_t begin, end;
  bool sacked = false, lost = false, retransmitted = false, ever = false;
};

TEST_P(ScoreboardTest, AgreesWithAModelOfSegments) {
  Rng rng(GetParam() ^ 99);
  std::vector<Segment> model;
  std::uint32_t una = 0, nxt = 0;
  const auto in = [&](std::uint32_t begin, std::uint32_t end, auto&& change) {
    for (Segment& s : model)
      if (s.begin >= begin && s.end <= end) change(s);
  };
  const auto offset_of = [&](SeqNum seq) { return seq - at(0); };
  const auto random_record = [&]() -> Transmission* {
    return board.find(at(una + static_cast<std::uint32_t>(rng.below(nxt - una))));
  };
  for (int step = 0; step < 30000; ++step) {
    const auto what = rng.below(20);
    if (una == nxt || (what < 6 && nxt - una < 30000)) {
      const std::uint32_t length = 1 + static_cast<std::uint32_t>(rng.below(rng.below(2) != 0 ? 1500 : 150));
      const bool push = rng.below(4) == 0;
      Transmission* t = send(nxt, nxt + length, step);
      ASSERT_NE(t, nullptr);
      t->push = push;
      for (std::uint32_t b = nxt; b < nxt + length; b += kMss)
        model.push_back({b, std::min(b + kMss, nxt + length)});
      nxt += length;
    } else if (what < 9) {
      Transmission* t = random_record();
      const std::uint32_t begin = offset_of(t->range.begin), end = offset_of(t->range.end);
      if (!t->sacked) in(begin, end, [](Segment& s) { (s.lost ? s.retransmitted : s.lost) = !s.lost; });
      board.mark_lost(*t);
    } else if (what < 12) {
      Transmission* t = random_record();
      if (t->sacked) continue;
      const std::uint32_t begin = offset_of(t->range.begin);
      const auto k = 1 + static_cast<std::uint32_t>(rng.below(t->segments()));
      const std::uint32_t end = std::min(begin + k * kMss, offset_of(t->range.end));
      resend(begin, end, step);
      in(begin, end, [](Segment& s) { s.retransmitted = s.ever = true; });
    } else if (what == 12 && rng.below(10) == 0) {
      const bool forget = rng.below(2) != 0;
      for (Segment& s : model) {
        if (forget) s.sacked = false;
        if (s.sacked) continue;
        (s.lost ? s.retransmitted : s.lost) = !s.lost;
      }
      board.mark_timed_out(forget, Duration::zero(), time(1 << 24));
    } else {
      // Somewhere in a segment, or at its end; the record it cuts begins its segments anew there.
      std::uint32_t ack_to = una;
      if (rng.below(3) == 0) ack_to += static_cast<std::uint32_t>(rng.below(std::min(nxt - una, 2000U) + 1));
      if (rng.below(3) != 0)
        for (const Segment& s : model)
          if (s.begin <= ack_to && ack_to < s.end) ack_to = s.begin;
      std::vector<Offsets> blocks;
      for (auto n = rng.below(4); n > 0 && ack_to + 2 < nxt; --n) {
        const std::uint32_t begin = ack_to + 1 + static_cast<std::uint32_t>(rng.below(nxt - ack_to - 1));
        const std::uint32_t end =
            begin + 1 + static_cast<std::uint32_t>(rng.below(std::min(nxt - begin, 3000U)));
        blocks.push_back({begin, std::min(end, nxt)});
      }
      std::uint32_t newly_sacked = 0, newly_acked = 0, sacked_before = 0;
      for (Offsets b : blocks) {
        in(b.begin, b.end, [&](Segment& s) {
          if (s.sacked) return;
          if (s.lost) s.lost = s.retransmitted = false;
          s.sacked = true;
          ++newly_sacked;
        });
      }
      // The model asks where the record ends that the ACK cuts. SACKs lie above the ACK: they may split it,
      // at the end of its first whole segments at the earliest; the part cut is known after them.
      const AckSummary sacks = ack(una, blocks, step);
      ASSERT_EQ(sacks.newly_sacked, newly_sacked) << step;
      const Transmission* cut = ack_to < nxt ? board.find(at(ack_to)) : nullptr;
      const bool inside = cut != nullptr && cut->range.begin != at(ack_to);
      const std::uint32_t cut_end = inside ? offset_of(cut->range.end) : ack_to;
      std::vector<Segment> left;
      Segment like{};
      std::uint32_t cut_count = 0;
      for (const Segment& s : model) {
        if (s.end <= ack_to && !(inside && s.begin >= offset_of(cut->range.begin))) {
          ++(s.sacked ? sacked_before : newly_acked);
        } else if (inside && s.begin >= offset_of(cut->range.begin) && s.end <= cut_end) {
          like = s;
          ++cut_count;
        } else {
          left.push_back(s);
        }
      }
      if (inside) {
        std::vector<Segment> anew;
        for (std::uint32_t b = ack_to; b < cut_end; b += kMss) {
          like.begin = b;
          like.end = std::min(b + kMss, cut_end);
          anew.push_back(like);
        }
        (like.sacked ? sacked_before : newly_acked) += cut_count - static_cast<std::uint32_t>(anew.size());
        left.insert(left.begin(), anew.begin(), anew.end());
      }
      model = left;
      const AckSummary s = ack(ack_to, {}, step);
      ASSERT_EQ(s.newly_acked, newly_acked) << step;
      ASSERT_EQ(s.acked_sacked_before, sacked_before) << step;
      ASSERT_EQ(s.una_moved, ack_to != una);
      ASSERT_EQ(s.acked_bytes, ack_to - una);
      una = ack_to;
    }

    const auto count = [&](auto&& is) {
      return static_cast<std::uint32_t>(std::ranges::count_if(model, is));
    };
    ASSERT_EQ(board.packets_out(), model.size()) << step;
    ASSERT_EQ(board.sacked_out(), count([](const Segment& s) { return s.sacked; })) << step;
    ASSERT_EQ(board.lost_out(), count([](const Segment& s) { return s.lost; })) << step;
    ASSERT_EQ(board.retrans_out(), count([](const Segment& s) { return s.retransmitted; })) << step;
    ASSERT_LE(board.sacked_out() + board.lost_out(), board.packets_out()) << step;

    // The records tell what the segments tell, in both orders.
    auto segment = model.begin();
    std::uint32_t records = 0, in_time = 0, unsacked = 0;
    SeqNum at_seq = at(una);
    const Transmission* before = nullptr;
    for (Transmission* t = board.first(); t != nullptr; t = board.next(*t)) {
      ASSERT_EQ(t->range.begin, at_seq);
      ASSERT_EQ(board.prev(*t), before);
      ASSERT_EQ(board.find(t->range.end - 1), t);
      at_seq = t->range.end;
      before = t;
      ++records;
      if (!t->sacked) ++unsacked;
      for (std::uint32_t i = 0; i < t->segments(); ++i, ++segment) {
        ASSERT_EQ(segment->sacked, t->sacked) << step;
        ASSERT_EQ(segment->lost, t->lost) << step;
        ASSERT_EQ(segment->retransmitted, t->retransmitted) << step;
        ASSERT_EQ(segment->ever, t->ever_retransmitted) << step;
      }
      ASSERT_LE(t->tree_height, 20U);
    }
    ASSERT_EQ(at_seq, at(nxt));
    ASSERT_EQ(before, board.last());
    ASSERT_EQ(records, board.record_count());
    ASSERT_EQ(records, pool.size());
    Instant sent_at{};
    for (Transmission* t = board.oldest_sent(); t != nullptr; t = board.next_sent(*t)) {
      ASSERT_FALSE(t->sacked);
      ASSERT_GE(t->sent_at, sent_at);
      sent_at = t->sent_at;
      ++in_time;
    }
    ASSERT_LE(in_time, unsacked);
  }
}

INSTANTIATE_TEST_SUITE_P(Starts, ScoreboardTest,
                         testing::Values(0U, 0x7fff0000U, 0x7fffff80U, 0xffff0000U, 0xffffff80U));

}  // namespace
}  // namespace tapir::tcp
