// SPDX-License-Identifier: Apache-2.0
#include "wire/checksum.h"

#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tapir::wire {

namespace {

// From here on vector code pays; below it, setting up costs more than it saves.
constexpr std::size_t kVectorMin = 128;

std::uint64_t add_with_carry(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  const bool carry = __builtin_add_overflow(a, b, &sum);
  return sum + (carry ? 1U : 0U);
}

template <typename T>
T load(const std::uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

// Sum in machine order of `size` bytes, a last odd one padded with zero behind; copies them to `dst` when
// kCopy. `start` is a sum to go on with, congruent modulo 0xffff as every 64-bit sum with end-around carry
// is.
template <bool kCopy>
std::uint64_t sum_words(const std::uint8_t* src, std::size_t size, std::uint8_t* dst, std::uint64_t start) {
  std::uint64_t a = start;
  std::uint64_t b = 0;
  while (size >= 16) {
    const auto low = load<std::uint64_t>(src);
    const auto high = load<std::uint64_t>(src + 8);
    if constexpr (kCopy) {
      std::memcpy(dst, &low, 8);
      std::memcpy(dst + 8, &high, 8);
      dst += 16;
    }
    a = add_with_carry(a, low);
    b = add_with_carry(b, high);
    src += 16;
    size -= 16;
  }
  // Loads of fixed size: the headers of every packet end here, and a memcpy of any length would cost more
  // than the sum.
  const auto take = [&]<typename T>(T) {
    const T piece = load<T>(src);
    if constexpr (kCopy) {
      std::memcpy(dst, &piece, sizeof(T));
      dst += sizeof(T);
    }
    a = add_with_carry(a, piece);
    src += sizeof(T);
  };
  if ((size & 8) != 0) take(std::uint64_t{});
  if ((size & 4) != 0) take(std::uint32_t{});
  if ((size & 2) != 0) take(std::uint16_t{});
  if ((size & 1) != 0) {
    const std::uint8_t padded[2] = {*src, 0};
    if constexpr (kCopy) *dst = *src;
    a = add_with_carry(a, load<std::uint16_t>(padded));
  }
  return add_with_carry(a, b);
}

#if defined(__x86_64__)

// 64 bytes a turn: each 32-bit half is added to a 64-bit lane, which cannot overflow in 2^32 turns.
template <bool kCopy>
__attribute__((target("avx2"))) std::uint64_t sum_vector(const std::uint8_t* src, std::size_t size,
                                                         std::uint8_t* dst) {
  const __m256i low_halves = _mm256_set1_epi64x(0xffffffff);
  __m256i a = _mm256_setzero_si256();
  __m256i b = _mm256_setzero_si256();
  __m256i c = _mm256_setzero_si256();
  __m256i d = _mm256_setzero_si256();
  while (size >= 64) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(src));
    const __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(src + 32));
    if constexpr (kCopy) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst), x);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst + 32), y);
      dst += 64;
    }
    a = _mm256_add_epi64(a, _mm256_and_si256(x, low_halves));
    b = _mm256_add_epi64(b, _mm256_srli_epi64(x, 32));
    c = _mm256_add_epi64(c, _mm256_and_si256(y, low_halves));
    d = _mm256_add_epi64(d, _mm256_srli_epi64(y, 32));
    src += 64;
    size -= 64;
  }
  std::uint64_t lanes[4];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes),
                      _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d)));
  const std::uint64_t sum =
      add_with_carry(add_with_carry(lanes[0], lanes[1]), add_with_carry(lanes[2], lanes[3]));
  return sum_words<kCopy>(src, size, dst, sum);
}

#endif

// Picks the widest code this machine has, at run time: one object file serves all.
template <bool kCopy>
std::uint16_t folded_sum(Bytes src, std::uint8_t* dst) {
#if defined(__x86_64__)
  if (src.size() >= kVectorMin && __builtin_cpu_supports("avx2"))
    return fold_checksum(sum_vector<kCopy>(src.data(), src.size(), dst));
#endif
  return fold_checksum(sum_words<kCopy>(src.data(), src.size(), dst, 0));
}

}  // namespace

void ChecksumAccumulator::add_folded(std::uint16_t words) { sum_ += odd_ ? std::byteswap(words) : words; }

void ChecksumAccumulator::add(Bytes bytes) {
  add_folded(folded_sum<false>(bytes, nullptr));
  odd_ ^= bytes.size() % 2 != 0;
}

void ChecksumAccumulator::add_copy(MutableBytes dst, Bytes src) {
  TAPIR_INVARIANT(dst.size() >= src.size(), "the copy fits");
  add_folded(folded_sum<true>(src, dst.data()));
  odd_ ^= src.size() % 2 != 0;
}

std::uint16_t ChecksumAccumulator::sum() const { return to_big_endian(fold_checksum(sum_)); }

std::uint16_t internet_checksum(Bytes bytes) {
  return static_cast<std::uint16_t>(~to_big_endian(folded_sum<false>(bytes, nullptr)));
}

std::uint16_t copy_and_checksum(MutableBytes dst, Bytes src) {
  ChecksumAccumulator accumulator;
  accumulator.add_copy(dst, src);
  return accumulator.sum();
}

ChecksumAccumulator pseudo_header(const IpAddress& src, const IpAddress& dst, IpProtocol protocol,
                                  std::size_t length) {
  ChecksumAccumulator accumulator;
  if (src.is_v4()) {
    accumulator.add_be32(src.v4_bits());
    accumulator.add_be32(dst.v4_bits());
  } else {
    accumulator.add(src.bytes());
    accumulator.add(dst.bytes());
  }
  accumulator.add_be16(static_cast<std::uint8_t>(protocol));
  accumulator.add_be32(static_cast<std::uint32_t>(length));
  return accumulator;
}

std::uint16_t pseudo_header_sum(const IpAddress& src, const IpAddress& dst, IpProtocol protocol,
                                std::size_t length) {
  return pseudo_header(src, dst, protocol, length).sum();
}

std::uint16_t transport_checksum(const IpAddress& src, const IpAddress& dst, IpProtocol protocol,
                                 Bytes segment) {
  ChecksumAccumulator accumulator = pseudo_header(src, dst, protocol, segment.size());
  accumulator.add(segment);
  return accumulator.finish();
}

std::uint16_t update_checksum16(std::uint16_t checksum, std::uint16_t from, std::uint16_t to) {
  const std::uint32_t sum = static_cast<std::uint16_t>(~checksum) +
                            static_cast<std::uint32_t>(static_cast<std::uint16_t>(~from)) + to;
  return static_cast<std::uint16_t>(~fold_checksum(sum));
}

std::uint16_t update_checksum32(std::uint16_t checksum, std::uint32_t from, std::uint32_t to) {
  checksum = update_checksum16(checksum, static_cast<std::uint16_t>(from >> 16),
                               static_cast<std::uint16_t>(to >> 16));
  return update_checksum16(checksum, static_cast<std::uint16_t>(from), static_cast<std::uint16_t>(to));
}

}  // namespace tapir::wire
