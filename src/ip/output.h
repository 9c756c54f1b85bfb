// SPDX-License-Identifier: Apache-2.0
// IPv4 output: the header in front of a transport header, identification, and what to do when it does not
// fit.
#pragma once

#include <cstdint>
#include <expected>
#include <vector>

#include "base/rng.h"
#include "base/siphash.h"
#include "base/time.h"
#include "frame/outgoing_frame.h"
#include "inet/delivery_error.h"
#include "inet/path.h"
#include "ip/knobs.h"
#include "trace/counters.h"

namespace tapir::ip {

// IP_MTU_DISCOVER, as Linux names its values.
enum class PathMtuDiscovery : std::uint8_t {
  kDont = 0,       // never DF
  kWant = 1,       // DF while the path is not locked; too big a datagram is fragmented (the default of UDP)
  kDo = 2,         // DF always; too big is an error
  kProbe = 3,      // DF always, by the interface's MTU, ignoring what was learnt
  kInterface = 4,  // never DF, by the interface's MTU
  kOmit = 5,       // as kInterface, but fragmenting
};

// The fields of the header that the sender chooses. ECN comes from OutgoingFrame::ecn.
struct Ipv4Fields {
  IpProtocol protocol = IpProtocol::kTcp;
  std::uint8_t tos = 0;        // the low two bits are ignored
  std::uint8_t hop_limit = 0;  // 0 = the path's
  PathMtuDiscovery discovery = PathMtuDiscovery::kWant;
  bool may_fragment = true;  // false for TCP: a segment too big for DF is an error even with kWant
  Bytes options;             // IP_OPTIONS, at most 40 bytes
  bool loop = true;          // IP_MULTICAST_LOOP: who joined the group on this host gets it too
  bool host_only = false;    // IP_MULTICAST_TTL 0: it does not leave this host
};

// What is to be done with the packet.
enum class OutputVerdict : std::uint8_t {
  kSend,      // as it stands
  kFragment,  // by a Fragmenter with fragment_mtu(); its checksum is already complete
};

class Ipv4Output {
 public:
  // Counters of the identification table (Linux's ip_idents; 8 bytes each).
  static constexpr std::size_t kIdentBuckets = 2048;

  Ipv4Output(SipKey key, Rng rng, const Knobs& knobs, trace::Counters& counters);

  // Pushes the IPv4 header in front of `packet`, which holds a transport header (and a ChecksumRequest, where
  // the transport wants one: the pseudo-header's sum is added to its field here). Addresses are the path's.
  // Counts IpOutRequests. Error: kFragmentationNeeded with the MTU, for a datagram that must not be
  // fragmented; the quoted tuple has the addresses, and for TCP and UDP the ports.
  std::expected<OutputVerdict, DeliveryError> push_header(OutgoingFrame& packet, const Path& path,
                                                          const Ipv4Fields& fields, Instant now);
  // The limit that push_header measured against.
  static std::uint32_t limit(const Path& path, PathMtuDiscovery discovery);

  // Identification for `count` datagrams in a row (RFC 6864 §4; Linux's __ip_select_ident): a keyed hash of
  // the addresses picks a counter that also moves randomly with time, so that no one sees another's rate.
  std::uint16_t identify(const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                         std::uint16_t count, Instant now);

 private:
  struct IdentBucket {
    std::uint32_t counter = 0;
    std::uint32_t stamp = 0;  // of the last use, in units of 4 ms (Linux's jiffies at HZ=250)
  };

  SipKey key_;
  Rng rng_;
  const Knobs& knobs_;
  trace::Counters& counters_;
  std::vector<IdentBucket> buckets_;  // empty until the first is needed
};

// Fills in a requested checksum in software and clears the request. The pseudo-header's sum is in the field
// already; the field lies in the header bytes.
void complete_checksum(OutgoingFrame& packet);

}  // namespace tapir::ip
