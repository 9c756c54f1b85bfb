// SPDX-License-Identifier: Apache-2.0
#include "link/segmenter.h"

#include <algorithm>

#include "wire/checksum.h"
#include "wire/ipv4.h"
#include "wire/tcp_segment.h"
#include "wire/transport_locator.h"
#include "wire/udp.h"
#include "wire/vnet_hdr.h"

namespace tapir::link {

namespace {

constexpr std::size_t kIpv6HeaderLength = 40;

IpAddress load_v6(Bytes bytes, std::size_t at) {
  std::array<std::uint8_t, 16> address;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), 16, address.begin());
  return IpAddress::v6(address);
}

// Bytes of the TCP or UDP header at the front of `bytes`; 0 when it is cut off.
std::size_t transport_header_length(Bytes bytes, bool tcp) {
  if (!tcp) return bytes.size() >= wire::kUdpHeaderLength ? wire::kUdpHeaderLength : 0;
  if (bytes.size() < wire::kTcpHeaderMin) return 0;
  const std::size_t length = static_cast<std::size_t>(bytes[wire::kTcpDataOffsetOffset] >> 4) * 4;
  return length >= wire::kTcpHeaderMin && length <= bytes.size() ? length : 0;
}

std::size_t checksum_offset(bool tcp) { return tcp ? wire::kTcpChecksumOffset : wire::kUdpChecksumOffset; }

}  // namespace

std::optional<Segmenter> Segmenter::make(Bytes header, std::size_t network, std::size_t transport,
                                         const Gso& gso) {
  Segmenter made;
  made.network_ = network;
  made.transport_ = transport;
  made.gso_ = gso;
  made.tcp_ = gso.type != GsoType::kUdp;
  if (transport > kHeaderReserve || network >= transport || transport >= header.size()) return std::nullopt;
  made.v4_ = header[network] >> 4 == 4;
  if (transport - network < (made.v4_ ? wire::kIpv4HeaderMin : kIpv6HeaderLength)) return std::nullopt;
  if ((gso.type == GsoType::kTcpV4 && !made.v4_) || (gso.type == GsoType::kTcpV6 && made.v4_))
    return std::nullopt;
  made.src_ =
      made.v4_ ? IpAddress::v4(load_be<std::uint32_t>(header, network + 12)) : load_v6(header, network + 8);
  made.dst_ =
      made.v4_ ? IpAddress::v4(load_be<std::uint32_t>(header, network + 16)) : load_v6(header, network + 24);
  const std::size_t length = transport_header_length(header.subspan(transport), made.tcp_);
  if (length == 0) return std::nullopt;
  made.header_ = header.first(transport + length);
  // Payload bytes that were built into the header come first.
  made.add_payload(header.subspan(transport + length));
  return made;
}

void Segmenter::add_payload(Bytes bytes) {
  if (bytes.empty()) return;
  payload_[payload_count_++] = bytes;
  payload_size_ += bytes.size();
}

bool Segmenter::settle() {
  if (gso_.size == 0 || payload_size_ == 0) return false;
  size_ = gso_.size * together_;
  segments_ = (payload_size_ + size_ - 1) / size_;
  return true;
}

std::optional<Segmenter> Segmenter::of(const OutgoingFrame& frame) {
  if (frame.gso.type == GsoType::kNone) return std::nullopt;
  auto made = make(frame.header(), frame.network_offset, frame.transport_offset, frame.gso);
  if (!made) return std::nullopt;
  for (const Bytes span : frame.payload()) made->add_payload(span);
  if (!made->settle()) return std::nullopt;
  return made;
}

std::optional<Segmenter> Segmenter::into_super_segments(const OutgoingFrame& frame, std::size_t packet_max) {
  auto made = of(frame);
  if (!made || !made->tcp_) return std::nullopt;
  const std::size_t headers = made->header_.size() - made->network_;
  TAPIR_INVARIANT(packet_max >= headers + made->size_, "a segment fits an IP packet");
  made->together_ = (packet_max - headers) / made->size_;
  made->settle();
  return made;
}

std::optional<Segmenter> Segmenter::of(const Frame& frame, std::size_t network_offset) {
  const Gso& gso = frame.meta().gso;
  if (gso.type == GsoType::kNone) return std::nullopt;
  const auto where = wire::locate_transport(frame.bytes(), network_offset);
  if (!where || (where->protocol == IpProtocol::kTcp) != (gso.type != GsoType::kUdp)) return std::nullopt;
  auto made = make(frame.bytes().first(where->payload), where->network, where->transport, gso);
  if (!made) return std::nullopt;
  made->add_payload(frame.bytes().subspan(where->payload, where->end - where->payload));
  if (!made->settle()) return std::nullopt;
  return made;
}

void Segmenter::slice_payload(std::size_t begin, std::size_t end, OutgoingFrame& out) const {
  std::size_t span_begin = 0;  // of the span at hand, in the payload
  for (std::size_t i = 0; i < payload_count_ && span_begin < end; ++i) {
    const std::size_t span_end = span_begin + payload_[i].size();
    const std::size_t from = std::max(begin, span_begin);
    const std::size_t to = std::min(end, span_end);
    if (from < to) out.add_payload(payload_[i].subspan(from - span_begin, to - from));
    span_begin = span_end;
  }
}

