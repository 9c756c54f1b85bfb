// SPDX-License-Identifier: Apache-2.0
#include "ip/icmp.h"

#include <algorithm>
#include <utility>

#include "ip/events.h"
#include "wire/checksum.h"
#include "wire/ipv4.h"

namespace tapir::ip {
namespace {

using trace::Counter;
using trace::DropReason;
using wire::IcmpType;

// Linux's NR_ICMP_TYPES and NR_ICMP_UNREACH: what is above is unknown.
constexpr std::uint8_t kTypeMax = 18;
constexpr std::uint8_t kUnreachableCodeMax = 15;
constexpr std::uint8_t kRedirectCodeMax = 3;
// DSCP bits that an error keeps (IPTOS_TOS_MASK without ECN), and the precedence it gets (RFC 1812 §4.3.2.5).
constexpr std::uint8_t kTosKept = 0x1c;
constexpr std::uint8_t kInternetControl = 0xc0;

void count_in(trace::Counters& counters, IcmpType type) {
  switch (type) {
    case IcmpType::kEchoReply:
      counters.add(Counter::kIcmpInEchoReps);
      return counters.add(Counter::kIcmpMsgInType0);
    case IcmpType::kUnreachable:
      counters.add(Counter::kIcmpInDestUnreachs);
      return counters.add(Counter::kIcmpMsgInType3);
    case IcmpType::kSourceQuench:
      counters.add(Counter::kIcmpInSrcQuenchs);
      return counters.add(Counter::kIcmpMsgInType4);
    case IcmpType::kRedirect:
      counters.add(Counter::kIcmpInRedirects);
      return counters.add(Counter::kIcmpMsgInType5);
    case IcmpType::kEcho:
      counters.add(Counter::kIcmpInEchos);
      return counters.add(Counter::kIcmpMsgInType8);
    case IcmpType::kTimeExceeded:
      counters.add(Counter::kIcmpInTimeExcds);
      return counters.add(Counter::kIcmpMsgInType11);
    case IcmpType::kParameterProblem:
      counters.add(Counter::kIcmpInParmProbs);
      return counters.add(Counter::kIcmpMsgInType12);
    case IcmpType::kTimestamp:
      counters.add(Counter::kIcmpInTimestamps);
      return counters.add(Counter::kIcmpMsgInType13);
    case IcmpType::kTimestampReply:
      return counters.add(Counter::kIcmpInTimestampReps);
    case IcmpType::kAddressMask:
      return counters.add(Counter::kIcmpInAddrMasks);
    case IcmpType::kAddressMaskReply:
      return counters.add(Counter::kIcmpInAddrMaskReps);
    default:
      return;
  }
}

void count_out(trace::Counters& counters, IcmpType type) {
  counters.add(Counter::kIcmpOutMsgs);
  switch (type) {
    case IcmpType::kEchoReply:
      counters.add(Counter::kIcmpOutEchoReps);
      return counters.add(Counter::kIcmpMsgOutType0);
    case IcmpType::kUnreachable:
      counters.add(Counter::kIcmpOutDestUnreachs);
      return counters.add(Counter::kIcmpMsgOutType3);
    case IcmpType::kRedirect:
      return counters.add(Counter::kIcmpOutRedirects);
    case IcmpType::kTimeExceeded:
      counters.add(Counter::kIcmpOutTimeExcds);
      return counters.add(Counter::kIcmpMsgOutType11);
    case IcmpType::kParameterProblem:
      counters.add(Counter::kIcmpOutParmProbs);
      return counters.add(Counter::kIcmpMsgOutType12);
    default:
      return;
  }
}

DeliveryErrorKind unreachable_kind(std::uint8_t code) {
  switch (code) {
    case wire::kUnreachableNet:
    case wire::kUnreachableNetUnknown:
    case wire::kUnreachableNetTos:
      return DeliveryErrorKind::kNetUnreachable;
    case wire::kUnreachableProtocol:
      return DeliveryErrorKind::kProtocolUnreachable;
    case wire::kUnreachablePort:
      return DeliveryErrorKind::kPortUnreachable;
    case wire::kUnreachableFragNeeded:
      return DeliveryErrorKind::kFragmentationNeeded;
    case wire::kUnreachableSourceRoute:
      return DeliveryErrorKind::kSourceRouteFailed;
    case wire::kUnreachableNetProhibited:
    case wire::kUnreachableHostProhibited:
    case wire::kUnreachableAdminProhibited:
      return DeliveryErrorKind::kAdminProhibited;
    default:
      return DeliveryErrorKind::kHostUnreachable;
  }
}

std::optional<DeliveryErrorKind> kind_of(const wire::IcmpMessage& message) {
  switch (message.type) {
    case IcmpType::kUnreachable:
      if (message.code > kUnreachableCodeMax) return std::nullopt;
      return unreachable_kind(message.code);
    case IcmpType::kTimeExceeded:
      return DeliveryErrorKind::kTimeExceeded;
    case IcmpType::kParameterProblem:
      return DeliveryErrorKind::kParameterProblem;
    default:
      return std::nullopt;
  }
}

// May the packet cause an error at all? RFC 1812 §4.3.2.7, RFC 1122 §3.2.2.
bool may_be_answered(const wire::Ipv4Header& header, Bytes packet, const Interfaces& interfaces,
                     LinkDestination link_destination, InterfaceId arrived_on) {
  if (link_destination != LinkDestination::kHost) return false;
  if (header.fragment_offset != 0) return false;
  const AddressKind destination = interfaces.classify(header.dst, arrived_on);
  if (destination == AddressKind::kBroadcast || destination == AddressKind::kMulticast) return false;
  const AddressKind source = interfaces.classify(header.src);
  if (source != AddressKind::kElsewhere && source != AddressKind::kLocal) return false;
  if (header.protocol != IpProtocol::kIcmp) return true;
  // Only queries of a known type; a type that is not there cannot be told from an error.
  if (packet.size() <= header.header_length) return false;
  wire::IcmpMessage quoted;
  quoted.type = static_cast<IcmpType>(packet[header.header_length]);
  return packet[header.header_length] <= kTypeMax && !quoted.is_error();
}

}  // namespace

void IcmpRateLimit::refill(Instant now) {
  if (!started_) {
    started_ = true;
    stamp_ = now;
    credit_ = knobs_.icmp_msgs_burst;
  }
  const Duration passed = std::min<Duration>(now - stamp_, 1s);
  // Linux looks every 20 ms: less would round small rates down to nothing.
  if (passed >= 20ms) {
    const std::uint64_t earned =
        static_cast<std::uint64_t>(passed.count()) * knobs_.icmp_msgs_per_sec / 1'000'000'000;
    if (earned != 0) {
      credit_ += earned;
      stamp_ = now;
    }
  }
  credit_ = std::min<std::uint64_t>(credit_, knobs_.icmp_msgs_burst);
}

bool IcmpRateLimit::take_from(const IpAddress& destination, Instant now) {
  if (knobs_.icmp_ratelimit_ms == 0) return true;
  if (buckets_.empty()) buckets_.resize(kSets * kWays);
  const std::uint64_t cost = knobs_.icmp_ratelimit_ms;
  const auto first =
      buckets_.begin() + static_cast<std::ptrdiff_t>(siphash_1_3(key_, destination.bytes()) % kSets * kWays);
  auto bucket = std::find_if(first, first + kWays,
                             [&](const Bucket& b) { return b.used && b.destination == destination; });
  if (bucket == first + kWays) {
    bucket = std::min_element(first, first + kWays, [](const Bucket& a, const Bucket& b) {
      if (a.used != b.used) return !a.used;
      return a.stamp < b.stamp;
    });
    *bucket = {destination, kBurstFactor * cost, now, true};
  }
  // Whole milliseconds are earned; the rest stays for the next time.
  const std::uint64_t earned = now > bucket->stamp ? to_msec(now - bucket->stamp) : 0;
  bucket->tokens_ms = std::min(bucket->tokens_ms + earned, kBurstFactor * cost);
  bucket->stamp += std::chrono::milliseconds(earned);
  if (bucket->tokens_ms < cost) return false;
  bucket->tokens_ms -= cost;
  return true;
}

IcmpRateLimit::Verdict IcmpRateLimit::ask(const IpAddress& destination, Instant now) {
  refill(now);
  if (credit_ == 0) return Verdict::kOverGlobal;
  if (!take_from(destination, now)) return Verdict::kOverDestination;
  credit_ -= std::min<std::uint64_t>(credit_, rng_.below(3));
  return Verdict::kAllowed;
}

Icmp::Icmp(const Interfaces& interfaces, const Routes& routes, FramePool& pool, SipKey key, Rng rng,
           const Knobs& knobs, trace::Counters& counters, trace::Tracer& tracer)
    : interfaces_(interfaces),
      routes_(routes),
      pool_(pool),
      knobs_(knobs),
      counters_(counters),
      tracer_(tracer),
      limit_(key, rng, knobs) {}

IcmpOutcome Icmp::input(const Datagram& datagram, Instant now) {
  counters_.add(Counter::kIcmpInMsgs);
  const auto dropped = [&](DropReason reason) {
    counters_.drop(reason);
    tracer_.emit(now, Event::kDropped, datagram.interface, static_cast<std::uint64_t>(reason),
                 trace_word(datagram.source), trace_word(datagram.destination));
    IcmpOutcome outcome;
    outcome.dropped = reason;
    return outcome;
  };
  const auto message = wire::parse_icmp(datagram.frame.bytes());
  if (!message) {
    counters_.add(Counter::kIcmpInErrors);
    return dropped(DropReason::kIcmpInvalid);
  }
  if (wire::internet_checksum(datagram.frame.bytes()) != 0) {
    counters_.add(Counter::kIcmpInErrors);
    counters_.add(Counter::kIcmpInCsumErrors);
    return dropped(DropReason::kIcmpCsum);
  }
  if (static_cast<std::uint8_t>(message->type) > kTypeMax) {
    counters_.add(Counter::kIcmpInErrors);
    return dropped(DropReason::kIcmpType);
  }
  count_in(counters_, message->type);
  tracer_.emit(now, Event::kIcmpReceived, datagram.interface, trace_word(datagram.source),
               static_cast<std::uint64_t>(message->type), message->code);

  const bool group = datagram.destination_kind != AddressKind::kLocal;
  IcmpOutcome outcome;
  switch (message->type) {
    case IcmpType::kEcho:
      if (knobs_.icmp_echo_ignore_all || (group && knobs_.icmp_echo_ignore_broadcasts))
        return dropped(DropReason::kIcmpEchoIgnored);
      outcome.reply = echo_reply(datagram, now);
      if (!outcome.reply) return dropped(DropReason::kMemory);
      return outcome;
    case IcmpType::kEchoReply:
      outcome.for_sockets = true;
      return outcome;
    case IcmpType::kUnreachable:
    case IcmpType::kTimeExceeded:
    case IcmpType::kParameterProblem: {
      if (!kind_of(*message)) return dropped(DropReason::kIcmpType);
      auto error = delivery_error(datagram, *message, *kind_of(*message));
      if (!error) {
        if (error.error() == DropReason::kIcmpInvalid) counters_.add(Counter::kIcmpInErrors);
        return dropped(error.error());
      }
      outcome.error = *error;
      return outcome;
    }
    case IcmpType::kRedirect: {
      // RFC 792 has codes 0 to 3; those of nets are taken as of hosts (RFC 1122 §3.2.2.2).
      if (message->code > kRedirectCodeMax) return dropped(DropReason::kIcmpType);
      auto flow = delivery_error(datagram, *message, DeliveryErrorKind::kHostUnreachable);
      if (!flow) {
        if (flow.error() == DropReason::kIcmpInvalid) counters_.add(Counter::kIcmpInErrors);
        return dropped(flow.error());
      }
      outcome.redirect =
          RedirectReceived{flow->quoted.remote.address, message->gateway(), datagram.source, *flow};
      return outcome;
    }
    default:
      // Source quench (RFC 6633), router discovery, timestamps, masks: not answered, not obeyed.
      return dropped(DropReason::kIcmpType);
  }
}

std::optional<Reply> Icmp::echo_reply(const Datagram& datagram, Instant now) {
  RouteQuery query;
  query.destination = datagram.source;
  if (datagram.destination_kind == AddressKind::kLocal) query.source = datagram.destination;
  const auto path = routes_.resolve(query, now);
  if (!path) return std::nullopt;
  Reply reply;
  reply.frame = pool_.copy(datagram.frame.bytes());
  if (!reply.frame) return std::nullopt;
  const MutableBytes bytes = reply.frame.mutable_bytes();
  const auto before = load_be<std::uint16_t>(bytes, 0);
  bytes[0] = static_cast<std::uint8_t>(IcmpType::kEchoReply);
  bytes[1] = 0;
  store_be<std::uint16_t>(bytes, 2, wire::update_checksum16(load_be<std::uint16_t>(bytes, 2), before, 0));
  reply.path = *path;
  reply.fields.protocol = IpProtocol::kIcmp;
  reply.fields.tos = datagram.tos;
  reply.fields.discovery = PathMtuDiscovery::kDont;
  reply.ecn = datagram.ecn();
  count_out(counters_, IcmpType::kEchoReply);
  tracer_.emit(now, Event::kIcmpSent, path->interface, trace_word(path->destination), 0, 0);
  return reply;
}

std::expected<DeliveryError, DropReason> Icmp::delivery_error(const Datagram& datagram,
                                                              const wire::IcmpMessage& message,
                                                              DeliveryErrorKind kind) const {
  const auto quoted = wire::parse_ipv4(message.payload);
  if (!quoted || message.payload.size() < quoted->header_length + kQuoteMin)
    return std::unexpected(DropReason::kIcmpInvalid);
  if (quoted->fragment_offset != 0) return std::unexpected(DropReason::kIcmpInvalid);  // no ports to see
  if (interfaces_.classify(quoted->src) != AddressKind::kLocal)
    return std::unexpected(DropReason::kIcmpNoFlow);
  if (interfaces_.classify(quoted->dst) == AddressKind::kBroadcast)
    return std::unexpected(DropReason::kIcmpNoFlow);
  const Bytes transport = message.payload.subspan(quoted->header_length);

  DeliveryError error;
  error.kind = kind;
  error.icmp_type = static_cast<std::uint8_t>(message.type);
  error.icmp_code = message.code;
  error.from_icmp = true;
  error.reporter = datagram.source;
  if (error.kind == DeliveryErrorKind::kFragmentationNeeded) error.mtu = message.mtu();
  error.protocol = quoted->protocol;
  error.quoted.local.address = quoted->src;
  error.quoted.remote.address = quoted->dst;
  if (quoted->protocol == IpProtocol::kTcp || quoted->protocol == IpProtocol::kUdp) {
    error.quoted.local.port = load_be<std::uint16_t>(transport, 0);
    error.quoted.remote.port = load_be<std::uint16_t>(transport, 2);
  }
  error.packet = message.payload;
  error.payload = quoted->protocol == IpProtocol::kUdp
                      ? transport.subspan(std::min<std::size_t>(transport.size(), 8))
                      : transport;
  // The identifier is what an echo has for a port.
  if (quoted->protocol == IpProtocol::kIcmp && transport[0] == static_cast<std::uint8_t>(IcmpType::kEcho))
    error.quoted.local.port = load_be<std::uint16_t>(transport, 4);
  if (quoted->protocol == IpProtocol::kTcp) error.quoted_seq = SeqNum(load_be<std::uint32_t>(transport, 4));
  return error;
}

std::optional<Reply> Icmp::build_error(const IcmpErrorSpec& spec, Bytes packet,
                                       LinkDestination link_destination, InterfaceId arrived_on,
                                       Instant now) {
  const auto header = wire::parse_ipv4(packet);
  if (!header || !may_be_answered(*header, packet, interfaces_, link_destination, arrived_on))
    return std::nullopt;

  RouteQuery query;
  query.destination = header->src;
  const Interface* arrival = interfaces_.find(arrived_on);
  if (interfaces_.is_local_address(header->dst))
    query.source = header->dst;
  else if (knobs_.icmp_errors_use_inbound_ifaddr && arrival != nullptr)
    query.source = interfaces_.source_for(*arrival, header->src);
  const auto path = routes_.resolve(query, now);
  if (!path) {
    counters_.add(Counter::kIcmpOutErrors);
    return std::nullopt;
  }
  // Path MTU discovery is never limited, nor is what we say to ourselves (Linux's icmpv4_mask_allow,
  // icmpv4_xrlim_allow).
  const bool path_mtu = spec.type == IcmpType::kUnreachable && spec.code == wire::kUnreachableFragNeeded;
  const bool limited = (knobs_.icmp_ratemask >> static_cast<unsigned>(spec.type) & 1U) != 0;
  if (limited && !path_mtu && !path->local) {
    const auto verdict = limit_.ask(path->destination, now);
    if (verdict != IcmpRateLimit::Verdict::kAllowed) {
      counters_.add(verdict == IcmpRateLimit::Verdict::kOverGlobal ? Counter::kIcmpOutRateLimitGlobal
                                                                   : Counter::kIcmpOutRateLimitHost);
      counters_.drop(DropReason::kIcmpRateLimit);
      return std::nullopt;
    }
  }

  const std::size_t whole = std::min<std::size_t>(packet.size(), header->total_length);
  const std::size_t packet_max = std::clamp<std::size_t>(path->mtu, kErrorPacketMin, kErrorPacketMax);
  const std::size_t quote = std::min(whole, packet_max - wire::kIpv4HeaderMin - wire::kIcmpHeaderLength);
  Reply reply;
  reply.frame = pool_.allocate(wire::kIcmpHeaderLength + quote);
  if (!reply.frame) {
    counters_.add(Counter::kIcmpOutErrors);
    return std::nullopt;
  }
  wire::IcmpMessage message;
  message.type = spec.type;
  message.code = spec.code;
  message.rest = spec.rest;
  const MutableBytes bytes = reply.frame.mutable_bytes();
  wire::emit_icmp(message, bytes);
  std::copy_n(packet.begin(), quote, bytes.begin() + wire::kIcmpHeaderLength);
  wire::seal_icmp(bytes);
  reply.path = *path;
  reply.fields.protocol = IpProtocol::kIcmp;
  reply.fields.tos = static_cast<std::uint8_t>((header->tos & kTosKept) | kInternetControl);
  reply.fields.discovery = PathMtuDiscovery::kDont;
  count_out(counters_, spec.type);
  tracer_.emit(now, Event::kIcmpSent, path->interface, trace_word(path->destination),
               static_cast<std::uint64_t>(spec.type), spec.code);
  return reply;
}

}  // namespace tapir::ip
