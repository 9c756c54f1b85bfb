// SPDX-License-Identifier: Apache-2.0
#include "link/pipe.h"

#include <gtest/gtest.h>

#include "link/loopback.h"
#include "unit/link/frames.h"

namespace tapir::link {
namespace {

TEST(Pipe, CarriesFramesInOrderBothWays) {
  auto [a, b] = make_pipe();
  Receiver receiver;
  const auto payload = payload_bytes(100);
  for (Device* from : {a.get(), b.get()}) {
    Device* to = from == a.get() ? b.get() : a.get();
    EXPECT_EQ(to->next_timeout(), kNever);
    const std::array<OutgoingFrame, 2> batch = {numbered_frame(1, payload), numbered_frame(2, payload)};
    EXPECT_EQ(from->transmit(batch, at(5ms)), 2U);
    EXPECT_EQ(to->next_timeout(), at(5ms));
    const auto frames = receiver.receive(*to, at(7ms));
    ASSERT_EQ(frames.size(), 2U);
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(std::ranges::equal(frames[i].bytes(), bytes_of(batch[i])));
      EXPECT_EQ(frames[i].meta().received_at, at(7ms));
      EXPECT_EQ(frames[i].meta().checksum, ChecksumState::kNone);
    }
    EXPECT_EQ(to->next_timeout(), kNever);
  }
  EXPECT_EQ(receiver.pool.in_use(), 0U);
}

TEST(Pipe, WhatIsGrantedPassesThroughUndone) {
  auto [a, b] = make_pipe({.offloads = all_offloads()});
  Receiver receiver;
  const auto payload = payload_bytes(60'000);
  const OutgoingFrame super = tcp_frame(payload, wire::kAck, 1448);
  EXPECT_EQ(a->transmit({&super, 1}, at(1ms)), 1U);
  const auto frames = receiver.receive(*b, at(1ms));
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].meta().checksum, ChecksumState::kPartial);
  EXPECT_EQ(frames[0].meta().gso.type, GsoType::kTcpV4);
  EXPECT_EQ(frames[0].meta().gso.size, 1448);
  EXPECT_TRUE(std::ranges::equal(frames[0].bytes(), bytes_of(super)));
}

TEST(Pipe, WhatIsNotGrantedIsLost) {
  auto [a, b] = make_pipe();
  Receiver receiver;
  const auto payload = payload_bytes(2000);
  const std::array<OutgoingFrame, 3> batch = {tcp_frame(payload, wire::kAck, 1000),
                                              tcp_frame(Bytes(payload).first(10), wire::kAck),
                                              numbered_frame(1, payload)};
  EXPECT_EQ(a->transmit(batch, at(1ms)), 3U);
  EXPECT_EQ(a->dropped(), 3U);
  EXPECT_TRUE(receiver.receive(*b, at(1ms)).empty());
}

TEST(Pipe, RoomIsAPromise) {
  auto [a, b] = make_pipe({.frames_max = 5});
  const std::array<OutgoingFrame, 6> batch = {numbered_frame(0, {}), numbered_frame(1, {}),
                                              numbered_frame(2, {}), numbered_frame(3, {}),
                                              numbered_frame(4, {}), numbered_frame(5, {})};
  EXPECT_EQ(a->room(), 5U);
  EXPECT_EQ(a->transmit(batch, at(0ms)), 5U);
  EXPECT_EQ(a->room(), 0U);
  EXPECT_EQ(a->dropped(), 1U);
  Receiver receiver;
  EXPECT_EQ(receiver.receive(*b, at(0ms)).size(), 5U);
  EXPECT_EQ(a->room(), 5U);
}

