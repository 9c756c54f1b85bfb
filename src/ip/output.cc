// SPDX-License-Identifier: Apache-2.0
#include "ip/output.h"

#include <algorithm>

#include "inet/flow_hash.h"
#include "wire/checksum.h"
#include "wire/ipv4.h"

namespace tapir::ip {
namespace {

using trace::Counter;

// Bytes of a TCP or UDP header that hold the ports, and TCP's sequence number.
constexpr std::size_t kPortsEnd = 4;
constexpr std::size_t kSeqEnd = 8;

DeliveryError too_big(const OutgoingFrame& packet, const Path& path, IpProtocol protocol, std::uint32_t mtu) {
  DeliveryError error;
  error.kind = DeliveryErrorKind::kFragmentationNeeded;
  error.reporter = path.source;
  error.mtu = mtu;
  error.protocol = protocol;
  error.quoted.local.address = path.source;
  error.quoted.remote.address = path.destination;
  const bool has_ports = protocol == IpProtocol::kTcp || protocol == IpProtocol::kUdp;
  if (has_ports && packet.header().size() >= kPortsEnd) {
    error.quoted.local.port = load_be<std::uint16_t>(packet.header(), 0);
    error.quoted.remote.port = load_be<std::uint16_t>(packet.header(), 2);
  }
  if (protocol == IpProtocol::kTcp && packet.header().size() >= kSeqEnd)
    error.quoted_seq = SeqNum(load_be<std::uint32_t>(packet.header(), 4));
  return error;
}

// Linux's ip_dont_fragment and the rules of ip_append_data.
bool wants_df(PathMtuDiscovery discovery, const Path& path, const Knobs& knobs) {
  switch (discovery) {
    case PathMtuDiscovery::kDo:
    case PathMtuDiscovery::kProbe:
      return true;
    case PathMtuDiscovery::kWant:
      return !path.mtu_locked && !knobs.ip_no_pmtu_disc;
    case PathMtuDiscovery::kDont:
    case PathMtuDiscovery::kInterface:
    case PathMtuDiscovery::kOmit:
      return false;
  }
  return false;
}

bool may_be_cut(const Ipv4Fields& fields, bool df) {
  switch (fields.discovery) {
    case PathMtuDiscovery::kDo:
    case PathMtuDiscovery::kProbe:
    case PathMtuDiscovery::kInterface:
      return false;
    case PathMtuDiscovery::kWant:
      return fields.may_fragment || !df;
    case PathMtuDiscovery::kDont:
    case PathMtuDiscovery::kOmit:
      return true;
  }
  return false;
}

}  // namespace

Ipv4Output::Ipv4Output(SipKey key, Rng rng, const Knobs& knobs, trace::Counters& counters)
    : key_(key), rng_(rng), knobs_(knobs), counters_(counters) {}

std::uint32_t Ipv4Output::limit(const Path& path, PathMtuDiscovery discovery) {
  switch (discovery) {
    case PathMtuDiscovery::kProbe:
    case PathMtuDiscovery::kInterface:
    case PathMtuDiscovery::kOmit:
      return path.interface_mtu;
    case PathMtuDiscovery::kDont:
    case PathMtuDiscovery::kWant:
    case PathMtuDiscovery::kDo:
      break;
  }
  return path.mtu;
}

std::expected<OutputVerdict, DeliveryError> Ipv4Output::push_header(OutgoingFrame& packet, const Path& path,
                                                                    const Ipv4Fields& fields, Instant now) {
  counters_.add(Counter::kIpOutRequests);
  wire::Ipv4Header header;
  header.options = fields.options;
  const std::size_t header_size = wire::ipv4_header_length(header);
  const std::size_t transport_size = packet.size();
  const std::size_t size = header_size + transport_size;
  const bool super = packet.gso.size != 0;
  // A super-segment is measured by the packets it stands for.
  const std::size_t longest = super ? header_size + packet.header().size() + packet.gso.size : size;
  const std::uint32_t mtu = limit(path, fields.discovery);
  bool df = wants_df(fields.discovery, path, knobs_);
  OutputVerdict verdict = OutputVerdict::kSend;
  // A super-segment of TCP may be longer than the field can say; who takes such says so (Linux:
  // gso_ipv4_max_size).
  const bool beyond = size > wire::kIpv4PacketMax;
  if (beyond && (packet.gso.type != GsoType::kTcpV4 || size > path.offloads.gso_max_size)) {
    counters_.add(Counter::kIpFragFails);
    return std::unexpected(too_big(packet, path, fields.protocol, wire::kIpv4PacketMax));
  }
  if (longest > mtu) {
    if (super || !may_be_cut(fields, df)) {
      counters_.add(Counter::kIpFragFails);
      return std::unexpected(too_big(packet, path, fields.protocol, mtu));
    }
    df = false;
    verdict = OutputVerdict::kFragment;
  }

  if (packet.checksum.wanted) {
    const std::uint16_t sum =
        wire::pseudo_header_sum(path.source, path.destination, fields.protocol, transport_size);
    store_be<std::uint16_t>(packet.mutable_header(), packet.checksum.start + packet.checksum.offset, sum);
    // No device sums over fragments.
    if (verdict == OutputVerdict::kFragment) complete_checksum(packet);
  }

  header.tos = static_cast<std::uint8_t>((fields.tos & 0xfc) | static_cast<std::uint8_t>(packet.ecn));
  header.total_length = beyond ? std::uint16_t{0} : static_cast<std::uint16_t>(size);
  header.dont_fragment = df;
  header.ttl = fields.hop_limit != 0 ? fields.hop_limit : path.hop_limit;
  header.protocol = fields.protocol;
  header.src = path.source;
  header.dst = path.destination;
  // An atomic datagram needs no identification (RFC 6864 §4.1); a super-segment's pieces count on from
  // theirs.
  if (!df || super) {
    const std::size_t pieces = super ? (packet.payload_size() + packet.gso.size - 1) / packet.gso.size : 1;
    header.id = identify(path.source, path.destination, fields.protocol,
                         static_cast<std::uint16_t>(std::max<std::size_t>(pieces, 1)), now);
  }
  wire::emit_ipv4(header, packet.push_header(header_size));
  packet.network_offset = 0;
  packet.transport_offset = static_cast<std::uint16_t>(header_size);
  packet.interface = path.interface;
  counters_.add(Counter::kIpExtOutOctets, size);
  if (path.destination.is_multicast()) {
    counters_.add(Counter::kIpExtOutMcastPkts);
    counters_.add(Counter::kIpExtOutMcastOctets, size);
  } else if (path.destination.is_broadcast()) {
    counters_.add(Counter::kIpExtOutBcastPkts);
    counters_.add(Counter::kIpExtOutBcastOctets, size);
  }
  return verdict;
}

std::uint16_t Ipv4Output::identify(const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                                   std::uint16_t count, Instant now) {
  if (buckets_.empty()) {
    buckets_.resize(kIdentBuckets);
    for (IdentBucket& bucket : buckets_) bucket.counter = rng_.next_u32();
  }
  const auto from = address_words(source);
  const auto to = address_words(destination);
  const std::uint64_t hash = siphash_1_3(
      key_,
      std::array<std::uint64_t, 5>{from[0], from[1], to[0], to[1], static_cast<std::uint64_t>(protocol)});
  IdentBucket& bucket = buckets_[hash % kIdentBuckets];
  const auto tick = static_cast<std::uint32_t>(to_nsec(now) / 4'000'000);
  const std::uint32_t passed = tick - bucket.stamp;
  if (passed != 0) bucket.counter += static_cast<std::uint32_t>(rng_.below(passed));
  bucket.stamp = tick;
  // What the counter stands at is not what leaves: neighbours in the table (other addresses, one bucket) see
  // another offset.
  const auto first = static_cast<std::uint16_t>(bucket.counter + static_cast<std::uint32_t>(hash >> 48));
  bucket.counter += count;
  return first;
}

void complete_checksum(OutgoingFrame& packet) {
  if (!packet.checksum.wanted) return;
  wire::ChecksumAccumulator sum;
  sum.add(packet.header().subspan(packet.checksum.start));
  for (Bytes span : packet.payload()) sum.add(span);
  const std::uint16_t checksum = sum.finish();
  // 0 would say "none" to UDP; 0xffff is the same number to all others (Linux's CSUM_MANGLED_0).
  store_be<std::uint16_t>(packet.mutable_header(), packet.checksum.start + packet.checksum.offset,
                          checksum == 0 ? std::uint16_t{0xffff} : checksum);
  packet.checksum = {};
}

}  // namespace tapir::ip
