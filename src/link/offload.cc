// SPDX-License-Identifier: Apache-2.0
#include "link/offload.h"

#include <algorithm>

#include "wire/ipv4.h"

namespace tapir::link {

Offload::Offload(std::unique_ptr<Device> inner)
    : inner_(std::move(inner)),
      granted_(inner_->offloads()),
      // An empty inner queue shorter than the usual maximum would otherwise never have room.
      segments_max_(
          static_cast<std::uint16_t>(std::clamp<std::size_t>(inner_->room(), 1, kSoftwareSegmentsMax))),
      staged_(kOffloadBatch) {}

Offloads Offload::offloads() const {
  Offloads offered = granted_;
  offered.tx_checksum = true;
  if (!granted_.tso || !granted_.uso) {
    offered.gso_max_segs =
        granted_.tso || granted_.uso ? std::min(granted_.gso_max_segs, segments_max_) : segments_max_;
    if (!granted_.tso && !granted_.uso)
      offered.gso_max_size = static_cast<std::uint32_t>(wire::kIpv4PacketMax);
  }
  offered.tso = offered.uso = true;
  return offered;
}

std::size_t Offload::room() const {
  return granted_.tso && granted_.uso ? inner_->room() : inner_->room() / segments_max_;
}

bool Offload::splits(const OutgoingFrame& frame) const {
  switch (frame.gso.type) {
    case GsoType::kNone:
      return false;
    case GsoType::kUdp:
      return !granted_.uso;
    default:
      return !granted_.tso;
  }
}

std::size_t Offload::transmit(std::span<const OutgoingFrame> batch, Instant now) {
  inner_room_ = inner_->room();
  std::size_t accepted = 0;
  while (accepted < batch.size()) {
    // What needs nothing done goes through in one piece, without a copy.
    std::size_t run = 0;
    while (accepted + run < batch.size() && !splits(batch[accepted + run]) && !sums(batch[accepted + run]))
      ++run;
    if (run != 0) {
      flush(now);
      const std::size_t sent = inner_->transmit(batch.subspan(accepted, run), now);
      accepted += sent;
      inner_room_ -= std::min(inner_room_, sent);
      if (sent != run) break;
      continue;
    }
    if (!take(batch[accepted], now)) break;
    ++accepted;
  }
  flush(now);
  return accepted;
}

bool Offload::take(const OutgoingFrame& frame, Instant now) {
  if (splits(frame)) return take_super(frame, now);
  if (inner_room_ == 0) return false;
  if (staged_count_ == staged_.size()) flush(now);
  if (!with_checksum(frame, staged_[staged_count_])) {
    ++lost_;
    return true;
  }
  ++staged_count_;
  --inner_room_;
  return true;
}

bool Offload::take_super(const OutgoingFrame& frame, Instant now) {
  const auto segmenter = Segmenter::of(frame);
  if (!segmenter || segmenter->segments() > segments_max_) {
    ++lost_;
    return true;
  }
  if (segmenter->segments() > inner_room_) return false;
  const ChecksumWork work = granted_.tx_checksum ? ChecksumWork::kDevice : ChecksumWork::kSoftware;
  for (std::size_t i = 0; i < segmenter->segments(); ++i) {
    if (staged_count_ == staged_.size()) flush(now);
    segmenter->emit(i, work, staged_[staged_count_++]);
  }
  inner_room_ -= segmenter->segments();
  return true;
}

void Offload::flush(Instant now) {
  if (staged_count_ == 0) return;
  const std::size_t sent = inner_->transmit(std::span(staged_).first(staged_count_), now);
  lost_ += staged_count_ - sent;
  staged_count_ = 0;
}

}  // namespace tapir::link
