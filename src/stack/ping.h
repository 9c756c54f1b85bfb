// SPDX-License-Identifier: Apache-2.0
// Probes of our own, for `tapir ping` and `tapir traceroute`: one request, one result.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>

#include "base/time.h"
#include "frame/frame_pool.h"
#include "inet/delivery_error.h"
#include "ip/datagram.h"
#include "ip/reply.h"
#include "ip/routes.h"
#include "trace/counters.h"

namespace tapir::stack {

struct PingRequest {
  IpAddress destination;
  std::uint16_t id = 0;  // names the pinger, as a process id does in ping(8)
  std::uint16_t sequence = 0;
  std::size_t payload = 56;    // bytes after the ICMP header, at most kPingPayloadMax
  std::uint8_t hop_limit = 0;  // 0 = the path's
  bool dont_fragment = false;
  Duration timeout = 10s;
  std::uint16_t udp_port =
      0;  // not 0: a UDP datagram to that port instead of an echo request; only an error answers it
};
// 65535 - 20 - 8.
inline constexpr std::size_t kPingPayloadMax = 65507;

enum class PingOutcome : std::uint8_t { kReply, kTimeout, kError };

struct PingResult {
  PingOutcome outcome = PingOutcome::kTimeout;
  std::uint16_t id = 0;
  std::uint16_t sequence = 0;
  IpAddress from;              // who answered, or reported the error
  Duration round_trip{};       // kReply, kError
  std::size_t payload = 0;     // kReply: bytes that came back
  std::uint8_t hop_limit = 0;  // kReply: of the answer
  bool payload_intact = true;  // kReply: the bytes are those that were sent
  DeliveryErrorKind error{};   // kError
};

// start() builds a request for the hub to send; on_reply(), on_error() and on_timeout() end it; take_result()
// until it has nothing.
class Pings {
 public:
  // Requests without result, and results not taken. More are refused.
  static constexpr std::size_t kPingsMax = 64;

  Pings(const ip::Routes& routes, FramePool& frames, trace::Counters& counters)
      : routes_(routes), frames_(frames), counters_(counters) {}

  // The datagram to send, or why there is none. kTooMany: kPingsMax are under way, no memory, or too large a
  // payload.
  std::expected<ip::Reply, ip::RouteError> start(const PingRequest& request, Instant now);
  // An echo reply arrived. True when it answered a request.
  bool on_reply(const ip::Datagram& datagram, Instant now);
  // Is an answer from `destination` awaited?
  bool waits_for(const IpAddress& destination) const;
  // An error about an ICMP packet of ours: it ends the oldest request to where that went; about a UDP
  // datagram: it ends the request from and to its ports. True when there was one.
  bool on_error(const DeliveryError& error, Instant now);
  // The next result of pinger `id`, in the order they came about.
  std::optional<PingResult> take_result(std::uint16_t id);

  Instant next_timeout() const;
  void on_timeout(Instant now);

 private:
  enum class Phase : std::uint8_t { kFree, kWaiting, kDone };
  struct Slot {
    Phase phase = Phase::kFree;
    IpAddress destination;
    std::uint16_t udp_port = 0;  // of the destination; 0: an echo request
    std::size_t payload = 0;
    Instant sent_at{};
    Instant deadline = kNever;
    std::uint64_t order = 0;  // of starting, then of ending
    PingResult result;
  };
  Slot* find(const IpAddress& destination, std::uint16_t id, std::uint16_t sequence);
  void finish(Slot& slot, PingOutcome outcome);
  Frame build_echo(const PingRequest& request);
  Frame build_datagram(const PingRequest& request);
  // Where UDP probes come from: no port that is chosen for sockets (RFC 6056's range begins above), so that
  // no socket is told of their errors.
  static std::uint16_t source_port(std::uint16_t id) { return static_cast<std::uint16_t>(1024 + id % 16384); }
  // The byte at `offset` of every payload: enough to tell that what came back is what went out.
  static std::uint8_t pattern(std::size_t offset) { return static_cast<std::uint8_t>(offset); }

  const ip::Routes& routes_;
  FramePool& frames_;
  trace::Counters& counters_;
  std::array<Slot, kPingsMax> slots_{};
  std::size_t waiting_ = 0;  // slots in that phase: mostly none, and then none is looked at
  std::uint64_t next_order_ = 1;
};

}  // namespace tapir::stack
