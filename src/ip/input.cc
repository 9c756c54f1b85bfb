// SPDX-License-Identifier: Apache-2.0
#include "ip/input.h"

#include <utility>

#include "ip/events.h"
#include "wire/ipv4.h"

namespace tapir::ip {
namespace {

using trace::Counter;
using trace::DropReason;

void count_ecn(trace::Counters& counters, Ecn ecn) {
  switch (ecn) {
    case Ecn::kNotEct:
      return counters.add(Counter::kIpExtInNoECTPkts);
    case Ecn::kEct1:
      return counters.add(Counter::kIpExtInECT1Pkts);
    case Ecn::kEct0:
      return counters.add(Counter::kIpExtInECT0Pkts);
    case Ecn::kCe:
      return counters.add(Counter::kIpExtInCEPkts);
  }
}

struct OptionsProblem {
  DropReason reason;
  std::optional<std::uint8_t> pointer;  // for a parameter problem
};

// Record route and timestamp are checked and left as they are: we do not forward, and never echo options.
std::optional<OptionsProblem> check_options(Bytes options) {
  const auto malformed = [](std::size_t offset) {
    return OptionsProblem{DropReason::kIpOptions, static_cast<std::uint8_t>(wire::kIpv4HeaderMin + offset)};
  };
  wire::Ipv4OptionReader reader(options);
  while (const auto option = reader.next()) {
    switch (option->kind) {
      case wire::Ipv4OptionKind::kLooseSourceRoute:
      case wire::Ipv4OptionKind::kStrictSourceRoute:
        return OptionsProblem{DropReason::kIpSourceRoute, std::nullopt};
      case wire::Ipv4OptionKind::kRecordRoute:
        if (option->data.empty()) return malformed(option->offset + 1);
        if (option->data[0] < 4) return malformed(option->offset + 2);
        break;
      case wire::Ipv4OptionKind::kTimestamp:
        if (option->data.size() < 2) return malformed(option->offset + 1);
        if (option->data[0] < 5) return malformed(option->offset + 2);
        break;
      default:
        break;
    }
  }
  if (reader.malformed()) return malformed(reader.error_offset());
  return std::nullopt;
}

// RFC 1122 §3.2.1.3, RFC 1812 §5.3.7: what may not come from a wire as a source (Linux's martian_source).
DropReason check_source(const wire::Ipv4Header& header, AddressKind source, AddressKind destination) {
  switch (source) {
    case AddressKind::kElsewhere:
      return DropReason::kNone;
    case AddressKind::kUnspecified:
      // A host that looks for its address (BOOTP) has no other source, and says so to everybody.
      return header.dst.is_broadcast() ? DropReason::kNone : DropReason::kIpMartian;
    case AddressKind::kLocal:
      if (header.src.is_loopback()) return DropReason::kIpMartian;
      return header.src == header.dst && destination == AddressKind::kLocal ? DropReason::kIpLand
                                                                            : DropReason::kIpLocalSource;
    case AddressKind::kReserved:
      return header.src.v4_bits() >> 24 == 0 ? DropReason::kIpMartian : DropReason::kNone;
    case AddressKind::kBroadcast:
    case AddressKind::kMulticast:
      return DropReason::kIpMartian;
  }
  return DropReason::kIpMartian;
}

}  // namespace

DropReason Ipv4Input::check_destination(const wire::Ipv4Header& header, AddressKind destination,
                                        InterfaceId arrived_on, bool from_wire) const {
  switch (destination) {
    case AddressKind::kLocal:
      return from_wire && header.dst.is_loopback() ? DropReason::kIpMartian : DropReason::kNone;
    case AddressKind::kBroadcast:
      return DropReason::kNone;
    case AddressKind::kMulticast:
      return groups_.accepts(arrived_on, header.dst, header.src, header.protocol)
                 ? DropReason::kNone
                 : DropReason::kMulticastNotJoined;
    case AddressKind::kUnspecified:
      return DropReason::kIpMartian;
    case AddressKind::kReserved:
      return header.dst.v4_bits() >> 24 == 0 ? DropReason::kIpMartian : DropReason::kIpInAddrErrors;
    case AddressKind::kElsewhere:
      return from_wire && interfaces_.find(arrived_on)->conf.forwarding ? DropReason::kNone
                                                                        : DropReason::kIpInAddrErrors;
  }
  return DropReason::kIpInAddrErrors;
}

// RFC 3704: would an answer to `source` leave by the interface the packet came in on (strict), or at all
// (loose)? Linux's fib_validate_source.
bool Ipv4Input::comes_the_right_way(const IpAddress& source, InterfaceId arrived_on) const {
  const std::uint8_t filter = rp_filter(knobs_, interfaces_.find(arrived_on)->conf);
  if (filter == 0) return true;
  const Route* back = routes_.lookup(source, filter == 1 ? kNoInterface : arrived_on);
  if (back == nullptr && filter != 1) back = routes_.lookup(source);
  if (back == nullptr || back->kind != RouteKind::kUnicast) return false;
  return filter != 1 || back->interface == arrived_on;
}

std::unexpected<Rejected> Ipv4Input::drop(const Frame& frame, DropReason reason, Instant now) {
  counters_.drop(reason);
  std::uint64_t source = 0;
  std::uint64_t destination = 0;
  if (frame && frame.size() >= wire::kIpv4HeaderMin) {
    source = load_be<std::uint32_t>(frame.bytes(), 12);
    destination = load_be<std::uint32_t>(frame.bytes(), 16);
  }
  tracer_.emit(now, Event::kDropped, frame ? frame.meta().interface : 0, static_cast<std::uint64_t>(reason),
               source, destination);
  Rejected rejected;
  rejected.reason = reason;
  return std::unexpected(std::move(rejected));
}

std::expected<Datagram, Rejected> Ipv4Input::input(Frame frame, LinkDestination link_destination,
                                                   Instant now) {
  if (link_destination == LinkDestination::kOtherHost) return drop(frame, DropReason::kOtherHost, now);
  counters_.add(Counter::kIpInReceives);
  const InterfaceId arrived_on = frame.meta().interface;
  const Interface* interface = interfaces_.find(arrived_on);
  if (interface == nullptr || !interface->up) {
    counters_.add(Counter::kIpInDiscards);
    return drop(frame, DropReason::kDevReady, now);
  }

  // The header (Linux's ip_rcv_core).
  std::optional<wire::Ipv4Header> header = wire::parse_ipv4(frame.bytes());
  if (!header) {
    counters_.add(Counter::kIpInHdrErrors);
    return drop(frame, DropReason::kIpInHdr, now);
  }
  if (!wire::verify_ipv4_checksum(frame.bytes().first(header->header_length))) {
    counters_.add(Counter::kIpInHdrErrors);
    counters_.add(Counter::kIpExtInCsumErrors);
    return drop(frame, DropReason::kIpCsum, now);
  }
  if (header->total_length > frame.size()) {
    counters_.add(Counter::kIpExtInTruncatedPkts);
    return drop(frame, DropReason::kPktTooSmall, now);
  }
  frame.trim_back(frame.size() - header->total_length);  // Ethernet pads to 60 bytes
  counters_.add(Counter::kIpExtInOctets, frame.size());
  count_ecn(counters_, header->ecn());

  // Who to, who from (Linux's ip_route_input_slow).
  const bool from_wire =
      interface->kind != LinkKind::kLoopback && link_destination != LinkDestination::kLooped;
  const AddressKind destination = interfaces_.classify(header->dst, arrived_on);
  if (from_wire) {
    const AddressKind source = interfaces_.classify(header->src);
    const DropReason martian = check_source(*header, source, destination);
    if (martian != DropReason::kNone) {
      counters_.add(Counter::kIpInAddrErrors);
      return drop(frame, martian, now);
    }
    if (source == AddressKind::kElsewhere && !comes_the_right_way(header->src, arrived_on)) {
      counters_.add(Counter::kTcpExtIPReversePathFilter);
      return drop(frame, DropReason::kIpRpFilter, now);
    }
  }
  const DropReason misdirected = check_destination(*header, destination, arrived_on, from_wire);
  if (misdirected != DropReason::kNone) {
    counters_.add(misdirected == DropReason::kIpMartian ? Counter::kIpInHdrErrors : Counter::kIpInAddrErrors);
    return drop(frame, misdirected, now);
  }
  if (destination == AddressKind::kMulticast) {
    counters_.add(Counter::kIpExtInMcastPkts);
    counters_.add(Counter::kIpExtInMcastOctets, frame.size());
  } else if (destination == AddressKind::kBroadcast) {
    counters_.add(Counter::kIpExtInBcastPkts);
    counters_.add(Counter::kIpExtInBcastOctets, frame.size());
  }

  if (!header->options.empty()) {
    if (const auto problem = check_options(header->options)) {
      counters_.add(problem->reason == DropReason::kIpOptions ? Counter::kIpInHdrErrors
                                                              : Counter::kIpInDiscards);
      auto rejected = drop(frame, problem->reason, now);
      if (problem->pointer) {
        rejected.error().error = IcmpErrorSpec::parameter_problem(*problem->pointer);
        rejected.error().frame = std::move(frame);
      }
      return rejected;
    }
  }

  if (destination == AddressKind::kElsewhere) {
    Rejected onward;
    onward.forward = true;
    onward.frame = std::move(frame);
    return std::unexpected(std::move(onward));
  }

  bool reassembled = false;
  if (header->is_fragment()) {
    const std::uint64_t source = trace_word(header->src);
    const std::uint64_t to = trace_word(header->dst);
    const std::uint16_t id = header->id;
    auto whole = fragments_.add(*header, std::move(frame), now);
    if (!whole) {
      if (!whole.error().held) {
        counters_.drop(whole.error().reason);
        tracer_.emit(now, Event::kDropped, arrived_on, static_cast<std::uint64_t>(whole.error().reason),
                     source, to);
      } else {
        tracer_.emit(now, Event::kFragmentHeld, arrived_on, source, to, id, header->fragment_offset);
      }
      Rejected rejected;
      rejected.held = whole.error().held;
      rejected.reason = whole.error().reason;
      return std::unexpected(std::move(rejected));
    }
    frame = std::move(*whole);
    frame.meta().interface = arrived_on;
    reassembled = true;
    header = wire::parse_ipv4(frame.bytes());
    TAPIR_INVARIANT(header.has_value(), "reassembly makes whole headers");
    tracer_.emit(now, Event::kReassembled, arrived_on, source, to, id, header->payload_length());
  }

  tracer_.emit(now, Event::kReceived, arrived_on, trace_word(header->src), trace_word(header->dst),
               static_cast<std::uint64_t>(header->protocol), header->payload_length());
  Datagram datagram;
  datagram.source = header->src;
  datagram.destination = header->dst;
  datagram.protocol = header->protocol;
  datagram.destination_kind = destination;
  datagram.link_destination = link_destination;
  datagram.tos = header->tos;
  datagram.hop_limit = header->ttl;
  datagram.id = header->id;
  datagram.header_size = header->header_length;
  datagram.dont_fragment = header->dont_fragment;
  datagram.reassembled = reassembled;
  datagram.interface = arrived_on;
  datagram.network_headroom = static_cast<std::uint32_t>(frame.headroom());
  frame.trim_front(header->header_length);
  datagram.frame = std::move(frame);
  return datagram;
}

}  // namespace tapir::ip
