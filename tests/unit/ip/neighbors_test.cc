// SPDX-License-Identifier: Apache-2.0
#include "ip/neighbors.h"

#include "unit/ip/fixture.h"

namespace tapir::ip {
namespace {

using trace::DropReason;
using wire::ArpOperation;
using wire::ArpPacket;

struct NeighborsTest : ::testing::Test, Host {
  Neighbors neighbors{interfaces, pool, kKey, Rng(1), knobs, counters, tracer, kStart};
  Data payload = pattern(100);

  // A TCP segment 4000 -> 80 to `to`, from its IP header on.
  OutgoingFrame packet_to(const IpAddress& to) {
    OutgoingFrame packet;
    const auto transport = packet.append_header(20);
    std::fill(transport.begin(), transport.end(), std::uint8_t{0});
    store_be<std::uint16_t>(transport, 0, 4000);
    store_be<std::uint16_t>(transport, 2, 80);
    store_be<std::uint32_t>(transport, 4, 0x01020304);
    packet.add_payload(payload);
    packet.checksum = {true, 0, 16};
    packet.gso = {GsoType::kTcpV4, 50, false};
    wire::Ipv4Header header;
    header.src = kUs;
    header.dst = to;
    header.total_length = 140;
    wire::emit_ipv4(header, packet.push_header(20));
    packet.network_offset = 0;
    packet.transport_offset = 20;
    return packet;
  }
  Resolution resolve(const IpAddress& to, Instant now) {
    return neighbors.resolve(tap, to, kUs, packet_to(to), now);
  }
  std::optional<DropReason> reply(const IpAddress& from, const MacAddress& mac, Instant now) {
    return neighbors.on_arp(tap, {ArpOperation::kReply, mac, from, kOurMac, kUs}, mac, LinkDestination::kHost,
                            now);
  }
  std::optional<DropReason> request(const IpAddress& from, const MacAddress& mac, const IpAddress& for_whom,
                                    Instant now) {
    return neighbors.on_arp(tap, {ArpOperation::kRequest, mac, from, {}, for_whom}, mac,
                            LinkDestination::kBroadcast, now);
  }
  NeighborState state(const IpAddress& of = kPeer) { return neighbors.find(tap, of)->state; }
  std::size_t drain_arp() {
    std::size_t count = 0;
    while (neighbors.poll_arp()) ++count;
    return count;
  }
  // The peer is REACHABLE since `now`.
  void make_reachable(Instant now) {
    resolve(kPeer, now);
    reply(kPeer, kPeerMac, now);
    while (neighbors.poll_released()) {
    }
    drain_arp();
    ASSERT_EQ(state(), NeighborState::kReachable);
  }
  // Lets timers run until `until`.
  void run_to(Instant until) {
    while (neighbors.next_timeout() <= until) neighbors.on_timeout(neighbors.next_timeout());
    neighbors.on_timeout(until);
  }
};

TEST_F(NeighborsTest, AsksParksAndReleases) {
  EXPECT_EQ(resolve(kPeer, kStart).status, ResolveStatus::kParked);
  EXPECT_EQ(state(), NeighborState::kIncomplete);
  const auto asked = neighbors.poll_arp();
  ASSERT_TRUE(asked.has_value());
  EXPECT_EQ(asked->destination, wire::kBroadcastMac);
  EXPECT_EQ(asked->packet, (ArpPacket{ArpOperation::kRequest, kOurMac, kUs, {}, kPeer}));
  EXPECT_EQ(asked->interface, tap);
  EXPECT_FALSE(neighbors.poll_arp().has_value());
  resolve(kPeer, kStart + 1ms);
  EXPECT_EQ(drain_arp(), 0u);  // one request for all

  EXPECT_EQ(reply(kPeer, kPeerMac, kStart + 2ms), std::nullopt);
  EXPECT_EQ(state(), NeighborState::kReachable);
  for (int i = 0; i < 2; ++i) {
    const auto released = neighbors.poll_released();
    ASSERT_TRUE(released.has_value());
    EXPECT_EQ(released->mac, kPeerMac);
    EXPECT_EQ(released->interface, tap);
    OutgoingFrame out;
    released->fill(out);
    EXPECT_EQ(flat(out), flat(packet_to(kPeer)));
    EXPECT_EQ(out.header().size(), 40u);
    EXPECT_EQ(out.transport_offset, 20);
    EXPECT_TRUE(out.checksum.wanted);
    EXPECT_EQ(out.checksum.start, 20);
    EXPECT_EQ(out.checksum.offset, 16);
    EXPECT_EQ(out.gso.size, 50);
  }
  EXPECT_FALSE(neighbors.poll_released().has_value());
  EXPECT_EQ(neighbors.parked_bytes(), 0u);
  EXPECT_EQ(pool.in_use(), 0u);
  const Resolution now_known = resolve(kPeer, kStart + 3ms);
  EXPECT_EQ(now_known.status, ResolveStatus::kResolved);
  EXPECT_EQ(now_known.mac, kPeerMac);
}

TEST_F(NeighborsTest, ThreeTriesThenFailureTellsWhoWaited) {
  resolve(kPeer, kStart);
  run_to(kStart + 2s);
  EXPECT_EQ(drain_arp(), 3u);
  EXPECT_FALSE(neighbors.poll_failure().has_value());
  EXPECT_EQ(neighbors.next_timeout(), kStart + 3s);
  run_to(kStart + 3s);
  EXPECT_EQ(state(), NeighborState::kFailed);
  EXPECT_EQ(drain_arp(), 0u);
  const auto failure = neighbors.poll_failure();
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->kind, DeliveryErrorKind::kHostUnreachable);
  EXPECT_FALSE(failure->from_icmp);
  EXPECT_EQ(failure->quoted.local, (Endpoint{kUs, 4000}));
  EXPECT_EQ(failure->quoted.remote, (Endpoint{kPeer, 80}));
  EXPECT_EQ(failure->quoted_seq, SeqNum(0x01020304));
  EXPECT_FALSE(neighbors.poll_failure().has_value());
  EXPECT_EQ(pool.in_use(), 0u);
  // The next packet begins anew.
  EXPECT_EQ(resolve(kPeer, kStart + 4s).status, ResolveStatus::kParked);
  EXPECT_EQ(drain_arp(), 1u);
}

TEST_F(NeighborsTest, UnusedItGoesStale) {
  make_reachable(kStart);
  const Instant deadline = neighbors.next_timeout();
  // base_reachable_time times 0.5–1.5.
  EXPECT_GE(deadline, kStart + 15s);
  EXPECT_LE(deadline, kStart + 45s);
  run_to(deadline);
  EXPECT_EQ(state(), NeighborState::kStale);
  EXPECT_EQ(neighbors.next_timeout(), kNever);
}

TEST_F(NeighborsTest, UsedWhileStaleItIsProbedByUnicast) {
  make_reachable(kStart);
  run_to(kStart + 60s);
  const Instant used = kStart + 100s;
  EXPECT_EQ(resolve(kPeer, used).status, ResolveStatus::kResolved);
  EXPECT_EQ(state(), NeighborState::kDelay);
  EXPECT_EQ(drain_arp(), 0u);
  run_to(used + 5s);
  EXPECT_EQ(state(), NeighborState::kProbe);
  const auto probe = neighbors.poll_arp();
  ASSERT_TRUE(probe.has_value());
  EXPECT_EQ(probe->destination, kPeerMac);
  EXPECT_EQ(resolve(kPeer, used + 5s).status, ResolveStatus::kResolved);
  EXPECT_EQ(reply(kPeer, kPeerMac, used + 5s + 1ms), std::nullopt);
  EXPECT_EQ(state(), NeighborState::kReachable);
}

TEST_F(NeighborsTest, SilentProbesEndInFailed) {
  make_reachable(kStart);
  run_to(kStart + 60s);
  const Instant used = kStart + 100s;
  resolve(kPeer, used);
  run_to(used + 7s);
  EXPECT_EQ(drain_arp(), 3u);
  EXPECT_EQ(state(), NeighborState::kProbe);
  run_to(used + 8s);
  EXPECT_EQ(state(), NeighborState::kFailed);
}

TEST_F(NeighborsTest, ProgressAboveKeepsItReachable) {
  make_reachable(kStart);
  for (int second = 1; second < 300; ++second) {
    const Instant now = kStart + std::chrono::seconds(second);
    run_to(now);
    resolve(kPeer, now);
    neighbors.confirm(tap, kPeer, now);
    ASSERT_EQ(state(), NeighborState::kReachable);
  }
  EXPECT_EQ(drain_arp(), 0u);
}

TEST_F(NeighborsTest, ConfirmationEndsDelay) {
  make_reachable(kStart);
  run_to(kStart + 60s);
  resolve(kPeer, kStart + 100s);
  neighbors.confirm(tap, kPeer, kStart + 101s);
  EXPECT_EQ(state(), NeighborState::kReachable);
  run_to(kStart + 110s);
  EXPECT_EQ(drain_arp(), 0u);
}

TEST_F(NeighborsTest, ARequestForUsIsAnsweredAndLearnt) {
  EXPECT_EQ(request(kPeer, kPeerMac, kUs, kStart), std::nullopt);
  const auto answer = neighbors.poll_arp();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->destination, kPeerMac);
  EXPECT_EQ(answer->packet, (ArpPacket{ArpOperation::kReply, kOurMac, kUs, kPeerMac, kPeer}));
  EXPECT_EQ(state(), NeighborState::kStale);
  EXPECT_EQ(resolve(kPeer, kStart).mac, kPeerMac);
}

