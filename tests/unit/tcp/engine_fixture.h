// SPDX-License-Identifier: Apache-2.0
// One engine alone with a scripted peer: segments go in as structs, everything it sends comes out as structs.
// Virtual time.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <vector>

#include "tcp/engine.h"
#include "wire/checksum.h"

namespace tapir::tcp {

inline const IpAddress kOurs = IpAddress::v4(10, 0, 0, 1);
inline const IpAddress kPeer = IpAddress::v4(10, 0, 0, 2);

struct FixedPaths final : PathFinder {
  std::expected<Path, CloseCause> find_path(const IpAddress& source, const IpAddress& destination,
                                            InterfaceId) override {
    ++asked;
    if (broken) return std::unexpected(CloseCause::kNetUnreachable);
    Path path;
    path.source = source;
    path.destination = path.next_hop = destination;
    path.interface = destination == kPeer ? 1 : 2;
    path.advmss = 1460;
    path.generation = generation;
    path.initcwnd = initcwnd;
    path.offloads = offloads;
    return path;
  }
  bool has_room(InterfaceId interface) override { return interface != full; }
  bool broken = false;
  InterfaceId full = kNoInterface;
  std::uint32_t generation = 1;
  std::uint16_t initcwnd = 10;
  PathOffloads offloads;
  int asked = 0;
};

// A segment that went out, its payload kept apart.
struct Sent {
  wire::TcpSegment segment;
  std::vector<std::uint8_t> payload;
  IpAddress destination;
  bool reply = false;
};

class EngineTest : public testing::Test {
 protected:
  EngineTest() { engine.emplace(knobs, counters, tracer, rng, frames, budget, paths); }
  ~EngineTest() override { engine.reset(); }

  FourTuple tuple(std::uint16_t local_port = 80, std::uint16_t remote_port = 4000) const {
    return {{kOurs, local_port}, {kPeer, remote_port}};
  }

  // From the peer's `src_port` to ours.
  static wire::TcpSegment make(std::uint16_t flags, std::uint32_t seq, std::uint32_t ack,
                               std::uint16_t src_port = 4000, std::uint16_t dst_port = 80) {
    wire::TcpSegment s;
    s.src_port = src_port;
    s.dst_port = dst_port;
    s.seq = SeqNum(seq);
    s.ack = SeqNum(ack);
    s.flags = flags;
    s.window = 65535;
    return s;
  }
  void inject(const wire::TcpSegment& segment, std::size_t payload = 0, IpAddress from = kPeer,
              bool corrupt = false) {
    std::array<std::uint8_t, 60> header{};
    const std::size_t length = wire::emit_tcp(segment, header);
    Frame frame = frames.allocate(length + payload);
    ASSERT_TRUE(frame);
    const MutableBytes bytes = frame.mutable_bytes();
    std::copy_n(header.begin(), length, bytes.begin());
    for (std::size_t i = 0; i < payload; ++i) bytes[length + i] = static_cast<std::uint8_t>('a' + i % 26);
    const std::uint16_t sum = wire::transport_checksum(from, kOurs, IpProtocol::kTcp, bytes);
    store_be<std::uint16_t>(bytes, wire::kTcpChecksumOffset,
                            static_cast<std::uint16_t>(corrupt ? sum ^ 0x0101 : sum));
    Arrival arrival;
    arrival.source = from;
    arrival.destination = kOurs;
    arrival.interface = 1;
    frame.meta().received_at = now;
    engine->on_datagram(std::move(frame), arrival, now);
  }
  // All that it wants to send now.
  std::vector<Sent> output() {
    std::vector<Sent> all;
    while (const auto reply = engine->poll_reply())
      all.push_back({reply->segment, {}, reply->destination, true});
    OutgoingFrame out;
    Engine::Output how;
    while (engine->poll_segment(out, how, false, now)) {
      bytes_.emplace_back(out.size());
      out.copy_to(bytes_.back());
      auto parsed = wire::parse_tcp(bytes_.back());
      EXPECT_TRUE(parsed);
      all.push_back({*parsed, {parsed->payload.begin(), parsed->payload.end()}, how.path.destination, false});
    }
    return all;
  }
  // Exactly one segment leaves.
  Sent only() {
    auto all = output();
    EXPECT_EQ(all.size(), 1U);
    return all.empty() ? Sent{} : all.front();
  }
  void advance(Duration d) {
    now += d;
    engine->on_timeout(now);
  }
  std::uint64_t count(trace::Counter c) const { return counters.get(c); }

  ListenerId listen(int backlog = 8, SocketOptions options = {}) {
    const auto id = engine->listen({kOurs, 80}, kNoInterface, backlog, false, options, now);
    EXPECT_TRUE(id);
    return *id;
  }
  static wire::TcpSegment syn(std::uint32_t seq = 1000, std::uint16_t port = 4000) {
    wire::TcpSegment s = make(wire::kSyn, seq, 0, port);
    s.options.mss = 1460;
    s.options.sack_permitted = true;
    s.options.window_scale = 7;
    return s;
  }
  // A whole handshake from the peer's `port`; our ISN.
  SeqNum shake_hands(std::uint16_t port = 4000, std::uint32_t seq = 1000) {
    inject(syn(seq, port));
    const Sent syn_ack = only();
    EXPECT_EQ(syn_ack.segment.flags & 0x12, wire::kSyn | wire::kAck);
    inject(make(wire::kAck, seq + 1, syn_ack.segment.seq.value() + 1, port));
    return syn_ack.segment.seq;
  }

  Knobs knobs;
  trace::Counters counters;
  trace::Tracer tracer;
  Rng rng{42};
  MemoryBudget budget{std::size_t{64} << 20};
  FramePool frames{budget};
  FixedPaths paths;
  std::optional<Engine> engine;
  Instant now{std::chrono::seconds(1000)};

 private:
  std::deque<std::vector<std::uint8_t>> bytes_;
};

}  // namespace tapir::tcp
