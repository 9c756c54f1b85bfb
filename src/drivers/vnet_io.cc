// SPDX-License-Identifier: Apache-2.0
#include "drivers/vnet_io.h"

#include <algorithm>
#include <cstring>

#include "base/siphash.h"
#include "wire/ethernet.h"

namespace tapir::drivers {
namespace {

std::uint8_t vnet_gso_type(const Gso& gso) {
  const std::uint8_t ecn = gso.ecn ? wire::kVnetGsoEcn : std::uint8_t{0};
  switch (gso.type) {
    case GsoType::kNone:
      return wire::kVnetGsoNone;
    case GsoType::kTcpV4:
      return wire::kVnetGsoTcpV4 | ecn;
    case GsoType::kTcpV6:
      return wire::kVnetGsoTcpV6 | ecn;
    case GsoType::kUdp:
      return wire::kVnetGsoUdp;
  }
  return wire::kVnetGsoNone;
}

GsoType gso_type_of(wire::VnetGso gso) {
  switch (gso) {
    case wire::VnetGso::kNone:
      return GsoType::kNone;
    case wire::VnetGso::kTcpV4:
      return GsoType::kTcpV4;
    case wire::VnetGso::kTcpV6:
      return GsoType::kTcpV6;
    case wire::VnetGso::kUdp:
      return GsoType::kUdp;
  }
  return GsoType::kNone;
}

iovec piece_of(Bytes bytes) { return {const_cast<std::uint8_t*>(bytes.data()), bytes.size()}; }

}  // namespace

link::MacAddress derive_mac(std::string_view name, std::uint64_t seed) {
  const Bytes bytes(reinterpret_cast<const std::uint8_t*>(name.data()), name.size());
  const std::uint64_t hash = siphash_1_3(SipKey{seed, 0x7461706972206d61}, bytes);
  link::MacAddress mac;
  for (std::size_t i = 0; i < mac.size(); ++i) mac[i] = static_cast<std::uint8_t>(hash >> (8 * i));
  mac[0] = 0x02;  // unicast, locally administered
  return mac;
}

wire::VnetHeader vnet_header_of(const OutgoingFrame& frame) {
  wire::VnetHeader header;
  if (frame.checksum.wanted) {
    header.flags = wire::kVnetNeedsChecksum;
    header.checksum_start = frame.checksum.start;
    header.checksum_offset = frame.checksum.offset;
  }
  if (frame.gso.type != GsoType::kNone) {
    header.gso_type = vnet_gso_type(frame.gso);
    header.gso_size = frame.gso.size;
  }
  header.header_length = static_cast<std::uint16_t>(frame.header().size());
  return header;
}

OutgoingPieces::OutgoingPieces(const OutgoingFrame& frame, std::size_t vnet_size) {
  wire::emit_vnet(vnet_header_of(frame), vnet_size, vnet_);
  pieces_[count_++] = {vnet_.data(), vnet_size};
  pieces_[count_++] = piece_of(frame.header());
  for (const Bytes& span : frame.payload()) pieces_[count_++] = piece_of(span);
}

iovec* VnetReceiver::buffers() {
  if (!large_) {
    large_ = pool_.allocate(kReceiveFrameMax);
    if (!large_) return nullptr;  // no loss: the frame waits in the kernel
    pieces_[0] = {vnet_.data(), vnet_size_};
    pieces_[1] = {large_.mutable_bytes().data(), large_.size()};
  }
  return pieces_.data();
}

std::optional<Frame> VnetReceiver::refuse(trace::DropReason reason) {
  if (counters_ != nullptr) counters_->drop(reason);
  return std::nullopt;
}

std::optional<Frame> VnetReceiver::take(std::size_t size) {
  if (size <= vnet_size_ || size < vnet_size_ + link_header_) return refuse(trace::DropReason::kPktTooSmall);
  const MutableBytes bytes = large_.mutable_bytes().first(size - vnet_size_);
  const auto verdict = wire::validate_vnet(*wire::parse_vnet(vnet_, vnet_size_), bytes, link_header_);
  if (!verdict) return refuse(trace::DropReason::kVnetHdr);
  if (verdict->checksum == wire::VnetChecksum::kElsewhere)
    wire::complete_checksum(bytes, verdict->checksum_start, verdict->checksum_offset);

  Frame frame;
  if (bytes.size() <= kReceiveCopyMax) frame = pool_.copy(bytes);
  if (!frame) {  // a large one, or the budget has no second buffer: the one it was read into
    large_.trim_back(large_.size() - bytes.size());
    frame = std::move(large_);
  }
  FrameHeader& meta = frame.meta();
  meta.received_at = now_;
  switch (verdict->checksum) {
    case wire::VnetChecksum::kVerified:
      meta.checksum = ChecksumState::kVerified;
      break;
    case wire::VnetChecksum::kPartial:
      meta.checksum = ChecksumState::kPartial;
      break;
    case wire::VnetChecksum::kNone:
    case wire::VnetChecksum::kElsewhere:
      meta.checksum = ChecksumState::kNone;
      break;
  }
  meta.gso = {gso_type_of(verdict->gso), verdict->gso_size, verdict->ecn};
  return frame;
}

}  // namespace tapir::drivers
