// SPDX-License-Identifier: Apache-2.0
#include "wire/vnet_hdr.h"

#include <bit>

#include "wire/checksum.h"
#include "wire/transport_locator.h"

namespace tapir::wire {

namespace {

// virtio 1.0 fixed little-endian, whatever the machine.
std::uint16_t load_le16(Bytes bytes, std::size_t at) {
  return std::byteswap(load_be<std::uint16_t>(bytes, at));
}
void store_le16(MutableBytes bytes, std::size_t at, std::uint16_t value) {
  store_be<std::uint16_t>(bytes, at, std::byteswap(value));
}

// Does the frame hold what `gso` says?
bool is_of_type(VnetGso gso, const TransportLocation& where) {
  switch (gso) {
    case VnetGso::kTcpV4:
      return where.v4 && where.protocol == IpProtocol::kTcp;
    case VnetGso::kTcpV6:
      return !where.v4 && where.protocol == IpProtocol::kTcp;
    case VnetGso::kUdp:
      return where.protocol == IpProtocol::kUdp;
    case VnetGso::kNone:
      break;
  }
  return false;
}

std::expected<VnetGso, VnetFault> gso_of(std::uint8_t type) {
  switch (type & ~kVnetGsoEcn) {
    case kVnetGsoNone:
      // ECN alone says nothing.
      return VnetGso::kNone;
    case kVnetGsoTcpV4:
      return VnetGso::kTcpV4;
    case kVnetGsoTcpV6:
      return VnetGso::kTcpV6;
    case kVnetGsoUdp:
      if ((type & kVnetGsoEcn) == 0) return VnetGso::kUdp;
      break;
    default:
      break;
  }
  return std::unexpected(VnetFault::kUnknownGso);
}

std::expected<void, VnetFault> judge_checksum(const VnetHeader& header, Bytes frame,
                                              const std::optional<TransportLocation>& where,
                                              VnetVerdict& verdict) {
  if ((header.flags & kVnetNeedsChecksum) == 0) {
    if ((header.flags & kVnetDataValid) != 0) verdict.checksum = VnetChecksum::kVerified;
    return {};
  }
  const std::size_t start = header.checksum_start;
  const std::size_t field = start + header.checksum_offset;
  if (start >= frame.size() || field + 2 > frame.size()) return std::unexpected(VnetFault::kChecksumOutside);
  // Partial means "the sender is on this machine, the bytes are trusted": only where it is the packet's own
  // checksum.
  const bool own = where && start == where->transport && field == where->checksum_field();
  verdict.checksum = own ? VnetChecksum::kPartial : VnetChecksum::kElsewhere;
  verdict.checksum_start = start;
  verdict.checksum_offset = header.checksum_offset;
  return {};
}

std::expected<void, VnetFault> judge_gso(const VnetHeader& header,
                                         const std::optional<TransportLocation>& where,
                                         VnetVerdict& verdict) {
  const auto gso = gso_of(header.gso_type);
  if (!gso) return std::unexpected(gso.error());
  if (*gso == VnetGso::kNone) return {};
  if (header.gso_size == 0) return std::unexpected(VnetFault::kGsoSizeZero);
  if (!where || !is_of_type(*gso, *where)) return std::unexpected(VnetFault::kGsoWrongProtocol);
  if (verdict.checksum != VnetChecksum::kPartial && verdict.checksum != VnetChecksum::kVerified)
    return std::unexpected(VnetFault::kGsoWithoutChecksum);
  const std::size_t payload = where->end - where->payload;
  // One segment is no super-segment.
  if (payload <= header.gso_size) return {};
  if ((payload + header.gso_size - 1) / header.gso_size > kVnetSegmentsMax)
    return std::unexpected(VnetFault::kGsoTooManySegments);
  verdict.gso = *gso;
  verdict.gso_size = header.gso_size;
  verdict.ecn = (header.gso_type & kVnetGsoEcn) != 0;
  return {};
}

}  // namespace

std::optional<VnetHeader> parse_vnet(Bytes bytes, std::size_t size) {
  TAPIR_INVARIANT(size == kVnetHeaderShort || size == kVnetHeaderLong, "a vnet header has 10 or 12 bytes");
  if (bytes.size() < size) return std::nullopt;
  VnetHeader header;
  header.flags = bytes[0];
  header.gso_type = bytes[1];
  header.header_length = load_le16(bytes, 2);
  header.gso_size = load_le16(bytes, 4);
  header.checksum_start = load_le16(bytes, 6);
  header.checksum_offset = load_le16(bytes, 8);
  if (size == kVnetHeaderLong) header.num_buffers = load_le16(bytes, 10);
  return header;
}

std::size_t emit_vnet(const VnetHeader& header, std::size_t size, MutableBytes out) {
  TAPIR_INVARIANT(size == kVnetHeaderShort || size == kVnetHeaderLong, "a vnet header has 10 or 12 bytes");
  TAPIR_INVARIANT(out.size() >= size, "a vnet header fits");
  out[0] = header.flags;
  out[1] = header.gso_type;
  store_le16(out, 2, header.header_length);
  store_le16(out, 4, header.gso_size);
  store_le16(out, 6, header.checksum_start);
  store_le16(out, 8, header.checksum_offset);
  if (size == kVnetHeaderLong) store_le16(out, 10, header.num_buffers);
  return size;
}

std::expected<VnetVerdict, VnetFault> validate_vnet(const VnetHeader& header, Bytes frame,
                                                    std::size_t network_offset) {
  VnetVerdict verdict;
  // The frequent case: nothing is claimed that the frame must bear out.
  if ((header.flags & kVnetNeedsChecksum) == 0 && header.gso_type == kVnetGsoNone) {
    if ((header.flags & kVnetDataValid) != 0) verdict.checksum = VnetChecksum::kVerified;
    return verdict;
  }
  if (header.header_length > frame.size()) return std::unexpected(VnetFault::kHeaderLengthOutside);
  const auto where = locate_transport(frame, network_offset);
  if (auto judged = judge_checksum(header, frame, where, verdict); !judged)
    return std::unexpected(judged.error());
  if (auto judged = judge_gso(header, where, verdict); !judged) return std::unexpected(judged.error());
  return verdict;
}

void complete_checksum(MutableBytes frame, std::size_t start, std::size_t offset) {
  const MutableBytes summed = frame.subspan(start);
  const std::uint16_t checksum = internet_checksum(summed);
  // Zero would mean "none" in UDP; 0xffff is the same number in ones' complement, so TCP does not mind.
  store_be<std::uint16_t>(summed, offset, checksum == 0 ? std::uint16_t{0xffff} : checksum);
}

}  // namespace tapir::wire
