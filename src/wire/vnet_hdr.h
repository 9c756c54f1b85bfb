// SPDX-License-Identifier: Apache-2.0
// struct virtio_net_hdr, which a TAP or packet socket puts in front of each frame (virtio 1.2 §5.1.6): who
// completes the checksum, and whether the frame is a super-segment. What arrives may lie in every field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>

#include "base/bytes.h"

namespace tapir::wire {

// Without and with num_buffers.
inline constexpr std::size_t kVnetHeaderShort = 10;
inline constexpr std::size_t kVnetHeaderLong = 12;

inline constexpr std::uint8_t kVnetNeedsChecksum = 1;  // VIRTIO_NET_HDR_F_NEEDS_CSUM
inline constexpr std::uint8_t kVnetDataValid = 2;      // VIRTIO_NET_HDR_F_DATA_VALID
inline constexpr std::uint8_t kVnetGsoNone = 0;        // VIRTIO_NET_HDR_GSO_*
inline constexpr std::uint8_t kVnetGsoTcpV4 = 1;
inline constexpr std::uint8_t kVnetGsoUdpFragments = 3;
inline constexpr std::uint8_t kVnetGsoTcpV6 = 4;
inline constexpr std::uint8_t kVnetGsoUdp = 5;
inline constexpr std::uint8_t kVnetGsoEcn = 0x80;

// Segments that one super-segment may stand for. Splitting or answering it costs work per segment, so a frame
// that claims segments of one byte would buy 65,000 of them; 8 is the smallest payload that Linux sends (its
// minimum send MSS of 48 less 40 bytes of options), and so 65535 / 8 bounds every honest frame.
inline constexpr std::size_t kVnetSegmentsMax = 8192;

// The header in the numbers of this machine, as it stands (fields are little-endian on the wire).
struct VnetHeader {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = kVnetGsoNone;
  std::uint16_t header_length = 0;    // hdr_len: a hint, bytes of all headers
  std::uint16_t gso_size = 0;         // payload bytes of each segment
  std::uint16_t checksum_start = 0;   // csum_start: sum from here to the end …
  std::uint16_t checksum_offset = 0;  // csum_offset: … and store it here, counted from the start
  std::uint16_t num_buffers = 0;      // only in the long form
  friend bool operator==(const VnetHeader&, const VnetHeader&) = default;
};

// The header at the front of `bytes`, which a header of `size` bytes (10 or 12) begins; nothing when there
// are fewer.
std::optional<VnetHeader> parse_vnet(Bytes bytes, std::size_t size);
// Writes `size` bytes (10 or 12) and returns `size`.
std::size_t emit_vnet(const VnetHeader& header, std::size_t size, MutableBytes out);

enum class VnetChecksum : std::uint8_t {
  kNone,       // nothing is known
  kVerified,   // the sender's side checked it
  kPartial,    // to be completed at the transport header's own checksum field: of a TCP or UDP packet that is
               // whole
  kElsewhere,  // to be completed at some other place: do it (complete_checksum) before the frame is used,
               // then it is kNone
};
enum class VnetGso : std::uint8_t { kNone, kTcpV4, kTcpV6, kUdp };

// What may be believed of a header, after a look at the frame.
struct VnetVerdict {
  VnetChecksum checksum = VnetChecksum::kNone;
  std::size_t checksum_start = 0;  // from the frame's first byte, for kPartial and kElsewhere
  std::size_t checksum_offset = 0;
  VnetGso gso = VnetGso::kNone;
  std::uint16_t gso_size = 0;
  bool ecn = false;  // CWR belongs on the first segment only
};

// Why a header is not believed.
enum class VnetFault : std::uint8_t {
  kChecksumOutside,      // csum_start or csum_offset point past the frame
  kHeaderLengthOutside,  // hdr_len is more than the frame
  kUnknownGso,           // a type that was never offered
  kGsoWithoutChecksum,   // a super-segment that neither needs a checksum nor had it checked
  kGsoSizeZero,
  kGsoWrongProtocol,    // the frame is not of the claimed type, or its headers are cut off
  kGsoTooManySegments,  // beyond kVnetSegmentsMax
};

// Checks every field against `frame`, which begins with its link header; `network_offset` is the length of
// that (14, or 0 for a TUN device). VLAN tags are looked through.
std::expected<VnetVerdict, VnetFault> validate_vnet(const VnetHeader& header, Bytes frame,
                                                    std::size_t network_offset);

// Sums the frame from `start` to its end into the field at start + offset, which holds the pseudo-header's
// sum. Both lie inside the frame (validate_vnet has said so).
void complete_checksum(MutableBytes frame, std::size_t start, std::size_t offset);

}  // namespace tapir::wire