TEST(Pipe, RoomReckonsWithTheLargestFrames) {
  auto [a, b] = make_pipe({.offloads = all_offloads(), .frames_max = 1000, .bytes_max = 1 << 20});
  const auto payload = payload_bytes(65'000);
  const OutgoingFrame super = tcp_frame(payload, wire::kAck, 1448);
  std::size_t sent = 0;
  while (a->room() != 0) {
    ASSERT_EQ(a->transmit({&super, 1}, at(0ms)), 1U);
    ++sent;
  }
  EXPECT_GE(sent, 15U);
  EXPECT_LE(sent, 16U);
}

TEST(Pipe, AReceiverWithoutMemoryLosesNothing) {
  auto [a, b] = make_pipe();
  Receiver receiver;
  const std::array<OutgoingFrame, 3> batch = {numbered_frame(0, {}), numbered_frame(1, {}),
                                              numbered_frame(2, {})};
  a->transmit(batch, at(0ms));
  receiver.pool.fail_after(2);
  std::array<Frame, 8> frames;
  EXPECT_EQ(b->receive(frames, receiver.pool, at(1ms)), 1U);
  EXPECT_EQ(b->next_timeout(), at(1ms) + kTransitRetry) << "a loop that waits for it must see time move";
  const auto rest = receiver.receive(*b, at(3ms));
  ASSERT_EQ(rest.size(), 2U);
  EXPECT_EQ(number_of(rest[0]), 1);
  EXPECT_EQ(number_of(rest[1]), 2);
}

TEST(Pipe, ATurnHasBytes) {
  auto [a, b] = make_pipe({.offloads = all_offloads()});
  const auto payload = payload_bytes(65'000);
  const OutgoingFrame super = tcp_frame(payload, wire::kAck, 1448);
  for (int i = 0; i < 10; ++i) a->transmit({&super, 1}, at(0ms));
  Receiver receiver;
  std::array<Frame, 64> frames;
  EXPECT_EQ(b->receive(frames, receiver.pool, at(0ms)), 5U) << "256 KB are reached with the fifth";
}

TEST(Pipe, FramesToAnEndThatIsGoneVanish) {
  auto [a, b] = make_pipe({.frames_max = 2});
  b.reset();
  const std::array<OutgoingFrame, 3> batch = {numbered_frame(0, {}), numbered_frame(1, {}),
                                              numbered_frame(2, {})};
  EXPECT_EQ(a->transmit(batch, at(0ms)), 3U);
  EXPECT_EQ(a->room(), 2U);
}

TEST(Pipe, BareIp) {
  auto [a, b] = make_pipe({.mtu = 1400, .link_type = LinkType::kRawIp});
  EXPECT_EQ(a->mac(), MacAddress{});
  EXPECT_EQ(a->mtu(), 1400U);
  EXPECT_EQ(a->link_type(), LinkType::kRawIp);
}

TEST(LoopbackDevice, GivesBackWhatItTook) {
  Loopback loopback;
  Receiver receiver;
  EXPECT_EQ(loopback.mtu(), 65536U);
  EXPECT_TRUE(loopback.offloads().tso);
  const auto payload = payload_bytes(30'000);
  const std::array<OutgoingFrame, 2> batch = {tcp_frame(payload, wire::kAck, 0, LinkType::kRawIp),
                                              tcp_frame({}, wire::kAck, 0, LinkType::kRawIp)};
  EXPECT_EQ(loopback.transmit(batch, at(3ms)), 2U);
  EXPECT_EQ(loopback.next_timeout(), at(3ms));
  const auto frames = receiver.receive(loopback, at(3ms));
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_TRUE(std::ranges::equal(frames[0].bytes(), bytes_of(batch[0])));
  EXPECT_EQ(frames[0].meta().checksum, ChecksumState::kPartial);
  EXPECT_EQ(loopback.next_timeout(), kNever);
}

TEST(LoopbackDevice, IsBounded) {
  Loopback loopback;
  const OutgoingFrame frame = tcp_frame({}, wire::kAck, 0, LinkType::kRawIp);
  std::size_t sent = 0;
  while (sent < 5000 && loopback.transmit({&frame, 1}, at(0ms)) == 1) ++sent;
  EXPECT_EQ(sent, kLoopbackFramesMax);
  EXPECT_EQ(loopback.room(), 0U);
}

}  // namespace
}  // namespace tapir::link
