// SPDX-License-Identifier: Apache-2.0
#include "base/siphash.h"

namespace tapir::inline base {
namespace {

std::uint64_t load_little_endian(const std::uint8_t* bytes, std::size_t count) {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < count; ++i) word |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
  return word;
}

template <int CompressRounds, int FinalRounds>
std::uint64_t hash(SipKey key, Bytes bytes) {
  SipHasher<CompressRounds, FinalRounds> hasher(key);
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) hasher.add(load_little_endian(bytes.data() + at, 8));
  const std::uint64_t rest = load_little_endian(bytes.data() + at, bytes.size() - at);
  return hasher.finish(rest | static_cast<std::uint64_t>(bytes.size()) << 56);
}

}  // namespace

std::uint64_t siphash_1_3(SipKey key, Bytes bytes) { return hash<1, 3>(key, bytes); }
std::uint64_t siphash_2_4(SipKey key, Bytes bytes) { return hash<2, 4>(key, bytes); }

}  // namespace tapir::inline base
