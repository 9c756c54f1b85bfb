// SPDX-License-Identifier: Apache-2.0
// Does in software what a device would: cuts a super-segment into segments, and completes checksums.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "frame/frame.h"
#include "frame/outgoing_frame.h"
#include "inet/ip_address.h"

namespace tapir::link {

enum class ChecksumWork : std::uint8_t {
  kSoftware,  // sum each segment's payload here
  kDevice,    // leave the pseudo-header's sum and a ChecksumRequest
};

// One super-segment (Linux's tcp_gso_segment and __udp_gso_segment). Borrows its bytes: valid as long as
// those are.
//
// Segment i of n carries payload [i * size, …): the IPv4 id counts up, sequence numbers advance, CWR stays on
// the first only, PSH and FIN on the last only; lengths and checksums are its own.
class Segmenter {
 public:
  // Nothing when the frame is no super-segment, or its headers do not bear out what gso claims.
  static std::optional<Segmenter> of(const OutgoingFrame& frame);
  // Cuts TCP's super-segment into shorter ones instead, each of at most `packet_max` bytes of IP packet; into
  // plain segments where two are longer than that.
  static std::optional<Segmenter> into_super_segments(const OutgoingFrame& frame, std::size_t packet_max);
  // Of a received frame whose link header has `network_offset` bytes.
  static std::optional<Segmenter> of(const Frame& frame, std::size_t network_offset);

  std::size_t segments() const { return segments_; }
  // Writes segment `index` < segments() to `out`. Its payload spans point into the super-segment's bytes.
  void emit(std::size_t index, ChecksumWork work, OutgoingFrame& out) const;

 private:
  Segmenter() = default;
  // Checks the header bytes against each other and fills in what follows from them.
  static std::optional<Segmenter> make(Bytes header, std::size_t network, std::size_t transport,
                                       const Gso& gso);
  void add_payload(Bytes bytes);
  bool settle();
  void slice_payload(std::size_t begin, std::size_t end, OutgoingFrame& out) const;
  void patch_ip(std::size_t index, MutableBytes packet, std::size_t packet_length) const;
  void patch_transport(std::size_t index, MutableBytes transport, std::size_t payload_length) const;
  void set_checksum(ChecksumWork work, std::size_t transport_length, OutgoingFrame& out) const;

  Bytes header_;             // link header to the transport header's end
  std::size_t network_ = 0;  // offsets in header_
  std::size_t transport_ = 0;
  bool v4_ = true;
  bool tcp_ = true;
  IpAddress src_;
  IpAddress dst_;
  Gso gso_;
  std::size_t together_ = 1;  // segments that leave as one
  std::size_t size_ = 0;      // payload bytes of each that leaves, but the last
  std::size_t segments_ = 0;
  std::array<Bytes, kOutgoingSpansMax + 1> payload_;
  std::size_t payload_count_ = 0;
  std::size_t payload_size_ = 0;
};

// Copies `frame` to `out` and completes the checksum it asks for. The field lies in the header bytes; false
// when it does not, and then nothing was written.
bool with_checksum(const OutgoingFrame& frame, OutgoingFrame& out);

// Completes the checksum of a kPartial frame (no super-segment) and makes it kNone. False when no TCP or UDP
// header is where one should be.
bool complete_partial(Frame& frame, std::size_t network_offset);

}  // namespace tapir::link
