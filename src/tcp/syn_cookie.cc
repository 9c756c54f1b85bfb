// SPDX-License-Identifier: Apache-2.0
#include "tcp/syn_cookie.h"

#include "inet/flow_hash.h"

namespace tapir::tcp {

namespace {

// A cookie: 8 bits of the minute above 24 bits of hash and MSS index.
constexpr unsigned kHashBits = 24;
constexpr std::uint32_t kHashMask = (std::uint32_t{1} << kHashBits) - 1;

constexpr std::uint32_t kScaleMask = 0xf;  // all ones: no window scaling
constexpr std::uint32_t kSackBit = 1U << 4;
constexpr std::uint32_t kEcnBit = 1U << 5;
constexpr std::uint32_t kOptionsMask = 0x3f;

std::uint32_t minute(Instant now) {
  return static_cast<std::uint32_t>(to_nsec(now) / static_cast<std::uint64_t>(kCookiePeriod.count()));
}

}  // namespace

std::uint32_t SynCookies::hash(const FourTuple& tuple, std::uint32_t count, std::size_t which) const {
  const auto local = address_words(tuple.local.address);
  const auto remote = address_words(tuple.remote.address);
  const std::uint64_t rest = static_cast<std::uint64_t>(count) << 32 |
                             static_cast<std::uint64_t>(tuple.local.port) << 16 | tuple.remote.port;
  return static_cast<std::uint32_t>(siphash_2_4(
      keys_[which], std::array<std::uint64_t, 5>{local[0], local[1], remote[0], remote[1], rest}));
}

SeqNum SynCookies::make(const FourTuple& tuple, SeqNum peer_isn, std::uint16_t& mss, Instant now) const {
  std::uint32_t index = kCookieMss.size() - 1;
  while (index > 0 && mss < kCookieMss[index]) --index;
  mss = kCookieMss[index];
  const std::uint32_t count = minute(now);
  return SeqNum(hash(tuple, 0, 0) + peer_isn.value() + (count << kHashBits) +
                ((hash(tuple, count, 1) + index) & kHashMask));
}

std::optional<std::uint16_t> SynCookies::check(const FourTuple& tuple, SeqNum peer_isn, SeqNum cookie,
                                               Instant now) const {
  const std::uint32_t count = minute(now);
  const std::uint32_t rest = cookie.value() - hash(tuple, 0, 0) - peer_isn.value();
  const std::uint32_t age = (count - (rest >> kHashBits)) & (~std::uint32_t{0} >> kHashBits);
  if (age >= kCookieAgeMax) return std::nullopt;
  const std::uint32_t index = (rest - hash(tuple, count - age, 1)) & kHashMask;
  if (index >= kCookieMss.size()) return std::nullopt;
  return kCookieMss[index];
}

std::uint32_t cookie_timestamp(const CookieOptions& options, std::uint32_t clock) {
  const std::uint32_t bits = (options.window_scale ? *options.window_scale & kScaleMask : kScaleMask) |
                             (options.sack ? kSackBit : 0) | (options.ecn ? kEcnBit : 0);
  const std::uint32_t stamp = (clock & ~kOptionsMask) | bits;
  return static_cast<std::int32_t>(stamp - clock) > 0 ? stamp - (kOptionsMask + 1) : stamp;
}

std::optional<CookieOptions> cookie_options(std::uint32_t echo, const Knobs& knobs) {
  if (knobs.tcp_timestamps == 0) return std::nullopt;
  CookieOptions options;
  options.sack = (echo & kSackBit) != 0;
  if (options.sack && knobs.tcp_sack == 0) return std::nullopt;
  options.ecn = (echo & kEcnBit) != 0 && knobs.tcp_ecn != 0;
  if ((echo & kScaleMask) != kScaleMask) {
    if (knobs.tcp_window_scaling == 0) return std::nullopt;
    options.window_scale = static_cast<std::uint8_t>(echo & kScaleMask);
  }
  return options;
}

}  // namespace tapir::tcp
