// SPDX-License-Identifier: Apache-2.0
// The null stack: moves the frames that a TCP stack would move, through the same device and driver, and does
// no TCP. What a stack reaches on this machine can be told only as a share of this.
//
// It believes its peer: no checks, no timers but one, no congestion control, no copy of the payload, no
// socket. A SYN is answered with a SYN-ACK, data on port 7 with as much data, on port 9 with an ACK (one per
// read of the device), a connection to port 19 is sent all that the peer's window takes, a FIN is answered
// with a FIN.
//
//   bench_null_stack NAME ADDRESS/LENGTH PEER/LENGTH      makes the TAP interface NAME in this network
//   namespace
#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "drivers/netdev.h"
#include "drivers/tap.h"
#include "frame/frame_pool.h"
#include "frame/memory_budget.h"
#include "runtime/clock.h"
#include "runtime/steerer.h"
#include "wire/arp.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/tcp_segment.h"

namespace tapir::bench {
namespace {

constexpr std::size_t kBudget = 64 * 1024 * 1024;
constexpr std::uint16_t kEchoPort = 7;
constexpr std::uint16_t kChargenPort = 19;
constexpr std::uint16_t kMss = 1460;
constexpr std::uint8_t kWindowShift = 8;  // we offer 16 MiB, always
constexpr std::uint32_t kHeaders = wire::kIpv4HeaderMin + wire::kTcpHeaderMin;
// Sent and not acknowledged at most: what stays in a core's L2 cache.
constexpr std::uint32_t kFlightMax = 1024 * 1024;
// Nothing heard for so long while bytes are in flight: one was lost. Never in an undisturbed run.
constexpr int kResendTimeoutMs = 200;
constexpr int kDuplicatesOfALoss = 3;

class NullStack {
 public:
  NullStack(std::unique_ptr<drivers::TapDevice> device, IpAddress address,
            std::optional<runtime::Steerer> steerer)
      : device_(std::move(device)),
        steerer_(std::move(steerer)),
        address_(address),
        budget_(kBudget),
        pool_(budget_),
        super_segment_((device_->offloads().gso_max_size - kHeaders) / kMss * kMss),
        payload_(super_segment_, 'x') {}

  [[noreturn]] void run() {
    std::array<Frame, link::kTurnFramesMax> frames;
    for (;;) {
      const std::size_t count = device_->receive(frames, pool_, Instant{});
      for (std::size_t i = 0; i < count; ++i) {
        passed_ += frames[i].size();
        on_frame(frames[i].bytes());
        frames[i].reset();
      }
      flush_ack();
      send_stream();
      if (steerer_) steerer_->tick(runtime::monotonic_now(), ::sched_getcpu(), [this] { return passed_; });
      if (count == frames.size()) continue;
      pollfd descriptor{device_->wait_descriptor(), POLLIN, 0};
      if (count == 0 && ::poll(&descriptor, 1, stream_.open ? kResendTimeoutMs : -1) == 0)
        stream_.next = stream_.una;
    }
  }

 private:
  // What one reply is made from.
  struct Peer {
    wire::MacAddress mac{};
    IpAddress ip;
    std::uint16_t port = 0;
    std::uint16_t local_port = 0;
    bool operator==(const Peer&) const = default;
  };
  // The one connection of port 19.
  struct Stream {
    bool open = false;
    Peer peer;
    std::uint8_t shift = 0;  // of the peer's window
    SeqNum una, next, end;   // end: of the peer's window
    SeqNum ack;
    int duplicates = 0;
  };
  struct OwedAck {
    bool owed = false;
    Peer peer;
    SeqNum seq, ack;
  };

  void on_frame(Bytes bytes) {
    const auto ethernet = wire::parse_ethernet(bytes);
    if (!ethernet) return;
    const Bytes packet = bytes.subspan(wire::kEthernetHeaderLength);
    if (ethernet->ethertype == wire::kEtherTypeArp) return on_arp(packet);
    if (ethernet->ethertype != wire::kEtherTypeIpv4) return;
    const auto ip = wire::parse_ipv4(packet);
    if (!ip || ip->protocol != IpProtocol::kTcp || ip->total_length > packet.size()) return;
    const auto segment = wire::parse_tcp(packet.subspan(ip->header_length, ip->payload_length()));
    if (!segment) return;
    on_segment(Peer{ethernet->src, ip->src, segment->src_port, segment->dst_port}, *segment);
  }

  void on_arp(Bytes packet) {
    const auto request = wire::parse_arp(packet);
    if (!request || request->operation != wire::ArpOperation::kRequest || request->target_ip != address_)
      return;
    OutgoingFrame& out = outgoing_;
    out.clear();
    wire::emit_arp(
        {wire::ArpOperation::kReply, device_->mac(), address_, request->sender_mac, request->sender_ip},
        out.append_header(wire::kArpLength));
    wire::emit_ethernet({request->sender_mac, device_->mac(), wire::kEtherTypeArp},
                        out.push_header(wire::kEthernetHeaderLength));
    device_->transmit({&out, 1}, Instant{});
  }

