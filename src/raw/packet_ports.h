// SPDX-License-Identifier: Apache-2.0
// Packet sockets' ports (AF_PACKET): frames as they cross the link, in and out (Linux's
// net/packet/af_packet.c).
#pragma once

#include <cstdint>
#include <optional>

#include "base/charge_hook.h"
#include "base/intrusive_list.h"
#include "base/slab.h"
#include "frame/frame_pool.h"
#include "frame/outgoing_frame.h"
#include "raw/queue.h"
#include "raw/touched.h"
#include "trace/counters.h"
#include "trace/record.h"

namespace tapir::raw {

// Packet ports of one stack, and copies of one frame: each costs one.
inline constexpr std::uint32_t kPacketPortsMax = 256;
// ETH_P_ALL: every protocol, and what we send ourselves.
inline constexpr std::uint16_t kEveryProtocol = 3;

struct PacketPort : ListLink<> {
  // ---- the owner sets ----
  std::uint16_t protocol = 0;            // EtherType, kEveryProtocol, or 0: nothing arrives
  InterfaceId interface = kNoInterface;  // kNoInterface: all
  bool cooked = false;                   // SOCK_DGRAM: without the link header
  bool ignore_outgoing = false;          // PACKET_IGNORE_OUTGOING
  std::uint32_t owner = 0;

  ReceiveQueue queue;
};
using PacketHandle = Handle<PacketPort>;

// What the link says of a frame.
struct FrameArrival {
  InterfaceId interface = kNoInterface;
  std::uint16_t ethertype = 0;
  PacketType type = PacketType::kHost;
  std::size_t header_size = 0;  // bytes of the link header at the frame's front
  // Linux shows an Ethernet header of zeros on loopback, where our frames have none: so many bytes stand
  // before the frame, with the EtherType in the last two. 0 elsewhere.
  std::size_t imagined_header = 0;
  std::uint8_t hardware_size = 0;
  std::array<std::uint8_t, 8> hardware{};
  bool checksum_pending = false;
  bool checksum_verified = false;
  // The frame's 802.1Q tag, which ports get beside the frame, as Linux takes it out before it shows it
  // (skb_vlan_untag).
  std::optional<std::uint16_t> vlan;
};

class PacketPorts {
 public:
  PacketPorts(FramePool& pool, ChargeHook hook, trace::Counters& counters, trace::Tracer& tracer)
      : pool_(pool), counters_(counters), tracer_(tracer), ports_(kPacketPortsMax, hook) {}
  ~PacketPorts() { list_.clear(); }
  PacketPorts(const PacketPorts&) = delete;
  PacketPorts& operator=(const PacketPorts&) = delete;

  PacketHandle open(std::uint16_t protocol, bool cooked);
  void close(PacketHandle port);
  PacketPort* get(PacketHandle port) { return ports_.get(port); }
  const PacketPort* get(PacketHandle port) const { return ports_.get(port); }
  std::uint32_t size() const { return ports_.size(); }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    ports_.for_each([&](const PacketPort& port) { visit(port); });
  }
  // Does anybody listen at all? Cheap, asked per frame.
  bool any() const { return !list_.empty(); }

  // A frame arrived. True when a port of its own EtherType took a copy (such a protocol is not unknown).
  bool deliver(const FrameArrival& arrival, Bytes frame, Instant now);
  // A frame leaves: ports of kEveryProtocol get a copy, but for `sender` (Linux's dev_queue_xmit_nit).
  void deliver_outgoing(const FrameArrival& about, const OutgoingFrame& frame, PacketHandle sender,
                        Instant now);

  TouchedPorts<PacketPort> touched;

 private:
  // Copies what `port` shall see of a frame that begins with `front`, all or the front of its `size` bytes:
  // `rest(out)` writes what follows it.
  template <typename Rest>
  void give(PacketPort& port, const FrameArrival& about, Bytes front, std::size_t size, Rest&& rest,
            Instant now);
  static bool wants(const PacketPort& port, const FrameArrival& about);

  FramePool& pool_;
  trace::Counters& counters_;
  trace::Tracer& tracer_;
  Slab<PacketPort> ports_;
  IntrusiveList<PacketPort> list_;  // in the order of opening
};

}  // namespace tapir::raw
