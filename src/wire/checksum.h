// SPDX-License-Identifier: Apache-2.0
// The Internet checksum (RFC 1071), its incremental update (RFC 1624), and the pseudo-headers of IPv4 and
// IPv6.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "inet/ip_address.h"
#include "inet/protocol.h"

namespace tapir::wire {

// Adds up bytes in pieces of any length and alignment, as if they were one run. Inside, 16-bit words are
// summed in the machine's byte order (RFC 1071 §2.B: the sum does not mind) and turned round once at the end.
class ChecksumAccumulator {
 public:
  // The next bytes of the run.
  void add(Bytes bytes);
  // The same, copying them to `dst` (of the same size or larger) in the one pass over memory.
  void add_copy(MutableBytes dst, Bytes src);
  // The next two or four bytes of the run, given as a number.
  void add_be16(std::uint16_t value) { add_folded(to_big_endian(value)); }
  void add_be32(std::uint32_t value) {
    add_be16(static_cast<std::uint16_t>(value >> 16));
    add_be16(static_cast<std::uint16_t>(value));
  }
  // A sum from elsewhere, in host order and not complemented (what sum() answers), at an even offset of the
  // run.
  void add_sum(std::uint16_t sum) { sum_ += to_big_endian(sum); }

  // The folded sum, not complemented, in host order: what a partial checksum field holds.
  std::uint16_t sum() const;
  // The checksum to store with store_be. Over bytes that contain a right checksum, 0.
  std::uint16_t finish() const { return static_cast<std::uint16_t>(~sum()); }

 private:
  // `words` is a folded sum in machine order of a piece that starts where the run stands, of even length.
  void add_folded(std::uint16_t words);

  std::uint64_t sum_ = 0;  // machine order; far from overflow: each piece adds at most 0xffff
  bool odd_ = false;       // an odd number of bytes so far: the next piece's bytes change places
};

// Checksum of one run of bytes, in host order; 0 when the run contains a right checksum.
std::uint16_t internet_checksum(Bytes bytes);

// Copies `src` to `dst` (of the same size or larger) and answers the folded sum, not complemented, in host
// order.
std::uint16_t copy_and_checksum(MutableBytes dst, Bytes src);

// The sum of TCP's or UDP's pseudo-header (RFC 9293 §3.1, RFC 768, RFC 8200 §8.1), to go on with. Both
// addresses are of one version; `length` counts the transport header and payload.
ChecksumAccumulator pseudo_header(const IpAddress& src, const IpAddress& dst, IpProtocol protocol,
                                  std::size_t length);
// The same as a folded sum in host order, not complemented: what stands in the field of a partial checksum.
std::uint16_t pseudo_header_sum(const IpAddress& src, const IpAddress& dst, IpProtocol protocol,
                                std::size_t length);

// Checksum of a transport header with payload, the checksum field as it stands: 0 when it is right.
std::uint16_t transport_checksum(const IpAddress& src, const IpAddress& dst, IpProtocol protocol,
                                 Bytes segment);

// `checksum` after one 16- or 32-bit field of the run went from `from` to `to` (RFC 1624 eqn. 3).
std::uint16_t update_checksum16(std::uint16_t checksum, std::uint16_t from, std::uint16_t to);
std::uint16_t update_checksum32(std::uint16_t checksum, std::uint32_t from, std::uint32_t to);

// Folds a sum of 16-bit words to 16 bits with end-around carry.
constexpr std::uint16_t fold_checksum(std::uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

}  // namespace tapir::wire
