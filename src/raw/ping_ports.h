// SPDX-License-Identifier: Apache-2.0
// Ping sockets' ports (SOCK_DGRAM, IPPROTO_ICMP): the echo identifier is the port number, so that a program
// may ping without seeing, or forging, others' ICMP (Linux's net/ipv4/ping.c).
#pragma once

#include <cstdint>
#include <optional>

#include "base/charge_hook.h"
#include "base/keyed_table.h"
#include "base/rng.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "frame/error_queue.h"
#include "frame/frame_pool.h"
#include "inet/delivery_error.h"
#include "raw/queue.h"
#include "raw/raw_ports.h"
#include "raw/touched.h"
#include "trace/counters.h"
#include "trace/record.h"

namespace tapir::raw {

// Identifiers are 16 bits, and 0 is none.
inline constexpr std::uint32_t kPingPortsMax = 65535;

struct PingPort {
  IpAddress local = IpAddress::any_v4();
  IpAddress remote = IpAddress::any_v4();  // where connect() goes; does not filter, as in Linux
  std::uint16_t remote_port = 0;           // of connect(); means nothing on the wire
  InterfaceId interface = kNoInterface;
  bool receive_errors = false;
  bool reuse_address = false;  // SO_REUSEADDR: all who set it may share an identifier
  std::uint32_t owner = 0;

  std::uint16_t identifier() const { return identifier_; }
  bool connected() const { return !remote.is_unspecified(); }

  GroupMemberships groups;
  ReceiveQueue queue;  // ICMP messages without the IP header
  std::optional<DeliveryError> error;
  ErrorQueue errors;  // with receive_errors: each, as it came

 private:
  friend class PingPorts;
  std::uint16_t identifier_ = 0;  // 0: not bound
};
using PingHandle = Handle<PingPort>;

class PingPorts {
 public:
  PingPorts(FramePool& pool, SipKey key, Rng rng, ChargeHook hook, trace::Counters& counters,
            trace::Tracer& tracer)
      : pool_(pool),
        key_(key),
        rng_(rng),
        counters_(counters),
        tracer_(tracer),
        ports_(kPingPortsMax, hook),
        table_(kPingPortsMax, hook) {}

  PingHandle open() { return ports_.emplace(); }
  void close(PingHandle port);
  PingPort* get(PingHandle port) { return ports_.get(port); }
  const PingPort* get(PingHandle port) const { return ports_.get(port); }
  std::uint32_t size() const { return ports_.size(); }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    ports_.for_each([&](const PingPort& port) { visit(port); });
  }

  // Takes an identifier; 0: chooses a random free one. False when it is in use, or none is left.
  bool bind(PingHandle port, std::uint16_t identifier);
  void unbind(PingHandle port);

  // An echo reply arrived: `message` is the ICMP message. Every port that has its identifier (and address,
  // and interface) gets it. True when there was one.
  bool deliver(const RawArrival& arrival, Bytes message, Instant received_at);
  // An error about an echo request with the identifier `error.quoted.local.port` (Linux's ping_err).
  bool on_error(const DeliveryError& error);

  TouchedPorts<PingPort> touched;

 private:
  static constexpr int kTriesMax = 65536;  // identifiers looked at for a free one: all of them
  std::uint64_t hash_of(std::uint16_t identifier) const;
  template <typename Visit>
  void for_each_of(std::uint16_t identifier, Visit&& visit);
  bool free_for(const PingPort& port, std::uint16_t identifier);

  FramePool& pool_;
  SipKey key_;
  Rng rng_;
  trace::Counters& counters_;
  trace::Tracer& tracer_;
  Slab<PingPort> ports_;
  KeyedTable<> table_;  // by identifier
};

}  // namespace tapir::raw
