// SPDX-License-Identifier: Apache-2.0
// A frame on its way out: header bytes of its own, and spans into somebody else's payload.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "frame/frame.h"
#include "inet/protocol.h"

namespace tapir::inline frame {

// Headers grow downwards from `kHeaderReserve`: the transport writes its header there, IP and the link push
// in front.
inline constexpr std::size_t kOutgoingHeaderMax = 192;
// Link (14 + 4 of a VLAN tag) and IP (60) in front of the transport header, rounded up.
inline constexpr std::size_t kHeaderReserve = 80;
// Bytes of IP packet of the largest super-segment that any device may take.
inline constexpr std::size_t kSuperSegmentMax = 3 * 65536;
// Enough for a super-segment of chunks of 16 KiB cut anywhere, each behind a copied one of any size.
inline constexpr std::size_t kOutgoingSpansMax = 2 * kSuperSegmentMax / 16384 + 4;

// The device (or link/offload) shall sum the packet from `start` and store the result at `start + offset`,
// both counted from the first header byte. The pseudo-header's sum is already in the field (virtio's
// VIRTIO_NET_HDR_F_NEEDS_CSUM).
struct ChecksumRequest {
  bool wanted = false;
  std::uint16_t start = 0;
  std::uint16_t offset = 0;
};

// Valid until the next call into the stack: the spans point into send buffers, or into the caller's buffer.
class OutgoingFrame {
 public:
  // Header bytes in order (link header first once pushed).
  Bytes header() const { return {storage_.data() + begin_, static_cast<std::size_t>(end_ - begin_)}; }
  MutableBytes mutable_header() {
    return {storage_.data() + begin_, static_cast<std::size_t>(end_ - begin_)};
  }
  // Empties the header and payload; a header appended next starts at kHeaderReserve.
  void clear();
  // Room for n more bytes at the end / in front; an invariant holds them inside the storage.
  MutableBytes append_header(std::size_t n);
  MutableBytes push_header(std::size_t n);

  void add_payload(Bytes bytes);  // spans that touch are merged; at most kOutgoingSpansMax
  std::span<const Bytes> payload() const { return {payload_.data(), payload_count_}; }
  std::size_t payload_size() const { return payload_size_; }
  std::size_t size() const { return header().size() + payload_size_; }
  bool payload_full() const { return payload_count_ == kOutgoingSpansMax; }
  // Writes all bytes to `out`, which must hold size().
  void copy_to(MutableBytes out) const;

  ChecksumRequest checksum;  // offsets count from header()[0]; push_header() keeps them right
  Gso gso;
  Ecn ecn = Ecn::kNotEct;  // wanted in the IP header
  InterfaceId interface = kNoInterface;
  std::uint16_t network_offset = 0;    // where the IP header begins in header(); push_header() keeps it right
  std::uint16_t transport_offset = 0;  // where the transport header begins

 private:
  std::array<std::uint8_t, kOutgoingHeaderMax> storage_;
  std::uint16_t begin_ = kHeaderReserve;
  std::uint16_t end_ = kHeaderReserve;
  std::uint16_t payload_count_ = 0;
  std::size_t payload_size_ = 0;
  std::array<Bytes, kOutgoingSpansMax> payload_;
};

}  // namespace tapir::inline frame
