// SPDX-License-Identifier: Apache-2.0
// The keyed hash of a connection's name, for flow tables. Never shown outside: what leaves the machine uses
// SipHash-2-4.
#pragma once

#include <array>
#include <cstdint>

#include "base/siphash.h"
#include "inet/endpoint.h"

namespace tapir::inline inet {

// An address as two words.
inline std::array<std::uint64_t, 2> address_words(const IpAddress& address) {
  return {load_be<std::uint64_t>(address.bytes(), 0), load_be<std::uint64_t>(address.bytes(), 8)};
}

// SipHash-1-3 of both ends. Two words for a pair of IPv4 addresses, five for others; the two do not collide
// by design, as their lengths differ.
inline std::uint64_t four_tuple_hash(SipKey key, const FourTuple& tuple) {
  const std::uint64_t ports = static_cast<std::uint64_t>(tuple.local.port) << 16 | tuple.remote.port;
  const std::array<std::uint64_t, 2> local = address_words(tuple.local.address);
  const std::array<std::uint64_t, 2> remote = address_words(tuple.remote.address);
  if (tuple.local.address.is_v4() && tuple.remote.address.is_v4())
    return siphash_1_3(key, std::array<std::uint64_t, 2>{local[1] << 32 | (remote[1] & 0xffffffff), ports});
  return siphash_1_3(key, std::array<std::uint64_t, 5>{local[0], local[1], remote[0], remote[1], ports});
}

// SipHash-1-3 of one end: listeners, bound ports, neighbours.
inline std::uint64_t endpoint_hash(SipKey key, const Endpoint& endpoint) {
  const std::array<std::uint64_t, 2> address = address_words(endpoint.address);
  return siphash_1_3(key, std::array<std::uint64_t, 3>{address[0], address[1], endpoint.port});
}

}  // namespace tapir::inline inet
