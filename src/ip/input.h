// SPDX-License-Identifier: Apache-2.0
// IPv4 input: every check of RFC 1122 §3.2.1 and of Linux's ip_rcv and ip_route_input, then reassembly.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>

#include "base/time.h"
#include "frame/frame.h"
#include "frame/frame_pool.h"
#include "ip/datagram.h"
#include "ip/fragments.h"
#include "ip/groups.h"
#include "ip/icmp_error.h"
#include "ip/interfaces.h"
#include "ip/knobs.h"
#include "ip/routes.h"
#include "trace/counters.h"
#include "trace/drop_reason.h"
#include "trace/record.h"

namespace tapir::ip {

// Why a frame became no datagram.
struct Rejected {
  bool forward = false;        // not dropped: `frame` is for another host, and forwarding is on
  bool held = false;           // not dropped: a fragment that waits for the others
  trace::DropReason reason{};  // when not held
  std::optional<IcmpErrorSpec>
      error;    // what to tell the sender (the hub gives it to Icmp::build_error), quoting …
  Frame frame;  // … the packet from its IP header; empty when there is no error to send, nor anything to
                // forward
};

class Ipv4Input {
 public:
  Ipv4Input(const Interfaces& interfaces, const Routes& routes, const Groups& groups, Fragments& fragments,
            const Knobs& knobs, trace::Counters& counters, trace::Tracer& tracer)
      : interfaces_(interfaces),
        routes_(routes),
        groups_(groups),
        fragments_(fragments),
        knobs_(knobs),
        counters_(counters),
        tracer_(tracer) {}

  // `frame` begins at the IPv4 header (the link header trimmed); meta().interface says where it arrived.
  // Counts IpInReceives and what goes wrong; IpInDelivers and IpInUnknownProtos are the hub's, who knows the
  // protocols. A packet for another host is dropped, or handed back whole to be forwarded
  // (Rejected::forward).
  std::expected<Datagram, Rejected> input(Frame frame, LinkDestination link_destination, Instant now);

 private:
  bool comes_the_right_way(const IpAddress& source, InterfaceId arrived_on) const;
  trace::DropReason check_destination(const wire::Ipv4Header& header, AddressKind destination,
                                      InterfaceId arrived_on, bool from_wire) const;
  std::unexpected<Rejected> drop(const Frame& frame, trace::DropReason reason, Instant now);

  const Interfaces& interfaces_;
  const Routes& routes_;
  const Groups& groups_;
  Fragments& fragments_;
  const Knobs& knobs_;
  trace::Counters& counters_;
  trace::Tracer& tracer_;
};

}  // namespace tapir::ip
