// SPDX-License-Identifier: Apache-2.0
// Batching belongs to the device, never to TCP's visible behaviour: a batch of n frames yields the segments
// of n batches of one, save fewer ACKs of in-order data. What a host hears in a lossy transfer is recorded,
// then told to two hosts like it: to one in the batches in which it came, to the other frame by frame. The
// host is the receiver: a sender that hears of two ACKs at once may send one super-segment for both, after
// which a recording no longer answers what it sent.
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "programs.h"
#include "stack/parts.h"
#include "stack/stack.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/segment_text.h"
#include "wire/tcp_segment.h"

namespace tapir::sim {
namespace {

constexpr IpAddress kPeer = IpAddress::v4(10, 0, 0, 1);
constexpr IpAddress kSubject = IpAddress::v4(10, 0, 0, 2);
constexpr std::uint16_t kPort = 5001;
constexpr Duration kDelay = 5ms;  // of the cable
constexpr Duration kTick = 1ms;   // what is sent within one arrives together
constexpr std::uint64_t kBytes = 1 << 20;

using Packet = std::vector<std::uint8_t>;

// Keeps what is sent. Splits and sums nothing: the stack puts link/offload above it.
class Outlet final : public link::Device {
 public:
  explicit Outlet(std::uint8_t last) : mac_{2, 0, 0, 0, 0, last} {}
  std::uint32_t mtu() const override { return 1500; }
  link::MacAddress mac() const override { return mac_; }
  std::size_t room() const override { return 1 << 16; }
  std::size_t transmit(std::span<const OutgoingFrame> batch, Instant) override {
    for (const OutgoingFrame& frame : batch) {
      Packet& packet = sent.emplace_back(frame.size());
      frame.copy_to(packet);
    }
    return batch.size();
  }
  std::size_t receive(std::span<Frame>, FramePool&, Instant) override { return 0; }

  std::vector<Packet> sent;

 private:
  link::MacAddress mac_;
};

// Connects or accepts; sends `send` bytes, reads all there is, and closes when both directions are over.
class Talker {
 public:
  Talker(socket::Sockets& sockets, bool listens, std::uint64_t send)
      : sockets_(sockets), listens_(listens), left_(send) {}
  void run(Instant now) {
    if (fd_ < 0) open(now);
    if (fd_ < 0) return;
    static const std::vector<char> block(65536, 'x');
    while (left_ > 0) {
      const auto wrote =
          sockets_.send(fd_, block.data(), std::min<std::uint64_t>(left_, block.size()), MSG_NOSIGNAL, now);
      if (!wrote) break;
      left_ -= *wrote;
    }
    // In SYN-SENT it would end the connection.
    const bool connected = (sockets_.poll_events(fd_, POLLOUT, now) & POLLOUT) != 0;
    if (left_ == 0 && !shut_ && connected) shut_ = sockets_.shutdown(fd_, SHUT_WR, now).has_value();
    std::array<char, 65536> buffer;
    for (;;) {
      const auto got = sockets_.recv(fd_, buffer.data(), buffer.size(), 0, now);
      if (!got) return;
      if (*got == 0) break;
      heard_ += *got;
    }
    ended_ = true;
  }
  bool ended() const { return ended_ && shut_; }
  std::uint64_t heard() const { return heard_; }

 private:
  void open(Instant now) {
    const sockaddr_in address = address_of(kSubject, kPort);
    const auto* raw = reinterpret_cast<const sockaddr*>(&address);
    if (!listens_) {
      fd_ = *sockets_.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, now);
      (void)sockets_.connect(fd_, raw, sizeof address, now);
      return;
    }
    if (listener_ < 0) {
      listener_ = *sockets_.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, now);
      ASSERT_TRUE(sockets_.bind(listener_, raw, sizeof address, now));
      ASSERT_TRUE(sockets_.listen(listener_, 1, now));
    }
    if (const auto accepted = sockets_.accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK, now))
      fd_ = *accepted;
  }

  socket::Sockets& sockets_;
  bool listens_;
  bool shut_ = false;
  bool ended_ = false;
  std::uint64_t left_;
  std::uint64_t heard_ = 0;
  socket::Descriptor fd_ = -1;
  socket::Descriptor listener_ = -1;
};