void Segmenter::patch_ip(std::size_t index, MutableBytes packet, std::size_t packet_length) const {
  if (!v4_) {
    store_be<std::uint16_t>(packet, 4, static_cast<std::uint16_t>(packet_length - kIpv6HeaderLength));
    return;
  }
  store_be<std::uint16_t>(packet, 2, static_cast<std::uint16_t>(packet_length));
  const auto id = load_be<std::uint16_t>(packet, 4);
  store_be<std::uint16_t>(packet, 4, static_cast<std::uint16_t>(id + index * together_));
  wire::refresh_ipv4_checksum(packet.first(transport_ - network_));
}

void Segmenter::patch_transport(std::size_t index, MutableBytes transport, std::size_t payload_length) const {
  if (!tcp_) {
    store_be<std::uint16_t>(transport, 4,
                            static_cast<std::uint16_t>(wire::kUdpHeaderLength + payload_length));
    return;
  }
  const auto seq = load_be<std::uint32_t>(transport, wire::kTcpSeqOffset);
  store_be<std::uint32_t>(transport, wire::kTcpSeqOffset, seq + static_cast<std::uint32_t>(index * size_));
  unsigned cleared = 0;
  if (index != 0) cleared |= wire::kCwr;
  if (index + 1 != segments_) cleared |= wire::kPsh | wire::kFin;
  transport[wire::kTcpFlagsOffset] = static_cast<std::uint8_t>(transport[wire::kTcpFlagsOffset] & ~cleared);
}

void Segmenter::set_checksum(ChecksumWork work, std::size_t transport_length, OutgoingFrame& out) const {
  const IpProtocol protocol = tcp_ ? IpProtocol::kTcp : IpProtocol::kUdp;
  const std::size_t offset = checksum_offset(tcp_);
  wire::ChecksumAccumulator sum = wire::pseudo_header(src_, dst_, protocol, transport_length);
  const MutableBytes transport = out.mutable_header().subspan(transport_);
  if (work == ChecksumWork::kDevice) {
    store_be<std::uint16_t>(transport, offset, sum.sum());
    out.checksum = {.wanted = true,
                    .start = static_cast<std::uint16_t>(transport_),
                    .offset = static_cast<std::uint16_t>(offset)};
    return;
  }
  store_be<std::uint16_t>(transport, offset, 0);
  sum.add(transport);
  for (const Bytes span : out.payload()) sum.add(span);
  const std::uint16_t checksum = sum.finish();
  store_be<std::uint16_t>(transport, offset, tcp_ ? checksum : wire::udp_checksum_on_wire(checksum));
}

void Segmenter::emit(std::size_t index, ChecksumWork work, OutgoingFrame& out) const {
  TAPIR_INVARIANT(index < segments_, "only segments that exist are asked for");
  const std::size_t begin = index * size_;
  const std::size_t end = std::min(begin + size_, payload_size_);
  out.clear();
  // The transport header goes to the middle of the storage and the rest in front of it, as when a stack
  // builds a frame.
  std::ranges::copy(header_.subspan(transport_), out.append_header(header_.size() - transport_).begin());
  std::ranges::copy(header_.first(transport_), out.push_header(transport_).begin());
  out.network_offset = static_cast<std::uint16_t>(network_);
  out.transport_offset = static_cast<std::uint16_t>(transport_);
  slice_payload(begin, end, out);
  const std::size_t payload_length = end - begin;
  if (payload_length > gso_.size) {
    out.gso = gso_;
    out.gso.ecn = gso_.ecn && index == 0;
  }
  patch_ip(index, out.mutable_header().subspan(network_), header_.size() - network_ + payload_length);
  patch_transport(index, out.mutable_header().subspan(transport_), payload_length);
  set_checksum(work, header_.size() - transport_ + payload_length, out);
}

bool with_checksum(const OutgoingFrame& frame, OutgoingFrame& out) {
  const std::size_t start = frame.checksum.start;
  const std::size_t field = start + frame.checksum.offset;
  if (start >= frame.header().size() || field + 2 > frame.header().size()) return false;
  out = frame;
  out.checksum = {};
  wire::ChecksumAccumulator sum;
  sum.add(frame.header().subspan(start));
  for (const Bytes span : frame.payload()) sum.add(span);
  // 0 would mean "none" in UDP, and is the same number in ones' complement.
  store_be<std::uint16_t>(out.mutable_header(), field, wire::udp_checksum_on_wire(sum.finish()));
  return true;
}

bool complete_partial(Frame& frame, std::size_t network_offset) {
  const auto where = wire::locate_transport(frame.bytes(), network_offset);
  if (!where) return false;
  wire::complete_checksum(frame.mutable_bytes().first(where->end), where->transport,
                          where->checksum_field() - where->transport);
  frame.meta().checksum = ChecksumState::kNone;
  return true;
}

}  // namespace tapir::link
