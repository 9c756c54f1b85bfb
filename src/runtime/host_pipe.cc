// SPDX-License-Identifier: Apache-2.0
#include "runtime/host_pipe.h"

#include <sys/eventfd.h>

#include <array>
#include <deque>
#include <mutex>
#include <vector>

#include "drivers/descriptor.h"

namespace tapir::runtime {
namespace {

struct Passing {
  std::vector<std::uint8_t> bytes;
  ChecksumState checksum = ChecksumState::kNone;
  Gso gso;
};

// One direction.
struct Lane {
  std::mutex mutex;
  std::deque<Passing> waiting;
  std::size_t bytes = 0;
  bool receiver_gone = false;
  drivers::KernelDescriptor readable{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};  // set while something waits
};

struct Cable {
  std::array<Lane, 2> lanes;  // lanes[i] leads to end i
};

class End final : public link::Device {
 public:
  End(std::shared_ptr<Cable> cable, std::size_t index, const HostPipeConfig& config)
      : cable_(std::move(cable)), index_(index), config_(config) {}
  ~End() override {
    Lane& lane = in();
    const std::lock_guard lock(lane.mutex);
    lane.receiver_gone = true;
    lane.waiting.clear();
    lane.bytes = 0;
  }

  std::uint32_t mtu() const override { return config_.mtu; }
  link::MacAddress mac() const override { return {2, 0, 0, 0, 0, static_cast<std::uint8_t>(index_ + 1)}; }
  link::Offloads offloads() const override {
    if (!config_.super_segments) return {};
    return {.tx_checksum = true,
            .rx_checksum = true,
            .tso = true,
            .uso = true,
            .gso_max_size = 65535,
            .gso_max_segs = 65535};
  }

  std::size_t room() const override {
    Lane& lane = out();
    const std::lock_guard lock(lane.mutex);
    if (lane.bytes >= kHostPipeBytesMax) return 0;
    return kHostPipeFramesMax - std::min(lane.waiting.size(), kHostPipeFramesMax);
  }

  std::size_t transmit(std::span<const OutgoingFrame> batch, Instant) override {
    Lane& lane = out();
    const std::lock_guard lock(lane.mutex);
    if (lane.receiver_gone) return batch.size();
    std::size_t accepted = 0;
    const bool was_empty = lane.waiting.empty();
    for (const OutgoingFrame& frame : batch) {
      if (lane.waiting.size() >= kHostPipeFramesMax || lane.bytes >= kHostPipeBytesMax) break;
      Passing& passing = lane.waiting.emplace_back();
      passing.bytes.resize(frame.size());
      frame.copy_to(passing.bytes);
      passing.checksum = frame.checksum.wanted ? ChecksumState::kPartial : ChecksumState::kNone;
      passing.gso = frame.gso;
      lane.bytes += frame.size();
      ++accepted;
    }
    if (was_empty && accepted != 0) ::eventfd_write(lane.readable.get(), 1);
    return accepted;
  }

  std::size_t receive(std::span<Frame> batch, FramePool& pool, Instant now) override {
    Lane& lane = in();
    const std::lock_guard lock(lane.mutex);
    if (lane.waiting.empty()) return 0;
    std::size_t count = 0;
    std::size_t bytes = 0;
    while (count < batch.size() && bytes < link::kTurnBytesMax && !lane.waiting.empty()) {
      Passing& passing = lane.waiting.front();
      Frame frame = pool.copy(passing.bytes);
      if (!frame) break;
      frame.meta().received_at = now;
      frame.meta().checksum = passing.checksum;
      frame.meta().gso = passing.gso;
      bytes += passing.bytes.size();
      lane.bytes -= passing.bytes.size();
      lane.waiting.pop_front();
      batch[count++] = std::move(frame);
    }
    if (lane.waiting.empty()) {
      eventfd_t value = 0;
      ::eventfd_read(lane.readable.get(), &value);
    }
    return count;
  }

  int wait_descriptor() const override { return cable_->lanes[index_].readable.get(); }

 private:
  Lane& in() const { return cable_->lanes[index_]; }
  Lane& out() const { return cable_->lanes[1 - index_]; }

  std::shared_ptr<Cable> cable_;
  std::size_t index_;
  HostPipeConfig config_;
};

}  // namespace

std::pair<std::unique_ptr<link::Device>, std::unique_ptr<link::Device>> make_host_pipe(
    const HostPipeConfig& config) {
  auto cable = std::make_shared<Cable>();
  return {std::make_unique<End>(cable, 0, config), std::make_unique<End>(cable, 1, config)};
}

}  // namespace tapir::runtime