struct Batch {
  Instant at;
  std::vector<Packet> packets;
};
struct Sent {
  Instant at;
  Packet packet;
};

// A host that is told what arrives and when, and answers with what it sends.
class Subject {
 public:
  Subject(const IpAddress& address, bool listens, std::uint64_t send, std::uint64_t seed, Instant now)
      : stack_({.seed = seed}, now), sockets_(stack_), talker_(sockets_, listens, send) {
    auto outlet = std::make_unique<Outlet>(address == kSubject ? std::uint8_t{2} : std::uint8_t{1});
    outlet_ = outlet.get();
    interface_ =
        stack_.add_interface({.name = "cable", .addresses = {{address, 24}}}, std::move(outlet), now);
    stack_.parts().tcp_knobs.tcp_comp_sack_nr =
        0;  // what compression holds back depends on what else there is to send
    talker_.run(now);
    stack_.poll_output(now);
    collect(now);
  }
  Instant next_timeout() const { return stack_.next_timeout(); }
  // Its timers, up to `now`.
  void pass_time(Instant now) {
    while (stack_.next_timeout() <= now) {
      const Instant at = std::max(stack_.next_timeout(), clock_);
      stack_.on_timeout(at);
      end_turn(at);
    }
    clock_ = now;
  }
  void hear(const Batch& batch, bool one_by_one) {
    pass_time(batch.at);
    for (const Packet& packet : batch.packets) {
      Frame frame = stack_.frames().copy(packet);
      frame.meta().received_at = batch.at;
      stack_.input(interface_, std::move(frame), batch.at);
      if (one_by_one) stack_.poll_output(batch.at);
    }
    end_turn(batch.at);
  }
  std::vector<Sent>& sent() { return sent_; }
  const Talker& talker() const { return talker_; }

 private:
  // The program runs once a turn in either case: what it reads and writes is not what is compared.
  void end_turn(Instant now) {
    stack_.poll_output(now);
    talker_.run(now);
    stack_.poll_output(now);
    collect(now);
  }
  void collect(Instant now) {
    for (Packet& packet : outlet_->sent) sent_.push_back({now, std::move(packet)});
    outlet_->sent.clear();
  }

  stack::Stack stack_;
  socket::Sockets sockets_;
  Talker talker_;
  Outlet* outlet_ = nullptr;
  InterfaceId interface_ = kNoInterface;
  Instant clock_{};
  std::vector<Sent> sent_;
};

class Batching : public testing::TestWithParam<std::uint64_t> {
 protected:
  static constexpr Instant kStart = Instant(1000s);

