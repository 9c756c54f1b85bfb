// SPDX-License-Identifier: Apache-2.0
#include "link/pipe.h"

#include <algorithm>

#include "link/transit_queue.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/vlan.h"

namespace tapir::link {

namespace {

std::size_t link_header_max(LinkType type) {
  return type == LinkType::kEthernet ? wire::kEthernetHeaderLength + wire::kVlanTagLength : 0;
}

// The largest frame that one end may send.
std::size_t frame_max(const PipeConfig& config) {
  std::size_t packet = config.mtu;
  if (config.offloads.tso || config.offloads.uso)
    packet = std::max<std::size_t>(packet, config.offloads.gso_max_size);
  return packet + link_header_max(config.link_type);
}

struct Shared {
  explicit Shared(const PipeConfig& c)
      : config(c),
        queues{{{c.frames_max, c.bytes_max, frame_max(c)}, {c.frames_max, c.bytes_max, frame_max(c)}}} {}
  PipeConfig config;
  std::array<TransitQueue, 2> queues;           // [i]: on the way to end i
  std::array<bool, 2> attached = {true, true};  // end i still exists
};

class End final : public PipeEnd {
 public:
  End(std::shared_ptr<Shared> shared, std::size_t index) : shared_(std::move(shared)), index_(index) {}
  ~End() override { shared_->attached[index_] = false; }

  std::uint32_t mtu() const override { return shared_->config.mtu; }
  MacAddress mac() const override {
    return shared_->config.link_type == LinkType::kEthernet ? shared_->config.macs[index_] : MacAddress{};
  }
  LinkType link_type() const override { return shared_->config.link_type; }
  Offloads offloads() const override { return shared_->config.offloads; }

  std::size_t room() const override {
    return peer_attached() ? to_peer().room() : shared_->config.frames_max;
  }

  std::size_t transmit(std::span<const OutgoingFrame> batch, Instant now) override {
    std::size_t accepted = 0;
    for (const OutgoingFrame& frame : batch) {
      if (!granted(frame)) {
        // A wire does not answer: the frame is gone.
        ++dropped_;
      } else if (peer_attached() && !to_peer().push(frame, now)) {
        dropped_ += batch.size() - accepted;
        break;
      }
      ++accepted;
    }
    return accepted;
  }

  std::size_t receive(std::span<Frame> batch, FramePool& pool, Instant now) override {
    return shared_->queues[index_].drain(batch, pool, now);
  }
  Instant next_timeout() const override { return shared_->queues[index_].due_since(); }
  std::uint64_t dropped() const override { return dropped_; }

 private:
  bool peer_attached() const { return shared_->attached[1 - index_]; }
  TransitQueue& to_peer() const { return shared_->queues[1 - index_]; }

  bool granted(const OutgoingFrame& frame) const {
    const PipeConfig& config = shared_->config;
    if (frame.checksum.wanted && !config.offloads.tx_checksum) return false;
    const std::size_t packet_max = frame.size() - std::min(frame.size(), link_header_max(config.link_type));
    switch (frame.gso.type) {
      case GsoType::kNone:
        return packet_max <= config.mtu;
      case GsoType::kUdp:
        return config.offloads.uso && packet_max <= config.offloads.gso_max_size;
      default:
        return config.offloads.tso && packet_max <= config.offloads.gso_max_size;
    }
  }

  std::shared_ptr<Shared> shared_;
  std::size_t index_;
  std::uint64_t dropped_ = 0;
};

}  // namespace

Offloads all_offloads() {
  return {.tx_checksum = true,
          .rx_checksum = true,
          .tso = true,
          .uso = true,
          .gso_max_size = static_cast<std::uint32_t>(wire::kIpv4PacketMax),
          .gso_max_segs = 65535};
}

std::pair<std::unique_ptr<PipeEnd>, std::unique_ptr<PipeEnd>> make_pipe(const PipeConfig& config) {
  const auto shared = std::make_shared<Shared>(config);
  return {std::make_unique<End>(shared, 0), std::make_unique<End>(shared, 1)};
}

}  // namespace tapir::link
