// SPDX-License-Identifier: Apache-2.0
// ICMP (RFC 792, 1122 §3.2.2, 1812 §4.3): echo, errors received for the connections concerned, errors sent
// within limits.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <vector>

#include "base/rng.h"
#include "base/siphash.h"
#include "base/time.h"
#include "frame/frame_pool.h"
#include "inet/delivery_error.h"
#include "ip/datagram.h"
#include "ip/icmp_error.h"
#include "ip/interfaces.h"
#include "ip/knobs.h"
#include "ip/reply.h"
#include "ip/routes.h"
#include "trace/counters.h"
#include "trace/drop_reason.h"
#include "trace/record.h"

namespace tapir::ip {

// How many ICMP errors may leave: over all destinations and to each one. Integer token buckets.
class IcmpRateLimit {
 public:
  // What one destination may have saved up, in messages (Linux's XRLIM_BURST_FACTOR).
  static constexpr std::uint64_t kBurstFactor = 6;

  IcmpRateLimit(SipKey key, Rng rng, const Knobs& knobs) : key_(key), rng_(rng), knobs_(knobs) {}

  enum class Verdict : std::uint8_t { kAllowed, kOverGlobal, kOverDestination };
  // May an error go to `destination` now? If so, it is charged. Over all destinations: icmp_msgs_per_sec with
  // a burst of icmp_msgs_burst (Linux's icmp_global_allow); what one message costs is random in 0–2, so that
  // counting answers does not tell about others' (CVE-2020-25705). To one: a message per icmp_ratelimit ms
  // (Linux's inet_peer_xrlim_allow).
  Verdict ask(const IpAddress& destination, Instant now);

 private:
  // Destinations remembered (sets of four, oldest forgotten); one forgotten starts afresh, and the global
  // limit still holds.
  static constexpr std::size_t kSets = 64;
  static constexpr std::size_t kWays = 4;
  struct Bucket {
    IpAddress destination;
    std::uint64_t tokens_ms = 0;  // milliseconds saved up; a message costs icmp_ratelimit_ms
    Instant stamp{};
    bool used = false;
  };
  void refill(Instant now);
  bool take_from(const IpAddress& destination, Instant now);

  SipKey key_;
  Rng rng_;
  const Knobs& knobs_;
  bool started_ = false;
  Instant stamp_{};              // when credit_ was last refilled
  std::uint64_t credit_ = 0;     // messages
  std::vector<Bucket> buckets_;  // empty until the first is needed
};

// A redirect, and the flow of ours that it quotes.
struct RedirectReceived {
  IpAddress destination;
  IpAddress gateway;   // the better one
  IpAddress reporter;  // who says so
  DeliveryError flow;  // of the quoted packet: whom to ask whether it was ours; its kind means nothing
};

// What an ICMP message meant. `reply` and `error` exclude each other.
struct IcmpOutcome {
  std::optional<Reply> reply;                // to an echo request
  std::optional<DeliveryError> error;        // for the hub to hand to the connection or socket it quotes
  std::optional<RedirectReceived> redirect;  // for the hub, who knows the flows
  bool for_sockets = false;                  // an echo reply: ICMP sockets may want it
  std::optional<trace::DropReason> dropped;
};

class Icmp {
 public:
  // Bytes of an error packet of ours, IP header included (RFC 1812 §4.3.2.3).
  static constexpr std::size_t kErrorPacketMax = 576;
  // Two headers, the quoted one with all its options, and eight bytes: what every link must carry (RFC 791
  // §3.2: 68) and a little more.
  static constexpr std::size_t kErrorPacketMin = 96;
  // Transport bytes that a quote must have to be of use (RFC 792).
  static constexpr std::size_t kQuoteMin = 8;

  Icmp(const Interfaces& interfaces, const Routes& routes, FramePool& pool, SipKey key, Rng rng,
       const Knobs& knobs, trace::Counters& counters, trace::Tracer& tracer);

  // An ICMP datagram for us. Checks length and checksum, counts. Its frame is not consumed (raw sockets may
  // want it).
  IcmpOutcome input(const Datagram& datagram, Instant now);

  // The error `spec` about a received `packet` (from its IP header on), or nothing: RFC 1812 §4.3.2.7 forbids
  // it (an ICMP error, a broadcast, a later fragment, a source that is no single host), a limit is reached,
  // or there is no way back.
  std::optional<Reply> build_error(const IcmpErrorSpec& spec, Bytes packet, LinkDestination link_destination,
                                   InterfaceId arrived_on, Instant now);

 private:
  std::optional<Reply> echo_reply(const Datagram& datagram, Instant now);
  std::expected<DeliveryError, trace::DropReason> delivery_error(const Datagram& datagram,
                                                                 const wire::IcmpMessage& message,
                                                                 DeliveryErrorKind kind) const;

  const Interfaces& interfaces_;
  const Routes& routes_;
  FramePool& pool_;
  const Knobs& knobs_;
  trace::Counters& counters_;
  trace::Tracer& tracer_;
  IcmpRateLimit limit_;
};

}  // namespace tapir::ip
