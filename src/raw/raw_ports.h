// SPDX-License-Identifier: Apache-2.0
// RAW sockets' ports: each matching one gets a copy of every IP datagram that is delivered here, header and
// all (Linux's net/ipv4/raw.c).
#pragma once

#include <cstdint>
#include <optional>

#include "base/charge_hook.h"
#include "base/intrusive_list.h"
#include "base/slab.h"
#include "frame/error_queue.h"
#include "frame/frame_pool.h"
#include "inet/delivery_error.h"
#include "inet/multicast.h"
#include "raw/queue.h"
#include "raw/touched.h"
#include "trace/counters.h"
#include "trace/record.h"

namespace tapir::raw {

// RAW ports of one stack, and copies of one packet: each costs one. Linux has no bound but memory.
inline constexpr std::uint32_t kRawPortsMax = 1024;

struct RawPort : ListLink<> {
  // ---- the owner sets ----
  IpProtocol protocol = IpProtocol::kRaw;  // kRaw: sends only (nothing carries 255)
  IpAddress local = IpAddress::any_v4();   // only datagrams to it; unspecified: any
  IpAddress remote = IpAddress::any_v4();  // only datagrams from it; unspecified: any
  InterfaceId interface = kNoInterface;    // SO_BINDTODEVICE
  std::uint32_t icmp_filter = 0;           // ICMP_FILTER: bit n keeps out ICMP type n
  bool receive_errors = false;             // IP_RECVERR: soft errors count too, and unconnected
  bool quotes_header = false;              // IP_HDRINCL: errors quote its packets from the IP header on
  bool path_mtu_discovery = true;          // false (IP_PMTUDISC_DONT): "fragmentation needed" is no error
  std::uint32_t owner = 0;                 // the owner's own name for it
  GroupMemberships groups;                 // IP_ADD_MEMBERSHIP …

  ReceiveQueue queue;
  std::optional<DeliveryError> error;  // pending (SO_ERROR)
  ErrorQueue errors;                   // with receive_errors: each, as it came

  bool connected() const { return !remote.is_unspecified(); }
};
using RawHandle = Handle<RawPort>;

// What IP says of a datagram.
struct RawArrival {
  IpAddress source;
  IpAddress destination;
  IpProtocol protocol = IpProtocol::kRaw;
  InterfaceId interface = kNoInterface;
  std::uint8_t tos = 0;
  std::uint8_t hop_limit = 0;
};

class RawPorts {
 public:
  RawPorts(FramePool& pool, ChargeHook hook, trace::Counters& counters, trace::Tracer& tracer)
      : pool_(pool), counters_(counters), tracer_(tracer), ports_(kRawPortsMax, hook) {}
  ~RawPorts() { list_.clear(); }
  RawPorts(const RawPorts&) = delete;
  RawPorts& operator=(const RawPorts&) = delete;

  // Null when there are kRawPortsMax, or no memory.
  RawHandle open(IpProtocol protocol);
  void close(RawHandle port);
  RawPort* get(RawHandle port) { return ports_.get(port); }
  const RawPort* get(RawHandle port) const { return ports_.get(port); }
  std::uint32_t size() const { return ports_.size(); }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    ports_.for_each([&](const RawPort& port) { visit(port); });
  }

  // Copies `packet` (from its IP header on; the payload begins at `header_size`) to every port it is for.
  // True when there was one, whether or not it had room: the protocol is known then (no ICMP error).
  bool deliver(const RawArrival& arrival, Bytes packet, std::size_t header_size, Instant received_at);
  // An ICMP error about what one of ours sent (Linux's raw_err). True when a port was concerned.
  bool on_error(const DeliveryError& error, InterfaceId arrived_on);

  TouchedPorts<RawPort> touched;

 private:
  static bool matches(const RawPort& port, const RawArrival& arrival);
  static bool filtered(const RawPort& port, Bytes payload);

  FramePool& pool_;
  trace::Counters& counters_;
  trace::Tracer& tracer_;
  Slab<RawPort> ports_;
  IntrusiveList<RawPort> list_;  // in the order of opening
};

}  // namespace tapir::raw
