// SPDX-License-Identifier: Apache-2.0
// The same seed is the same run; and memory that cannot be had costs time, never bytes.
#include <gtest/gtest.h>

#include "base/siphash.h"
#include "programs.h"
#include "sim/network.h"
#include "stack/parts.h"

namespace tapir::sim {
namespace {

constexpr IpAddress kLeft = IpAddress::v4(10, 0, 0, 1);
constexpr IpAddress kRight = IpAddress::v4(10, 0, 0, 2);

// A digest of everything a stack decided, and when.
class Digest : public trace::Probe {
 public:
  void on_record(const trace::Record& record) override {
    ++count_;
    const std::array<std::uint64_t, 4> head = {to_nsec(record.time), record.event, record.subject, value_};
    value_ = siphash_1_3(SipKey{1, 2}, head) ^ siphash_1_3(SipKey{3, 4}, record.words);
  }
  std::uint64_t value() const { return value_; }
  std::uint64_t count() const { return count_; }

 private:
  std::uint64_t value_ = 0;
  std::uint64_t count_ = 0;
};

struct Result {
  bool intact = false;
  std::uint64_t left = 0;
  std::uint64_t right = 0;
  std::uint64_t records = 0;
  Instant end{};
};

// `frame_failure`, `chunk_failure`: the n-th allocation on the left host that fails; 0 = none.
Result transfer(std::uint64_t seed, std::uint64_t frame_failure = 0, std::uint64_t chunk_failure = 0) {
  Network network(seed);
  Host& left = network.add_host("left");
  Host& right = network.add_host("right");
  CableConfig cable;
  cable.impair =
      *link::parse_impair("loss 3%, reorder 3% 1ms, duplicate 1%, corrupt 0.1%, delay 2ms, jitter 1ms");
  cable.impaired = true;
  network.connect(left, {kLeft, 24}, right, {kRight, 24}, cable);
  Digest left_digest;
  Digest right_digest;
  left.stack().tracer().attach(&left_digest);
  right.stack().tracer().attach(&right_digest);
  if (frame_failure != 0) left.stack().frames().fail_after(frame_failure);
  if (chunk_failure != 0) left.stack().parts().tcp.env().chunks.fail_after(chunk_failure);
  constexpr std::uint64_t kBytes = 300'000;
  auto& server = network.start<Duplex>(
      right,
      Duplex::Config{.listen_port = 5001, .send_bytes = kBytes, .receive_bytes = kBytes, .seed = seed});
  auto& client = network.start<Duplex>(
      left,
      Duplex::Config{
          .peer = kRight, .peer_port = 5001, .send_bytes = kBytes, .receive_bytes = kBytes, .seed = seed});
  const bool done = network.run_programs(network.now() + Duration(1h));
  left.stack().tracer().attach(nullptr);
  right.stack().tracer().attach(nullptr);
  return {done && server.intact() && client.intact(), left_digest.value(), right_digest.value(),
          left_digest.count(), network.now()};
}

TEST(Replay, TheSameSeedIsTheSameRun) {
  for (std::uint64_t seed : {1U, 2U, 3U}) {
    const Result first = transfer(seed);
    const Result second = transfer(seed);
    EXPECT_TRUE(first.intact);
    EXPECT_GT(first.records, 1000u);
    EXPECT_EQ(first.left, second.left) << "seed " << seed;
    EXPECT_EQ(first.right, second.right) << "seed " << seed;
    EXPECT_EQ(first.end, second.end) << "seed " << seed;
  }
  EXPECT_NE(transfer(1).left, transfer(2).left);
}

TEST(AllocationFailure, AnyOneFrameMayFail) {
  for (std::uint64_t n = 1; n <= 120; ++n) EXPECT_TRUE(transfer(7, n).intact) << "frame allocation " << n;
}

TEST(AllocationFailure, AnyOneChunkMayFail) {
  for (std::uint64_t n = 1; n <= 20; ++n) EXPECT_TRUE(transfer(8, 0, n).intact) << "chunk allocation " << n;
}

}  // namespace
}  // namespace tapir::sim
