// SPDX-License-Identifier: Apache-2.0
// SYN cookies: the state of a half-open connection kept in the sequence number (and timestamp) that the peer
// sends back (RFC 4987 §3.6; Linux: net/ipv4/syncookies.c).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/seq_num.h"
#include "base/siphash.h"
#include "base/time.h"
#include "inet/endpoint.h"
#include "tcp/knobs.h"

namespace tapir::tcp {

// A cookie says in which of these minutes it was made …
inline constexpr Duration kCookiePeriod = 60s;
// … and is taken for this many. Longer, and a recorded cookie could be replayed; shorter, and slow peers are
// refused.
inline constexpr std::uint32_t kCookieAgeMax = 2;
// The segment sizes that fit in a cookie: those of 99 % of all SYNs, rounded down (Linux: msstab).
inline constexpr std::array<std::uint16_t, 4> kCookieMss = {536, 1300, 1440, 1460};

class SynCookies {
 public:
  SynCookies(SipKey first, SipKey second) : keys_{first, second} {}

  // The ISN of the SYN-ACK to a SYN with `peer_isn`; `mss` is rounded down to what the cookie can say (Linux:
  // __cookie_v4_init_sequence).
  SeqNum make(const FourTuple& tuple, SeqNum peer_isn, std::uint16_t& mss, Instant now) const;
  // The MSS if an ACK acknowledging `cookie` + 1 belongs to a cookie of ours that is not too old (Linux:
  // __cookie_v4_check).
  std::optional<std::uint16_t> check(const FourTuple& tuple, SeqNum peer_isn, SeqNum cookie,
                                     Instant now) const;

 private:
  std::uint32_t hash(const FourTuple& tuple, std::uint32_t count, std::size_t which) const;
  std::array<SipKey, 2> keys_;
};

// The options that a cookie keeps in the low six bits of our timestamp.
struct CookieOptions {
  std::optional<std::uint8_t> window_scale;  // the peer's shift
  bool sack = false;
  bool ecn = false;
  friend bool operator==(const CookieOptions&, const CookieOptions&) = default;
};
// Our timestamp (without offset) with the options in it, not later than `clock` (Linux:
// cookie_init_timestamp).
std::uint32_t cookie_timestamp(const CookieOptions& options, std::uint32_t clock);
// The options back from an echo (offset taken off); nothing when they cannot be ours: they use what a knob
// has switched off since (Linux: cookie_timestamp_decode).
std::optional<CookieOptions> cookie_options(std::uint32_t echo, const Knobs& knobs);

}  // namespace tapir::tcp
