// SPDX-License-Identifier: Apache-2.0
#include "link/impair.h"

#include <algorithm>
#include <array>

#include "link/segmenter.h"
#include "wire/ethernet.h"

namespace tapir::link {

namespace {

constexpr std::size_t kOutgoingBatch = 16;

// Streams of the seed: each direction draws from its own, so that traffic one way does not change the other's
// luck.
constexpr std::uint64_t kOutStream = 1;
constexpr std::uint64_t kInStream = 2;

constexpr Duration kReorderByMin = 1ms;

std::size_t link_header_length(LinkType type) {
  return type == LinkType::kEthernet ? wire::kEthernetHeaderLength : 0;
}

}  // namespace

// --- one direction
// ----------------------------------------------------------------------------------------------------

ImpairLane::ImpairLane(const ImpairConfig& config, const Rng& rng, std::size_t link_header)
    : config_(config), rng_(rng), link_header_(link_header) {
  waiting_.reserve(config.limit + kImpairPassingMax);
}

void ImpairLane::configure(const ImpairConfig& config) {
  config_ = config;
  waiting_.reserve(config.limit + kImpairPassingMax);
}

bool ImpairLane::delays() const {
  return config_.delay.count() != 0 || config_.jitter.count() != 0 || config_.rate_bps != 0 ||
         config_.reorder_ppm != 0;
}

void ImpairLane::admit(Frame frame, FramePool& pool, Instant now) {
  ++stats_.seen;
  if (config_.blackhole_mtu != 0 && frame.size() > link_header_ + config_.blackhole_mtu) {
    ++stats_.over_mtu;
    return;
  }
  if (loses()) {
    ++stats_.lost;
    return;
  }
  // A rate is a link's, whose queue overflows before its serializer is charged.
  if (delays() && waiting_.size() >= config_.limit) {
    ++stats_.over_limit;
    return;
  }
  const bool twice = rng_.chance_ppm(config_.duplicate_ppm);
  Frame copy = twice ? pool.copy(frame) : Frame();
  damage(frame);
  const std::size_t size = frame.size();
  hold(std::move(frame), departure(size, now));
  if (copy) {
    ++stats_.duplicated;
    hold(std::move(copy), departure(size, now));
  }
}

bool ImpairLane::loses() {
  bool lost = rng_.chance_ppm(config_.loss_ppm);
  const ImpairBurst& burst = config_.burst;
  if (burst.enter_ppm != 0) {
    burst_ = burst_ ? !rng_.chance_ppm(burst.leave_ppm) : rng_.chance_ppm(burst.enter_ppm);
    lost |= rng_.chance_ppm(burst_ ? burst.bad_loss_ppm : burst.good_loss_ppm);
  }
  return lost;
}

void ImpairLane::damage(Frame& frame) {
  if (frame.size() <= link_header_) return;
  const std::size_t packet = frame.size() - link_header_;
  if (rng_.chance_ppm(config_.corrupt_ppm)) {
    const std::uint64_t bit = rng_.below(packet * 8);
    std::uint8_t& byte = frame.mutable_bytes()[link_header_ + static_cast<std::size_t>(bit / 8)];
    byte = static_cast<std::uint8_t>(byte ^ 1U << bit % 8);
    frame.meta().checksum = ChecksumState::kNone;
    ++stats_.corrupted;
  }
  if (rng_.chance_ppm(config_.truncate_ppm)) {
    frame.trim_back(static_cast<std::size_t>(rng_.between(1, packet)));
    frame.meta().checksum = ChecksumState::kNone;
    ++stats_.truncated;
  }
}

Instant ImpairLane::departure(std::size_t size, Instant now) {
  Instant due = now;
  if (config_.rate_bps != 0) {
    // At most 66 KB * 8 * 10^9: within 64 bits.
    const auto nsec = static_cast<std::uint64_t>(size) * 8 * 1'000'000'000 / config_.rate_bps;
    link_free_ = later(std::max(now, link_free_), Duration(static_cast<Duration::rep>(nsec)));
    due = link_free_;
  }
  Duration delay = config_.delay;
  if (config_.jitter.count() != 0) {
    const auto spread = rng_.below(2 * static_cast<std::uint64_t>(config_.jitter.count()) + 1);
    delay += Duration(static_cast<Duration::rep>(spread)) - config_.jitter;
    delay = std::max(delay, Duration::zero());
  }
  due = later(due, delay);
  if (rng_.chance_ppm(config_.reorder_ppm)) {
    ++stats_.reordered;
    const Duration by =
        config_.reorder_by.count() != 0 ? config_.reorder_by : std::max(config_.delay, kReorderByMin);
    const auto held = rng_.between(1, static_cast<std::uint64_t>(by.count()));
    return later(std::max(due, last_due_), Duration(static_cast<Duration::rep>(held)));
  }
  last_due_ = std::max(due, last_due_);
  return last_due_;
}

void ImpairLane::hold(Frame frame, Instant due) {
  if (full()) {
    ++stats_.over_limit;
    return;
  }
  waiting_.push_back({due, order_++, std::move(frame)});
  std::ranges::push_heap(waiting_, leaves_later);
}

Frame ImpairLane::pop() {
  std::ranges::pop_heap(waiting_, leaves_later);
  Frame frame = std::move(waiting_.back().frame);
  waiting_.pop_back();
  ++stats_.passed;
  return frame;
}

// --- the device
// -------------------------------------------------------------------------------------------------------

Impair::Impair(std::unique_ptr<Device> inner, const ImpairConfig& config, std::uint64_t seed)
    : inner_(std::move(inner)),
      config_(config),
      link_header_(link_header_length(inner_.link_type())),
      out_(config, Rng(config.seed.value_or(seed)).fork(kOutStream), link_header_),
      in_(config, Rng(config.seed.value_or(seed)).fork(kInStream), link_header_),
      outgoing_(kOutgoingBatch),
      incoming_(kTurnFramesMax) {}

void Impair::configure(const ImpairConfig& config) {
  config_ = config;
  out_.configure(config);
  in_.configure(config);
}

std::size_t Impair::transmit(std::span<const OutgoingFrame> batch, Instant now) {
  if (config_.out)
    for (const OutgoingFrame& frame : batch) admit_out(frame, now);
  release_out(now);
  return config_.out ? batch.size() : inner_.transmit(batch, now);
}

void Impair::admit_out(const OutgoingFrame& frame, Instant now) {
  OutgoingFrame plain;
  if (frame.gso.type != GsoType::kNone) {
    const auto segmenter = Segmenter::of(frame);
    if (!segmenter) {
      ++out_.stats().malformed;
      return;
    }
    for (std::size_t i = 0; i < segmenter->segments(); ++i) {
      segmenter->emit(i, ChecksumWork::kSoftware, plain);
      admit_copy(plain, out_, now);
    }
    return;
  }
  if (!frame.checksum.wanted) {
    admit_copy(frame, out_, now);
  } else if (with_checksum(frame, plain)) {
    admit_copy(plain, out_, now);
  } else {
    ++out_.stats().malformed;
  }
}

void Impair::admit_copy(const OutgoingFrame& frame, ImpairLane& lane, Instant now) {
  Frame copy = pool_.allocate(frame.size());
  if (!copy) {
    ++lane.stats().seen;
    ++lane.stats().over_limit;
    return;
  }
  frame.copy_to(copy.mutable_bytes());
  if (&lane == &out_ && lane.full()) release_out(now);
  lane.admit(std::move(copy), pool_, now);
}

void Impair::admit_in(Frame frame, Instant now) {
  if (frame.meta().gso.type != GsoType::kNone) {
    const auto segmenter = Segmenter::of(frame, link_header_);
    if (!segmenter) {
      ++in_.stats().malformed;
      return;
    }
    OutgoingFrame plain;
    for (std::size_t i = 0; i < segmenter->segments(); ++i) {
      segmenter->emit(i, ChecksumWork::kSoftware, plain);
      admit_copy(plain, in_, now);
    }
    return;
  }
  if (frame.meta().checksum == ChecksumState::kPartial && !complete_partial(frame, link_header_)) {
    ++in_.stats().malformed;
    return;
  }
  in_.admit(std::move(frame), pool_, now);
}

void Impair::release_out(Instant now) {
  out_retry_at_ = Instant::min();
  while (out_.due() <= now) {
    // The inner device reads the bytes during transmit(), so the frames stay ours until it returns.
    std::array<Frame, kOutgoingBatch> frames;
    const std::size_t room = std::min(inner_.room(), kOutgoingBatch);
    if (room == 0) {
      out_retry_at_ = later(now, kImpairRetry);
      return;
    }
    std::size_t count = 0;
    for (; count < room && out_.due() <= now; ++count) {
      frames[count] = out_.pop();
      outgoing_[count].clear();
      outgoing_[count].add_payload(frames[count].bytes());
    }
    const std::size_t sent = inner_.transmit(std::span(outgoing_).first(count), now);
    out_.stats().over_limit += count - sent;
  }
}

std::size_t Impair::receive(std::span<Frame> batch, FramePool& pool, Instant now) {
  release_out(now);
  const std::size_t held = release_in(batch, pool, now);
  // No more is taken in while some is due: else a slow receiver would overflow the queue with frames that
  // nothing delays.
  if (in_.due() <= now || held == batch.size()) return held;
  if (!config_.in) return held + inner_.receive(batch.subspan(held), pool, now);
  const std::size_t count = inner_.receive(incoming_, pool_, now);
  for (Frame& frame : std::span(incoming_).first(count)) admit_in(std::move(frame), now);
  return held + release_in(batch.subspan(held), pool, now);
}

std::size_t Impair::release_in(std::span<Frame> batch, FramePool& pool, Instant now) {
  std::size_t count = 0;
  std::size_t bytes = 0;
  in_retry_at_ = Instant::min();
  while (count < batch.size() && bytes < kTurnBytesMax && in_.due() <= now) {
    Frame copy = pool.copy(in_.front());
    if (!copy) {
      in_retry_at_ = later(now, kImpairRetry);
      break;
    }
    copy.meta().received_at = now;
    bytes += copy.size();
    batch[count++] = std::move(copy);
    in_.pop();
  }
  return count;
}

Instant Impair::next_timeout() const {
  return std::min(
      {std::max(out_.due(), out_retry_at_), std::max(in_.due(), in_retry_at_), inner_.next_timeout()});
}

}  // namespace tapir::link