  void on_segment(const Peer& peer, const wire::TcpSegment& segment) {
    const auto size = static_cast<std::uint32_t>(segment.payload.size());
    if (segment.has(wire::kRst)) {
      if (stream_.peer == peer) stream_.open = false;
    } else if (segment.has(wire::kSyn)) {
      send(peer, SeqNum{0}, segment.seq + 1, wire::kSyn | wire::kAck, 0);
      if (peer.local_port == kChargenPort) {
        stream_ = {true,
                   peer,
                   segment.options.window_scale.value_or(0),
                   SeqNum{1},
                   SeqNum{1},
                   SeqNum{1},
                   segment.seq + 1,
                   0};
      }
    } else if (segment.has(wire::kFin)) {
      if (stream_.peer == peer) stream_.open = false;
      send(peer, segment.ack, segment.end(), wire::kFin | wire::kAck, 0);
    } else if (peer.local_port == kChargenPort) {
      on_stream_ack(peer, segment);
    } else if (size != 0 && peer.local_port == kEchoPort) {
      send(peer, segment.ack, segment.end(), wire::kPsh | wire::kAck, std::min(size, super_segment_));
    } else if (size != 0) {
      if (ack_.owed && ack_.peer != peer) flush_ack();
      ack_ = {true, peer, segment.ack, segment.end()};
    }
  }

  void on_stream_ack(const Peer& peer, const wire::TcpSegment& segment) {
    if (!stream_.open || stream_.peer != peer) return;
    const SeqNum end = segment.ack + (static_cast<std::uint32_t>(segment.window) << stream_.shift);
    const bool duplicate = segment.ack == stream_.una && end == stream_.end && stream_.next != stream_.una;
    stream_.duplicates = duplicate ? stream_.duplicates + 1 : 0;
    stream_.una = segment.ack;
    stream_.end = end;
    if (stream_.duplicates == kDuplicatesOfALoss) stream_.next = stream_.una;
  }

  void send_stream() {
    while (stream_.open) {
      const SeqNum edge = std::min(stream_.end, stream_.una + kFlightMax);
      const std::uint32_t room = stream_.next < edge ? edge - stream_.next : 0;
      const std::uint32_t size = std::min(super_segment_, room / kMss * kMss);
      // A shorter one only when no ACK will make room for a whole one.
      if (size == 0 || (size < super_segment_ && stream_.next != stream_.una)) return;
      send(stream_.peer, stream_.next, stream_.ack, wire::kPsh | wire::kAck, size);
      stream_.next = stream_.next + size;
    }
  }

  void flush_ack() {
    if (!ack_.owed) return;
    ack_.owed = false;
    send(ack_.peer, ack_.seq, ack_.ack, wire::kAck, 0);
  }

  void send(const Peer& peer, SeqNum seq, SeqNum ack, std::uint16_t flags, std::uint32_t size) {
    OutgoingFrame& out = outgoing_;
    out.clear();
    wire::TcpSegment segment;
    segment.src_port = peer.local_port;
    segment.dst_port = peer.port;
    segment.seq = seq;
    segment.ack = ack;
    segment.flags = flags;
    segment.window = 65535;
    const bool syn = (flags & wire::kSyn) != 0;
    if (syn) {
      segment.options.mss = kMss;
      segment.options.window_scale = kWindowShift;
    }
    const std::size_t header = wire::tcp_header_length(segment.options, syn);
    wire::emit_tcp(segment, out.append_header(header));
    store_be(out.mutable_header(), wire::kTcpChecksumOffset,
             wire::pseudo_header_sum(address_, peer.ip, IpProtocol::kTcp, header + size));
    out.checksum = {true, 0, wire::kTcpChecksumOffset};
    if (size != 0) out.add_payload(Bytes(payload_).first(size));
    if (size > kMss) out.gso = {GsoType::kTcpV4, kMss, false};

    wire::Ipv4Header ip;
    const std::size_t length = wire::kIpv4HeaderMin + header + size;
    ip.total_length = static_cast<std::uint16_t>(length > wire::kIpv4PacketMax ? 0 : length);
    ip.dont_fragment = true;
    ip.src = address_;
    ip.dst = peer.ip;
    wire::emit_ipv4(ip, out.push_header(wire::kIpv4HeaderMin));
    wire::emit_ethernet({peer.mac, device_->mac(), wire::kEtherTypeIpv4},
                        out.push_header(wire::kEthernetHeaderLength));
    passed_ += out.size();
    device_->transmit({&out, 1}, Instant{});
  }

  std::unique_ptr<drivers::TapDevice> device_;
  std::optional<runtime::Steerer> steerer_;
  std::uint64_t passed_ = 0;  // bytes, both ways
  IpAddress address_;
  MemoryBudget budget_;
  FramePool pool_;
  std::uint32_t
      super_segment_;  // bytes of the longest: the largest multiple of the MSS that the device takes
  OutgoingFrame outgoing_;
  Stream stream_;
  OwedAck ack_;
  std::vector<std::uint8_t> payload_;
};

int run(const std::string& name, const IpPrefix& address, const IpPrefix& peer) {
  drivers::TapConfig config;
  config.name = name;
  auto device = drivers::open_tap(config);
  auto ready = device ? drivers::add_address(name, peer) : std::unexpected(device.error());
  if (ready) ready = drivers::set_link_up(name);
  if (!ready) {
    std::fprintf(stderr, "bench_null_stack: %s\n", ready.error().c_str());
    return 1;
  }
  // As `tapir up` does.
  std::optional<runtime::Steerer> steerer;
  if (auto steering = drivers::ReceiveSteering::open(name)) steerer.emplace(std::move(*steering));
  std::puts("ready");
  std::fflush(stdout);
  NullStack(std::move(*device), address.address, std::move(steerer)).run();
}

}  // namespace
}  // namespace tapir::bench

int main(int argc, char** argv) {
  using tapir::IpPrefix;
  const auto address = argc == 4 ? IpPrefix::parse(argv[2]) : std::nullopt;
  const auto peer = argc == 4 ? IpPrefix::parse(argv[3]) : std::nullopt;
  if (!address || !peer) {
    std::fputs("usage: bench_null_stack NAME ADDRESS/LENGTH PEER/LENGTH\n", stderr);
    return 2;
  }
  return tapir::bench::run(argv[1], *address, *peer);
}