TEST_F(NeighborsTest, UnaskedRepliesAndOthersRequestsMakeNoEntry) {
  EXPECT_EQ(reply(kPeer, kPeerMac, kStart), DropReason::kArpNotOurs);
  EXPECT_EQ(request(kPeer, kPeerMac, address("10.0.0.3"), kStart), DropReason::kArpNotOurs);
  EXPECT_EQ(request(kPeer, kPeerMac, kPeer, kStart), DropReason::kArpNotOurs);  // gratuitous
  EXPECT_EQ(neighbors.size(), 0u);
  EXPECT_EQ(drain_arp(), 0u);
}

TEST_F(NeighborsTest, ForgedOrImpossiblePacketsAreDropped) {
  const ArpPacket good{ArpOperation::kRequest, kPeerMac, kPeer, {}, kUs};
  const auto feed = [&](ArpPacket packet, MacAddress link_source) {
    return neighbors.on_arp(tap, packet, link_source, LinkDestination::kBroadcast, kStart);
  };
  EXPECT_EQ(feed(good, kOtherMac), DropReason::kArpInvalid);  // tapip's "ARP cheating"
  ArpPacket bad = good;
  bad.operation = static_cast<ArpOperation>(3);
  EXPECT_EQ(feed(bad, kPeerMac), DropReason::kArpInvalid);
  bad = good;
  bad.sender_mac = wire::kBroadcastMac;
  EXPECT_EQ(feed(bad, wire::kBroadcastMac), DropReason::kArpInvalid);
  for (const char* target : {"224.0.0.1", "127.0.0.1"}) {
    bad = good;
    bad.target_ip = address(target);
    EXPECT_EQ(feed(bad, kPeerMac), DropReason::kArpMartian);
  }
  for (const char* sender : {"127.0.0.1", "224.0.0.1", "10.0.0.255", "255.255.255.255", "10.0.0.1"}) {
    bad = good;
    bad.sender_ip = address(sender);
    EXPECT_EQ(feed(bad, kPeerMac), DropReason::kArpMartian) << sender;
  }
  EXPECT_EQ(neighbors.on_arp(tap, good, kPeerMac, LinkDestination::kOtherHost, kStart),
            DropReason::kOtherHost);
  EXPECT_EQ(neighbors.on_arp(lo, good, kPeerMac, LinkDestination::kHost, kStart), DropReason::kDevReady);
  EXPECT_EQ(neighbors.size(), 0u);
}