  // What reaches the subject in a transfer over a cable that loses, repeats and reorders.
  std::vector<Batch> record() {
    Rng rng(GetParam());
    Subject peer(kPeer, false, kBytes, GetParam() + 1, kStart);
    Subject subject(kSubject, true, 0, kSubjectSeed, kStart);
    std::vector<Batch> heard;
    std::size_t peer_taken = 0;
    std::size_t subject_taken = 0;
    std::vector<Batch> to_peer;
    std::vector<Batch> to_subject;
    std::size_t peer_heard = 0;
    const auto ship = [&](std::vector<Sent>& sent, std::size_t& taken, std::vector<Batch>& to) {
      for (; taken < sent.size(); ++taken) {
        if (rng.chance_ppm(30'000)) continue;
        const Instant at = kStart + ((sent[taken].at - kStart) / kTick + 1) * kTick + kDelay;
        if (to.empty() || to.back().at < at) to.push_back({at, {}});
        std::vector<Packet>& packets = to.back().packets;
        packets.push_back(sent[taken].packet);
        if (rng.chance_ppm(10'000)) packets.push_back(sent[taken].packet);
        if (packets.size() > 1 && rng.chance_ppm(50'000))
          std::swap(packets.back(), packets[rng.below(packets.size())]);
      }
    };
    for (Instant now = kStart;
         now < kStart + Duration(600s) && !(peer.talker().ended() && subject.talker().ended());
         now += kTick) {
      ship(peer.sent(), peer_taken, to_subject);
      ship(subject.sent(), subject_taken, to_peer);
      for (; peer_heard < to_peer.size() && to_peer[peer_heard].at <= now; ++peer_heard)
        peer.hear(to_peer[peer_heard], false);
      for (; heard.size() < to_subject.size() && to_subject[heard.size()].at <= now;
           heard.push_back(to_subject[heard.size()]))
        subject.hear(to_subject[heard.size()], false);
      peer.pass_time(now);
      subject.pass_time(now);
    }
    EXPECT_TRUE(peer.talker().ended() && subject.talker().ended());
    EXPECT_EQ(subject.talker().heard(), kBytes);
    return heard;
  }
  std::vector<Sent> tell(const std::vector<Batch>& batches, bool one_by_one) {
    Subject subject(kSubject, true, 0, kSubjectSeed, kStart);
    for (const Batch& batch : batches) subject.hear(batch, one_by_one);
    return std::move(subject.sent());
  }

  // The same stack, so the same sequence numbers, each time.
  static constexpr std::uint64_t kSubjectSeed = 42;
};

// What is looked at of a segment: all but the timestamp echoed, which by RFC 7323 §4.3 depends on which ACKs
// were sent, and the window, which an ACK that was left out might have opened further.
struct Segment {
  Instant at;
  std::uint16_t flags = 0;
  SeqNum seq, ack;
  std::uint16_t window = 0;
  std::size_t payload = 0;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> sack;
  bool same(const Segment& other) const {
    return at == other.at && flags == other.flags && seq == other.seq && ack == other.ack &&
           payload == other.payload && sack == other.sack;
  }
  bool pure_ack() const { return flags == wire::kAck && payload == 0 && sack.empty(); }
  std::string text() const {
    std::string out = std::to_string(to_msec(at.time_since_epoch())) + " flags " + std::to_string(flags) +
                      " seq " + std::to_string(seq.value()) + "+" + std::to_string(payload) + " ack " +
                      std::to_string(ack.value()) + " win " + std::to_string(window);
    for (const auto& [begin, end] : sack)
      out += " [" + std::to_string(begin) + "," + std::to_string(end) + ")";
    return out;
  }
};

std::vector<Segment> segments(const std::vector<Sent>& sent) {
  std::vector<Segment> out;
  for (const Sent& each : sent) {
    const auto ethernet = wire::parse_ethernet(each.packet);
    if (!ethernet || ethernet->ethertype != wire::kEtherTypeIpv4) continue;
    const Bytes packet = Bytes(each.packet).subspan(wire::kEthernetHeaderLength);
    const auto ip = wire::parse_ipv4(packet);
    const auto tcp = wire::parse_tcp(packet.subspan(ip->header_length, ip->payload_length()));
    Segment& segment = out.emplace_back(
        Segment{each.at, tcp->flags, tcp->seq, tcp->ack, tcp->window, tcp->payload.size(), {}});
    for (std::size_t i = 0; i < tcp->options.sack_count; ++i)
      segment.sack.emplace_back(tcp->options.sack[i].begin.value(), tcp->options.sack[i].end.value());
  }
  return out;
}

TEST_P(Batching, AReceiverSaysTheSameSaveFewerInOrderAcks) {
  const std::vector<Batch> heard = record();
  std::vector<Segment> singly = segments(tell(heard, true));
  std::vector<Segment> batched = segments(tell(heard, false));
  // ACKs of in-order data and window updates may be fewer, and fall elsewhere: two segments of one batch need
  // one ACK.
  const std::size_t acks_singly = std::erase_if(singly, [](const Segment& s) { return s.pure_ack(); });
  const std::size_t acks_batched = std::erase_if(batched, [](const Segment& s) { return s.pure_ack(); });
  EXPECT_LT(acks_batched, acks_singly);
  ASSERT_EQ(batched.size(), singly.size());
  EXPECT_GT(singly.size(), 50u);  // each with what it says of holes and duplicates at that moment
  for (std::size_t i = 0; i < singly.size(); ++i)
    ASSERT_TRUE(singly[i].same(batched[i]))
        << "singly:  " << singly[i].text() << "\nbatched: " << batched[i].text();
}

INSTANTIATE_TEST_SUITE_P(Seeds, Batching, testing::Range<std::uint64_t>(1, 9));

}  // namespace
}  // namespace tapir::sim
