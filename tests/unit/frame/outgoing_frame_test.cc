// SPDX-License-Identifier: Apache-2.0
#include "frame/outgoing_frame.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

namespace tapir {
namespace {

TEST(OutgoingFrame, HeadersGrowBothWays) {
  OutgoingFrame frame;
  EXPECT_EQ(frame.size(), 0u);
  MutableBytes tcp = frame.append_header(2);
  tcp[0] = 3;
  tcp[1] = 4;
  frame.append_header(1)[0] = 5;
  frame.push_header(1)[0] = 2;
  frame.push_header(1)[0] = 1;
  const std::vector<std::uint8_t> header(frame.header().begin(), frame.header().end());
  EXPECT_EQ(header, (std::vector<std::uint8_t>{1, 2, 3, 4, 5}));
}

TEST(OutgoingFrame, OffsetsFollowWhatIsPushedInFront) {
  OutgoingFrame frame;
  frame.append_header(20);
  frame.checksum = {true, 0, 16};
  frame.push_header(40);
  frame.network_offset = 0;
  EXPECT_EQ(frame.transport_offset, 40);
  EXPECT_EQ(frame.checksum.start, 40);
  frame.push_header(14);
  EXPECT_EQ(frame.network_offset, 14);
  EXPECT_EQ(frame.transport_offset, 54);
  EXPECT_EQ(frame.checksum.start, 54);
  EXPECT_EQ(frame.checksum.offset, 16);
  frame.clear();
  EXPECT_EQ(frame.size(), 0u);
  EXPECT_FALSE(frame.checksum.wanted);
  EXPECT_EQ(frame.transport_offset, 0);
  frame.append_header(1);
  frame.push_header(kHeaderReserve);
  EXPECT_EQ(frame.header().size(), kHeaderReserve + 1);
}

TEST(OutgoingFrame, MergesSpansThatTouch) {
  std::array<std::uint8_t, 100> buffer{};
  OutgoingFrame frame;
  const Bytes all = buffer;
  frame.add_payload(all.subspan(0, 10));
  frame.add_payload(all.subspan(10, 10));
  frame.add_payload({});
  EXPECT_EQ(frame.payload().size(), 1u);
  EXPECT_EQ(frame.payload()[0].size(), 20u);
  frame.add_payload(all.subspan(30, 10));
  frame.add_payload(all.subspan(20, 10));
  EXPECT_EQ(frame.payload().size(), 3u);
  EXPECT_EQ(frame.payload_size(), 40u);
}

TEST(OutgoingFrame, TakesSoManySpansAndNoMore) {
  std::array<std::uint8_t, 100> buffer{};
  const Bytes all = buffer;
  OutgoingFrame frame;
  for (std::size_t i = 0; i < kOutgoingSpansMax; ++i) {
    EXPECT_FALSE(frame.payload_full());
    frame.add_payload(all.subspan(2 * i, 1));
  }
  EXPECT_TRUE(frame.payload_full());
  frame.add_payload(all.subspan(2 * kOutgoingSpansMax - 1, 1));  // touches the last
  EXPECT_EQ(frame.payload_size(), kOutgoingSpansMax + 1);
  EXPECT_DEATH(frame.add_payload(all.subspan(99, 1)), "no more spans");
}

TEST(OutgoingFrame, HeadersBeyondTheStorageAreOurBug) {
  OutgoingFrame frame;
  EXPECT_DEATH(frame.push_header(kHeaderReserve + 1), "fit the reserve");
  EXPECT_DEATH(frame.append_header(kOutgoingHeaderMax - kHeaderReserve + 1), "headers fit");
  frame.append_header(kOutgoingHeaderMax - kHeaderReserve);
  EXPECT_EQ(frame.header().size(), kOutgoingHeaderMax - kHeaderReserve);
}

TEST(OutgoingFrame, CopiesItselfOut) {
  const std::array<std::uint8_t, 4> payload = {10, 11, 12, 13};
  const Bytes all = payload;
  OutgoingFrame frame;
  frame.append_header(2)[0] = 1;
  frame.mutable_header()[1] = 2;
  frame.add_payload(all.subspan(2, 2));
  frame.add_payload(all.subspan(0, 1));
  std::vector<std::uint8_t> out(frame.size());
  frame.copy_to(out);
  EXPECT_EQ(out, (std::vector<std::uint8_t>{1, 2, 12, 13, 10}));
  std::vector<std::uint8_t> small(frame.size() - 1);
  EXPECT_DEATH(frame.copy_to(small), "copy of a frame fits");
}

}  // namespace
}  // namespace tapir
