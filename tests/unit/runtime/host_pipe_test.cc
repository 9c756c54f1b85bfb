// SPDX-License-Identifier: Apache-2.0
#include "runtime/host_pipe.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <vector>

namespace tapir::runtime {
namespace {

bool readable(const link::Device& device) {
  pollfd one{device.wait_descriptor(), POLLIN, 0};
  return ::poll(&one, 1, 0) == 1;
}

OutgoingFrame frame_of(Bytes payload) {
  OutgoingFrame frame;
  frame.clear();
  const MutableBytes header = frame.append_header(14);
  std::fill(header.begin(), header.end(), std::uint8_t{7});
  frame.add_payload(payload);
  return frame;
}

class HostPipeTest : public testing::Test {
 protected:
  MemoryBudget budget_{std::size_t{16} << 20};
  FramePool pool_{budget_};
  std::array<Frame, 64> batch_;
};

TEST_F(HostPipeTest, AFramePassesWithItsRequests) {
  auto [one, other] = make_host_pipe();
  EXPECT_NE(one->mac(), other->mac());
  EXPECT_FALSE(readable(*other));
  const std::vector<std::uint8_t> payload(40000, 3);
  OutgoingFrame frame = frame_of(payload);
  frame.checksum.wanted = true;
  frame.gso = {GsoType::kTcpV4, 1460, true};
  EXPECT_EQ(one->transmit({&frame, 1}, Instant{}), 1U);
  EXPECT_TRUE(readable(*other));
  EXPECT_FALSE(readable(*one));
  ASSERT_EQ(other->receive(batch_, pool_, Instant(5ns)), 1U);
  EXPECT_EQ(batch_[0].size(), 40014U);
  EXPECT_EQ(batch_[0].meta().checksum, ChecksumState::kPartial);
  EXPECT_EQ(batch_[0].meta().gso.size, 1460);
  EXPECT_EQ(batch_[0].meta().received_at, Instant(5ns));
  EXPECT_FALSE(readable(*other));
  batch_[0].reset();
}

TEST_F(HostPipeTest, AFullLaneHasNoRoom) {
  auto [one, other] = make_host_pipe();
  const std::vector<std::uint8_t> payload(10, 3);
  const OutgoingFrame frame = frame_of(payload);
  for (std::size_t i = 0; i < kHostPipeFramesMax; ++i) ASSERT_EQ(one->transmit({&frame, 1}, Instant{}), 1U);
  EXPECT_EQ(one->room(), 0U);
  EXPECT_EQ(one->transmit({&frame, 1}, Instant{}), 0U);
  EXPECT_EQ(other->room(), kHostPipeFramesMax);
  ASSERT_EQ(other->receive(batch_, pool_, Instant{}), batch_.size());
  EXPECT_EQ(one->room(), batch_.size());
  EXPECT_TRUE(readable(*other));
  for (Frame& f : batch_) f.reset();
}

TEST_F(HostPipeTest, AnEmptyPoolLosesNothing) {
  auto [one, other] = make_host_pipe();
  const OutgoingFrame frame = frame_of({});
  EXPECT_EQ(one->transmit({&frame, 1}, Instant{}), 1U);
  pool_.fail_after(1);
  EXPECT_EQ(other->receive(batch_, pool_, Instant{}), 0U);
  EXPECT_TRUE(readable(*other));
  EXPECT_EQ(other->receive(batch_, pool_, Instant{}), 1U);
  batch_[0].reset();
}

TEST_F(HostPipeTest, FramesToAnEndThatIsGoneVanish) {
  auto [one, other] = make_host_pipe();
  const OutgoingFrame frame = frame_of({});
  other.reset();
  EXPECT_EQ(one->transmit({&frame, 1}, Instant{}), 1U);
  EXPECT_GT(one->room(), 0U);
}

}  // namespace
}  // namespace tapir::runtime