TEST_F(NeighborsTest, DuplicateAddressProbeIsAnsweredNotLearnt) {
  EXPECT_EQ(request(IpAddress::any_v4(), kPeerMac, kUs, kStart), std::nullopt);
  EXPECT_EQ(neighbors.poll_arp()->packet.sender_ip, kUs);
  EXPECT_EQ(neighbors.size(), 0u);
  EXPECT_EQ(request(IpAddress::any_v4(), kPeerMac, kPeer, kStart), DropReason::kArpNotOurs);
}

TEST_F(NeighborsTest, AReachableNeighbourIsNotStolen) {
  make_reachable(kStart);
  // A forged request, then forged replies: the one we know is asked, and keeps its place.
  request(kPeer, kOtherMac, kUs, kStart + 5s);
  EXPECT_EQ(state(), NeighborState::kProbe);
  reply(kPeer, kOtherMac, kStart + 5s);
  request(kPeer, kOtherMac, kUs, kStart + 6s);
  EXPECT_EQ(resolve(kPeer, kStart + 6s).mac, kPeerMac);
  reply(kPeer, kPeerMac, kStart + 6s);
  EXPECT_EQ(state(), NeighborState::kReachable);
  EXPECT_EQ(neighbors.find(tap, kPeer)->mac, kPeerMac);
}

