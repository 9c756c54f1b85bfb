// SPDX-License-Identifier: Apache-2.0
// What TAP and packet sockets have in common: a virtio_net_hdr before each frame, both ways; and a MAC of
// their own.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "frame/frame_pool.h"
#include "frame/outgoing_frame.h"
#include "link/device.h"
#include "trace/counters.h"
#include "wire/vnet_hdr.h"

namespace tapir::drivers {

// Frames of at most this many bytes are copied out of the 64 KiB buffer they were read into, into the class
// that fits, so that a queue of them costs what it holds; the large buffer, warm in the cache, takes the next
// frame. Larger ones stay where they are: true size is then at most four times the payload.
inline constexpr std::size_t kReceiveCopyMax = 16384;
// Bytes read at most for one frame: a 65,535-byte IP packet, its Ethernet header and a VLAN tag fit.
inline constexpr std::size_t kReceiveFrameMax = 65536 + 512;

// Frames that room() promises. The kernel's side takes frames as fast as we make the calls (each is delivered
// within write(2)), so this only bounds a turn's output.
inline constexpr std::size_t kTransmitRoom = 256;

// "02:…", locally administered, derived from `name` and `seed`: the same on every run of the same set-up, and
// not the MAC of the kernel's end.
link::MacAddress derive_mac(std::string_view name, std::uint64_t seed);

// The header that goes before `frame`: its checksum request, its gso.
wire::VnetHeader vnet_header_of(const OutgoingFrame& frame);

// The pieces of one outgoing frame for writev/sendmsg: vnet header (of `vnet_size` bytes), header bytes,
// payload spans.
class OutgoingPieces {
 public:
  OutgoingPieces(const OutgoingFrame& frame, std::size_t vnet_size);
  iovec* pieces() { return pieces_.data(); }
  std::size_t count() const { return count_; }

 private:
  std::array<std::uint8_t, wire::kVnetHeaderLong> vnet_{};
  std::array<iovec, kOutgoingSpansMax + 2> pieces_;
  std::size_t count_ = 0;
};

// Reads frames one after the other into a pooled 64 KiB buffer and hands them out in the class that fits.
// Lives for one receive() call, so that no frame outlives a device's stack.
class VnetReceiver {
 public:
  VnetReceiver(FramePool& pool, std::size_t vnet_size, trace::Counters* counters, Instant now,
               link::LinkType type = link::LinkType::kEthernet)
      : pool_(pool),
        vnet_size_(vnet_size),
        link_header_(type == link::LinkType::kEthernet ? kEthernetHeader : 0),
        counters_(counters),
        now_(now) {}

  // Where to read the next one: two pieces, vnet header and frame. Null when the pool answers none.
  iovec* buffers();
  // `size` bytes (vnet header included) were read into buffers(): the frame, stamped, or nothing when its
  // header lies (counted as kVnetHdr) or it is shorter than an Ethernet header (kPktTooSmall).
  std::optional<Frame> take(std::size_t size);

 private:
  std::optional<Frame> refuse(trace::DropReason reason);

  static constexpr std::size_t kEthernetHeader = 14;

  FramePool& pool_;
  std::size_t vnet_size_;
  std::size_t link_header_;  // bytes before the IP header
  trace::Counters* counters_;
  Instant now_;
  Frame large_;
  std::array<std::uint8_t, wire::kVnetHeaderLong> vnet_{};
  std::array<iovec, 2> pieces_;
};

}  // namespace tapir::drivers
