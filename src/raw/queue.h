// SPDX-License-Identifier: Apache-2.0
// What waits for a program to read it: whole packets with what is to be said of each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/time.h"
#include "frame/frame.h"
#include "frame/frame_pool.h"
#include "inet/ip_address.h"
#include "inet/protocol.h"
#include "trace/drop_reason.h"

namespace tapir::raw {

// net.core.rmem_default: true size of what one receive queue holds.
inline constexpr std::size_t kReceiveBufferDefault = 212992;

// To whom a frame was addressed, with the numbers of sockaddr_ll's sll_pkttype.
enum class PacketType : std::uint8_t {
  kHost = 0,
  kBroadcast = 1,
  kMulticast = 2,
  kOtherHost = 3,
  kOutgoing = 4
};

// Stands in front of every queued packet, in the same buffer.
struct Stored {
  IpAddress source;       // RAW and ping sockets
  IpAddress destination;  // RAW and ping sockets
  InterfaceId interface = kNoInterface;
  std::uint16_t ethertype = 0;                 // packet sockets
  PacketType packet_type = PacketType::kHost;  // packet sockets
  std::uint8_t hardware_size = 0;              // bytes of `hardware`
  std::uint8_t tos = 0;                        // RAW and ping sockets
  std::uint8_t hop_limit = 0;                  // RAW and ping sockets
  bool checksum_pending = false;               // packet sockets: left to a device (TP_STATUS_CSUMNOTREADY)
  bool checksum_verified = false;              // packet sockets: known to be right (TP_STATUS_CSUM_VALID)
  bool tagged = false;               // packet sockets: the frame had an 802.1Q tag, which was taken out:
  std::uint16_t vlan = 0;            // packet sockets: its priority and number
  std::uint16_t network_offset = 0;  // packet sockets: where the network header begins in the payload
  std::array<std::uint8_t, 8> hardware{};  // packet sockets: the sender's link address
};

// A packet as its reader sees it.
struct Received {
  Stored about;
  Instant received_at{};
  Bytes payload;  // peek(): valid until the next call for this queue; take(): of `frame`
  Frame frame;    // take() only
};

// First in, first out; bounded by the true size of what it holds.
class ReceiveQueue {
 public:
  std::size_t limit = kReceiveBufferDefault;  // SO_RCVBUF as Linux counts: bytes of true size

  bool empty() const { return frames_.empty(); }
  std::size_t count() const { return frames_.count(); }
  std::size_t true_size() const { return frames_.true_size(); }
  std::uint64_t drops() const { return drops_; }        // packets that found it full
  std::uint64_t arrivals() const { return arrivals_; }  // packets that were for it, taken or not
  // Bytes of the first packet (FIONREAD), 0 without one.
  std::size_t first_size() const;

  // Appends `packet`, which is its own (a copy); why not, if there was no room. An empty queue takes one of
  // any size, as Linux's __sock_queue_rcv_skb.
  std::optional<trace::DropReason> push(const Stored& about, Frame packet);
  // As push(), of a packet for which there was no memory.
  trace::DropReason refuse(trace::DropReason reason);
  std::optional<Received> peek() const;
  std::optional<Received> take();

 private:
  FrameQueue frames_;  // each: a Stored, then the packet
  std::uint64_t drops_ = 0;
  std::uint64_t arrivals_ = 0;
};

}  // namespace tapir::raw