TEST_F(NeighborsTest, ANeighbourThatReallyMovedIsFoundAgain) {
  make_reachable(kStart);
  request(kPeer, kOtherMac, kUs, kStart + 5s);
  drain_arp();
  run_to(kStart + 8s);
  EXPECT_EQ(state(), NeighborState::kFailed);
  resolve(kPeer, kStart + 8s);
  reply(kPeer, kOtherMac, kStart + 8s);
  EXPECT_EQ(resolve(kPeer, kStart + 8s).mac, kOtherMac);
}

TEST_F(NeighborsTest, AStaleNeighbourMayMove) {
  make_reachable(kStart);
  run_to(kStart + 60s);
  ASSERT_EQ(state(), NeighborState::kStale);
  request(kPeer, kOtherMac, kUs, kStart + 61s);
  EXPECT_EQ(resolve(kPeer, kStart + 61s).mac, kOtherMac);
}

TEST_F(NeighborsTest, LocktimeGuardsAgainstFlapping) {
  request(kPeer, kPeerMac, kUs, kStart);
  reply(kPeer, kOtherMac, kStart + 500ms);  // a second answer, too soon
  EXPECT_EQ(neighbors.find(tap, kPeer)->mac, kPeerMac);
  reply(kPeer, kOtherMac, kStart + 1001ms);
  EXPECT_EQ(neighbors.find(tap, kPeer)->mac, kOtherMac);
}

TEST_F(NeighborsTest, TapipBug25_ThePendingQueueIsBounded) {
  for (int i = 0; i < 5000; ++i) resolve(kPeer, kStart);
  EXPECT_LE(neighbors.parked_bytes(), knobs.neighbor.unres_qlen_bytes);
  EXPECT_GT(neighbors.find(tap, kPeer)->parked, 100u);
  EXPECT_GT(dropped(DropReason::kNeighQueueFull), 0u);
}

TEST_F(NeighborsTest, TapipBug25_TheTableEvictsAndIsBounded) {
  // A million forged senders.
  make_reachable(kStart);
  for (std::uint32_t i = 0; i < 1'000'000; ++i) {
    request(IpAddress::v4(0x0b000000 + i), kOtherMac, kUs, kStart + 1s);
    drain_arp();
  }
  EXPECT_EQ(neighbors.size(), knobs.neighbor.gc_thresh3);
  EXPECT_EQ(resolve(kPeer, kStart + 2s).mac, kPeerMac);
  // Our own needs displace what was forged.
  for (std::uint32_t i = 0; i < 100; ++i)
    EXPECT_EQ(resolve(IpAddress::v4(0x0a000064 + i), kStart + 2s).status, ResolveStatus::kParked);
}

