// SPDX-License-Identifier: Apache-2.0
// Initial sequence numbers (RFC 6528) and timestamp offsets: keyed hashes of who talks to whom, so that an
// attacker's own connections tell nothing of others', while one tuple's numbers still rise with time (RFC
// 6191 needs that).
#pragma once

#include <cstdint>
#include <optional>

#include "base/seq_num.h"
#include "base/siphash.h"
#include "base/time.h"
#include "inet/endpoint.h"

namespace tapir::tcp {

class IsnGenerator {
 public:
  IsnGenerator(SipKey isn_key, SipKey offset_key) : isn_key_(isn_key), offset_key_(offset_key) {}

  // Hash of the tuple + one per 64 ns (Linux: secure_tcp_seq). 64 ns: at 10 Gbit/s the number still moves
  // faster than the bytes.
  SeqNum iss(const FourTuple& tuple, Instant now) const;
  // What is added to our timestamp clock between these two hosts (Linux: secure_tcp_ts_off, of the addresses
  // alone).
  std::uint32_t timestamp_offset(const IpAddress& local, const IpAddress& remote) const;

  // For tests: every ISN from now on, to begin near a wrap. Nothing: as before.
  void force_iss(std::optional<SeqNum> iss) { forced_ = iss; }

 private:
  SipKey isn_key_;
  SipKey offset_key_;
  std::optional<SeqNum> forced_;
};

}  // namespace tapir::tcp
