// SPDX-License-Identifier: Apache-2.0
#include "sim/drill/machine.h"

#include <algorithm>
#include <utility>

#include "link/segmenter.h"
#include "stack/parts.h"
#include "wire/checksum.h"

namespace tapir::sim::drill {

namespace {

// Linux's defaults (GSO_LEGACY_MAX_SIZE, GSO_MAX_SEGS).
constexpr std::uint32_t kGsoMaxSize = 65536;
constexpr std::uint16_t kGsoMaxSegments = 65535;

}  // namespace

// The device: keeps what the stack sends, each packet with its time, super-segments whole.
class Machine::Wire final : public link::Device {
 public:
  Wire(Machine& machine, std::uint32_t mtu) : machine_(machine), mtu_(mtu) {}

  std::uint32_t mtu() const override { return mtu_; }
  link::MacAddress mac() const override { return {}; }
  link::LinkType link_type() const override { return link::LinkType::kRawIp; }
  link::Offloads offloads() const override {
    link::Offloads offloads;
    offloads.tx_checksum = true;
    offloads.tso = true;
    offloads.gso_max_size = kGsoMaxSize;
    offloads.gso_max_segs = kGsoMaxSegments;
    return offloads;
  }
  std::size_t room() const override {
    return machine_.full_ ? 0 : kSentMax - std::min(kSentMax, machine_.sent_.size());
  }
  std::size_t transmit(std::span<const OutgoingFrame> batch, Instant now) override {
    for (const OutgoingFrame& frame : batch) {
      const auto segmenter = machine_.segmentation_offload_ ? std::nullopt : link::Segmenter::of(frame);
      if (!segmenter) {
        keep(frame, now);
        continue;
      }
      // As Linux's own GSO: TCP builds super-segments all the same.
      for (std::size_t i = 0; i < segmenter->segments(); ++i) {
        OutgoingFrame segment;
        segmenter->emit(i, link::ChecksumWork::kSoftware, segment);
        keep(segment, now);
      }
    }
    return batch.size();
  }
  std::size_t receive(std::span<Frame>, FramePool&, Instant) override { return 0; }

 private:
  void keep(const OutgoingFrame& frame, Instant now) {
    SentPacket packet;
    packet.at = now;
    packet.order = machine_.next_order();
    packet.bytes.resize(frame.size());
    frame.copy_to(packet.bytes);
    if (frame.gso.type != GsoType::kNone) packet.segment_size = frame.gso.size;
    complete_checksum(packet.bytes, frame.checksum);
    machine_.sent_.push_back(std::move(packet));
  }
  static void complete_checksum(MutableBytes bytes, const ChecksumRequest& request) {
    if (!request.wanted || request.start + request.offset + 2U > bytes.size()) return;
    // The pseudo-header's sum is in the field: summing over it completes the checksum.
    store_be(bytes, std::size_t{request.start} + request.offset,
             wire::internet_checksum(bytes.subspan(request.start)));
  }

  Machine& machine_;
  std::uint32_t mtu_;
};

Machine::Machine(const Settings& settings) : settings_(settings) {
  stack::StackConfig config;
  config.seed = 1;  // scripts see no random number: any seed will do, always the same
  config.wall_clock_offset_ns = kWallClockOffset;
  stack_ = std::make_unique<stack::Stack>(config, now_);
  sockets_ = std::make_unique<socket::Sockets>(*stack_);
}

Machine::~Machine() = default;

void Machine::start() {
  if (started_) return;
  stack::InterfaceConfig config;
  config.name = "tun0";
  config.addresses = {IpPrefix{settings_.local, settings_.prefix_length}};
  interface_ = stack_->add_interface(std::move(config), std::make_unique<Wire>(*this, settings_.mtu), now_);
  // A script may give our side the gateway's address: then everybody is on the link.
  const IpAddress gateway = settings_.gateway == settings_.local ? IpAddress::any_v4() : settings_.gateway;
  stack_->add_route(IpPrefix{IpAddress::any_v4(), 0}, gateway, interface_, 0, now_);
  started_ = true;
  settle();
}

void Machine::add_local_address(const IpAddress& address) {
  stack::Stack::Parts& parts = stack_->parts();
  if (!parts.interfaces.is_local_address(address))
    parts.interfaces.add_address(interface_, {address, settings_.prefix_length});
}

void Machine::inject(const std::vector<std::uint8_t>& packet) {
  Frame frame = stack_->frames().copy(Bytes(packet));
  if (!frame) {
    broken_ = "no frame for an injected packet";
    return;
  }
  frame.meta().received_at = now_;
  frame.meta().interface = interface_;
  frame.meta().checksum = ChecksumState::kNone;
  stack_->input(interface_, std::move(frame), now_);
  settle();
}

void Machine::settle() {
  stack_->poll_output(now_);
  sockets_->take_woken(now_);
  step_call();
}

void Machine::step_call() {
  while (in_flight_) {
    const auto answer = in_flight_->step(now_);
    stack_->poll_output(now_);
    const bool woken = !sockets_->take_woken(now_).empty();
    if (answer) {
      in_flight_.reset();
      const auto answered = std::exchange(answered_, {});
      answered(*answer);
      return;
    }
    if (!woken) return;
  }
}

void Machine::wait_for(CallInFlight call, std::function<void(socket::Result<long>)> answered) {
  in_flight_ = std::move(call);
  answered_ = std::move(answered);
  step_call();
}

void Machine::forget_call() {
  in_flight_.reset();
  answered_ = {};
}

Instant Machine::next_timeout() const {
  const Instant stack = stack_->next_timeout();
  return in_flight_ ? std::min(stack, in_flight_->deadline()) : stack;
}

void Machine::advance_to(Instant until, const std::function<bool()>& stop) {
  unsigned standstill = 0;
  while (broken_.empty() && !(stop && stop())) {
    const Instant next = next_timeout();
    if (next > until) break;
    if (next > now_) {
      now_ = next;
      standstill = 0;
    } else if (++standstill > kStandstillMax) {
      broken_ = "the stack's next_timeout() is due and stays so after on_timeout()";
      return;
    }
    if (stack_->next_timeout() <= now_) stack_->on_timeout(now_);
    settle();
  }
  if (!(stop && stop())) now_ = std::max(now_, until);
}

}  // namespace tapir::sim::drill
