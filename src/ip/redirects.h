// SPDX-License-Identifier: Apache-2.0
// ICMP redirects: which gateways we were told of, and how many we send (RFC 1122 §3.2.2.2, RFC 1812
// §5.2.7.2).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/siphash.h"
#include "base/time.h"
#include "inet/ip_address.h"
#include "inet/protocol.h"

namespace tapir::ip {

// Better gateways to single destinations, learnt from redirects. Bounded: sets of four, the oldest of a set
// forgotten; a destination forgotten goes by its route again.
class RedirectCache {
 public:
  // Linux's ip_rt_gc_timeout: what a redirect said is believed so long.
  static constexpr Duration kLifetime = 300s;

  explicit RedirectCache(SipKey key) : key_(key) {}

  void learn(const IpAddress& destination, const IpAddress& gateway, InterfaceId interface, Instant now);
  // The gateway to use in place of the route's over `interface`, if any.
  std::optional<IpAddress> find(const IpAddress& destination, InterfaceId interface, Instant now) const;
  // Moves with every change; part of Path::generation.
  std::uint32_t generation() const { return generation_; }
  void clear();

 private:
  static constexpr std::size_t kSets = 16;
  static constexpr std::size_t kWays = 4;
  struct Entry {
    IpAddress destination;
    IpAddress gateway;
    InterfaceId interface = kNoInterface;  // kNoInterface: free
    Instant expires_at{};
  };
  std::size_t set_of(const IpAddress& destination) const;

  SipKey key_;
  std::array<Entry, kSets * kWays> entries_{};
  std::uint32_t generation_ = 0;
};

// Whether one more redirect may go to a host (Linux's ip_rt_send_redirect): each waits twice as long as the
// one before, and after nine we are silent, for who does not listen will not.
class RedirectLimit {
 public:
  static constexpr Duration kLoad = 20ms;             // ip_rt_redirect_load
  static constexpr std::uint32_t kNumber = 9;         // ip_rt_redirect_number
  static constexpr Duration kSilence = kLoad * 1024;  // ip_rt_redirect_silence

  explicit RedirectLimit(SipKey key) : key_(key) {}
  bool ask(const IpAddress& host, Instant now);

 private:
  // Hosts remembered; one forgotten starts afresh.
  static constexpr std::size_t kHosts = 64;
  struct Host {
    IpAddress address;
    std::uint32_t sent = 0;
    Instant last{};
  };
  SipKey key_;
  std::array<Host, kHosts> hosts_{};
};

}  // namespace tapir::ip
