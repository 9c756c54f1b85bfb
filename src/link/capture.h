// SPDX-License-Identifier: Apache-2.0
// Captures in pcapng (draft-ietf-opsawg-pcapng): what passes a device, for tshark and its like.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "link/device.h"

namespace tapir::link {

// Where a capture goes. Files and sockets are the runtime's.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  // Takes all of `bytes` (a whole pcapng block), or answers false; after that the writer writes no more.
  virtual bool write(Bytes bytes) = 0;
};

enum class CaptureDirection : std::uint8_t { kUnknown = 0, kIn = 1, kOut = 2 };

// Bytes of a comment that are kept; more would make a block that readers refuse, for the length field has 16
// bits.
inline constexpr std::size_t kCaptureCommentMax = 4096;

// One section. Call order: begin(), add_interface() per interface, then packet() as they pass.
class PcapngWriter {
 public:
  // `snap_length`: bytes kept of each packet.
  explicit PcapngWriter(ByteSink& sink, std::uint32_t snap_length = 262'144);
  // Writes the section header. False when the sink failed, now or before; so below.
  bool begin();
  // Answers the interface's number in packet(), counted from 0 in the order of calls.
  std::uint32_t add_interface(LinkType type, std::string_view name);
  // A packet in pieces, at a time in nanoseconds since 1970. `comment` is shown by tshark as frame.comment;
  // empty = none.
  bool packet(std::uint32_t interface, std::uint64_t unix_nsec, CaptureDirection direction,
              std::span<const Bytes> pieces, std::string_view comment = {});
  bool failed() const { return failed_; }

 private:
  void start_block(std::uint32_t type);
  void put_u16(std::uint16_t value);
  void put_u32(std::uint32_t value);
  void put_bytes(Bytes bytes);
  void pad();
  void put_option(std::uint16_t code, Bytes value);
  bool end_block();

  ByteSink& sink_;
  std::uint32_t snap_length_;
  std::uint32_t interfaces_ = 0;
  bool failed_ = false;
  std::vector<std::uint8_t> block_;  // the block being built; sized once for the longest
  std::size_t size_ = 0;             // of block_ in use
};

// Writes every frame that passes: on the way out when the inner device has taken it, on the way in before it
// is handed up. Super-segments and checksums yet to be completed are shown as they are, as tcpdump does on an
// interface with offloads.
class Capture final : public Device {
 public:
  // `writer` outlives the device. `epoch` is added to Instants to make them time since 1970.
  Capture(std::unique_ptr<Device> inner, PcapngWriter& writer, std::string_view name, Duration epoch);

  std::uint32_t mtu() const override { return inner_->mtu(); }
  MacAddress mac() const override { return inner_->mac(); }
  LinkType link_type() const override { return inner_->link_type(); }
  Offloads offloads() const override { return inner_->offloads(); }
  std::size_t room() const override { return inner_->room(); }
  std::size_t transmit(std::span<const OutgoingFrame> batch, Instant now) override;
  std::size_t receive(std::span<Frame> batch, FramePool& pool, Instant now) override;
  Instant next_timeout() const override { return inner_->next_timeout(); }
  int wait_descriptor() const override { return inner_->wait_descriptor(); }

  Device& inner() { return *inner_; }

 private:
  std::uint64_t unix_nsec(Instant now) const {
    return static_cast<std::uint64_t>((now.time_since_epoch() + epoch_).count());
  }

  std::unique_ptr<Device> inner_;
  PcapngWriter& writer_;
  Duration epoch_;
  std::uint32_t interface_;
};

}  // namespace tapir::link
