// SPDX-License-Identifier: Apache-2.0
#include "tcp/isn.h"

#include "inet/flow_hash.h"

namespace tapir::tcp {

SeqNum IsnGenerator::iss(const FourTuple& tuple, Instant now) const {
  if (forced_) return *forced_;
  const auto local = address_words(tuple.local.address);
  const auto remote = address_words(tuple.remote.address);
  const std::uint64_t ports = static_cast<std::uint64_t>(tuple.local.port) << 16 | tuple.remote.port;
  const std::uint64_t hash =
      siphash_2_4(isn_key_, std::array<std::uint64_t, 5>{local[0], local[1], remote[0], remote[1], ports});
  return SeqNum(static_cast<std::uint32_t>(hash + (to_nsec(now) >> 6)));
}

std::uint32_t IsnGenerator::timestamp_offset(const IpAddress& local, const IpAddress& remote) const {
  const auto l = address_words(local);
  const auto r = address_words(remote);
  return static_cast<std::uint32_t>(
      siphash_2_4(offset_key_, std::array<std::uint64_t, 4>{l[0], l[1], r[0], r[1]}));
}

}  // namespace tapir::tcp