TEST_F(NeighborsTest, AScanOfOursFillsTheTableUntilItFails) {
  for (std::uint32_t i = 0; i < 1024; ++i)
    EXPECT_EQ(resolve(IpAddress::v4(0x0b000000 + i), kStart).status, ResolveStatus::kParked);
  EXPECT_EQ(resolve(kPeer, kStart).status, ResolveStatus::kFull);
  EXPECT_EQ(dropped(DropReason::kNeighTableFull), 1u);
  run_to(kStart + 3s);
  EXPECT_EQ(resolve(kPeer, kStart + 3s).status, ResolveStatus::kParked);
  std::size_t failures = 0;
  while (neighbors.poll_failure()) ++failures;
  EXPECT_EQ(failures, 1024u);
}

TEST_F(NeighborsTest, UnusedEntriesAreCollected) {
  for (std::uint32_t i = 0; i < 200; ++i) request(IpAddress::v4(0x0b000000 + i), kPeerMac, kUs, kStart);
  EXPECT_EQ(neighbors.size(), 200u);
  run_to(kStart + 59s);
  EXPECT_EQ(neighbors.size(), 200u);
  run_to(kStart + 80s);
  EXPECT_EQ(neighbors.size(), 0u);
  EXPECT_EQ(neighbors.next_timeout(), kNever);
}

TEST_F(NeighborsTest, GroupAddressesAreComputed) {
  EXPECT_EQ(resolve(address("224.1.2.3"), kStart).mac, (MacAddress{1, 0, 0x5e, 1, 2, 3}));
  EXPECT_EQ(resolve(address("239.129.2.3"), kStart).mac, (MacAddress{1, 0, 0x5e, 1, 2, 3}));
  EXPECT_EQ(resolve(address("10.0.0.255"), kStart).mac, wire::kBroadcastMac);
  EXPECT_EQ(resolve(address("255.255.255.255"), kStart).mac, wire::kBroadcastMac);
  EXPECT_EQ(neighbors.size(), 0u);
}

TEST_F(NeighborsTest, PermanentEntriesStay) {
  resolve(kPeer, kStart);
  ASSERT_TRUE(neighbors.set_permanent(tap, kPeer, kPeerMac, kStart));
  EXPECT_TRUE(neighbors.poll_released().has_value());
  request(kPeer, kOtherMac, kUs, kStart + 10s);
  EXPECT_EQ(resolve(kPeer, kStart + 10s).mac, kPeerMac);
  neighbors.flush();
  EXPECT_EQ(neighbors.size(), 1u);
  EXPECT_EQ(neighbors.list().at(0).state, NeighborState::kPermanent);
  EXPECT_TRUE(neighbors.remove(tap, kPeer));
  EXPECT_FALSE(neighbors.remove(tap, kPeer));
}

TEST_F(NeighborsTest, RemovingTheInterfaceTakesEverything) {
  resolve(kPeer, kStart);
  ASSERT_TRUE(neighbors.set_permanent(tap, kGateway, kPeerMac, kStart));
  neighbors.remove_interface(tap);
  EXPECT_EQ(neighbors.size(), 0u);
  EXPECT_EQ(neighbors.parked_bytes(), 0u);
  EXPECT_EQ(pool.in_use(), 0u);
  EXPECT_EQ(neighbors.next_timeout(), kNever);
}

TEST_F(NeighborsTest, NoMemoryToPark) {
  const OutgoingFrame packet = packet_to(kPeer);
  pool.fail_after(1);
  EXPECT_EQ(neighbors.resolve(tap, kPeer, kUs, packet, kStart).status, ResolveStatus::kFull);
  EXPECT_EQ(drain_arp(), 1u);  // asked all the same
}

TEST_F(NeighborsTest, RequestsNameAnAddressOfOurs) {
  neighbors.resolve(tap, kPeer, address("127.0.0.1"), packet_to(kPeer), kStart);
  EXPECT_EQ(neighbors.poll_arp()->packet.sender_ip, kUs);
  neighbors.resolve(tap, kGateway, kFar, packet_to(kGateway), kStart);
  EXPECT_EQ(neighbors.poll_arp()->packet.sender_ip, kUs);
}

}  // namespace
}  // namespace tapir::ip
