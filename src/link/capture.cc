// SPDX-License-Identifier: Apache-2.0
#include "link/capture.h"

#include <algorithm>
#include <array>

namespace tapir::link {

namespace {

// Block types and option codes of pcapng.
constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr std::uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr std::uint32_t kInterfaceDescription = 1;
constexpr std::uint32_t kEnhancedPacket = 6;
constexpr std::uint16_t kOptionEnd = 0;
constexpr std::uint16_t kOptionComment = 1;
constexpr std::uint16_t kOptionName = 2;        // of an interface
constexpr std::uint16_t kOptionFlags = 2;       // of a packet: the direction in its two low bits
constexpr std::uint16_t kOptionResolution = 9;  // of an interface's time stamps, as a negative power of ten

constexpr std::uint16_t kLinkTypeEthernet = 1;
constexpr std::uint16_t kLinkTypeRaw = 101;

// The fixed fields and options of a block beside packet and comment.
constexpr std::size_t kBlockOverhead = 128;
// The longest packet there is: a super-segment behind a link header.
constexpr std::size_t kPacketMax = kSuperSegmentMax + 64;

Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::size_t total_size(std::span<const Bytes> pieces) {
  std::size_t size = 0;
  for (const Bytes piece : pieces) size += piece.size();
  return size;
}

}  // namespace

PcapngWriter::PcapngWriter(ByteSink& sink, std::uint32_t snap_length)
    : sink_(sink), snap_length_(snap_length), block_(kBlockOverhead + kPacketMax + kCaptureCommentMax) {}

bool PcapngWriter::begin() {
  start_block(kSectionHeader);
  put_u32(kByteOrderMagic);
  put_u16(1);  // version 1.0
  put_u16(0);
  put_u32(0xffffffff);  // length of the section: not known (64 bits)
  put_u32(0xffffffff);
  return end_block();
}

std::uint32_t PcapngWriter::add_interface(LinkType type, std::string_view name) {
  start_block(kInterfaceDescription);
  put_u16(type == LinkType::kEthernet ? kLinkTypeEthernet : kLinkTypeRaw);
  put_u16(0);
  put_u32(snap_length_);
  put_option(kOptionName, as_bytes(name.substr(0, 64)));
  static constexpr std::uint8_t kNanoseconds[] = {9};
  put_option(kOptionResolution, kNanoseconds);
  put_option(kOptionEnd, {});
  end_block();
  return interfaces_++;
}

bool PcapngWriter::packet(std::uint32_t interface, std::uint64_t unix_nsec, CaptureDirection direction,
                          std::span<const Bytes> pieces, std::string_view comment) {
  const std::size_t original = total_size(pieces);
  const std::size_t kept = std::min({original, static_cast<std::size_t>(snap_length_), kPacketMax});
  start_block(kEnhancedPacket);
  put_u32(interface);
  put_u32(static_cast<std::uint32_t>(unix_nsec >> 32));
  put_u32(static_cast<std::uint32_t>(unix_nsec));
  put_u32(static_cast<std::uint32_t>(kept));
  put_u32(static_cast<std::uint32_t>(original));
  std::size_t left = kept;
  for (const Bytes piece : pieces) {
    put_bytes(piece.first(std::min(left, piece.size())));
    left -= std::min(left, piece.size());
  }
  pad();
  const std::array<std::uint8_t, 4> flags = {static_cast<std::uint8_t>(direction), 0, 0, 0};
  put_option(kOptionFlags, flags);
  if (!comment.empty()) put_option(kOptionComment, as_bytes(comment.substr(0, kCaptureCommentMax)));
  put_option(kOptionEnd, {});
  return end_block();
}

// Every block is its type, its length, a body, its length again. Numbers are little-endian: the magic says
// so.
void PcapngWriter::start_block(std::uint32_t type) {
  size_ = 0;
  put_u32(type);
  put_u32(0);
}

bool PcapngWriter::end_block() {
  const auto length = static_cast<std::uint32_t>(size_ + 4);
  put_u32(length);
  store_be<std::uint32_t>(block_, 4, std::byteswap(length));
  if (!failed_) failed_ = !sink_.write(Bytes(block_).first(size_));
  return !failed_;
}

void PcapngWriter::put_u16(std::uint16_t value) {
  store_be<std::uint16_t>(block_, size_, std::byteswap(value));
  size_ += 2;
}

void PcapngWriter::put_u32(std::uint32_t value) {
  store_be<std::uint32_t>(block_, size_, std::byteswap(value));
  size_ += 4;
}

void PcapngWriter::put_bytes(Bytes bytes) {
  TAPIR_INVARIANT(bytes.size() <= block_.size() - size_, "a pcapng block fits its buffer");
  std::ranges::copy(bytes, block_.begin() + static_cast<std::ptrdiff_t>(size_));
  size_ += bytes.size();
}

void PcapngWriter::pad() {
  while (size_ % 4 != 0) block_[size_++] = 0;
}

void PcapngWriter::put_option(std::uint16_t code, Bytes value) {
  put_u16(code);
  put_u16(static_cast<std::uint16_t>(value.size()));
  put_bytes(value);
  pad();
}

Capture::Capture(std::unique_ptr<Device> inner, PcapngWriter& writer, std::string_view name, Duration epoch)
    : inner_(std::move(inner)),
      writer_(writer),
      epoch_(epoch),
      interface_(writer.add_interface(inner_->link_type(), name)) {}

std::size_t Capture::transmit(std::span<const OutgoingFrame> batch, Instant now) {
  const std::size_t accepted = inner_->transmit(batch, now);
  for (const OutgoingFrame& frame : batch.first(accepted)) {
    std::array<Bytes, kOutgoingSpansMax + 1> pieces;
    pieces[0] = frame.header();
    std::ranges::copy(frame.payload(), pieces.begin() + 1);
    writer_.packet(interface_, unix_nsec(now), CaptureDirection::kOut,
                   std::span(pieces).first(1 + frame.payload().size()));
  }
  return accepted;
}

std::size_t Capture::receive(std::span<Frame> batch, FramePool& pool, Instant now) {
  const std::size_t count = inner_->receive(batch, pool, now);
  for (const Frame& frame : batch.first(count)) {
    const std::array<Bytes, 1> pieces = {frame.bytes()};
    writer_.packet(interface_, unix_nsec(now), CaptureDirection::kIn, pieces);
  }
  return count;
}

}  // namespace tapir::link
