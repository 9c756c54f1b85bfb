// SPDX-License-Identifier: Apache-2.0
// Bytes and big-endian numbers at named offsets. The only place that knows the machine's byte order.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "base/assert.h"

namespace tapir::inline base {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

template <std::unsigned_integral T>
constexpr T to_big_endian(T value) {
  if constexpr (std::endian::native == std::endian::little && sizeof(T) > 1) return std::byteswap(value);
  return value;
}

// The big-endian number at `offset`. The caller has checked the length; a wrong offset is our bug.
template <std::unsigned_integral T>
T load_be(Bytes bytes, std::size_t offset) {
  TAPIR_INVARIANT(offset + sizeof(T) <= bytes.size(), "load_be stays inside the bytes");
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return to_big_endian(value);
}

// Writes `value` big-endian at `offset`.
template <std::unsigned_integral T>
void store_be(MutableBytes bytes, std::size_t offset, T value) {
  TAPIR_INVARIANT(offset + sizeof(T) <= bytes.size(), "store_be stays inside the bytes");
  value = to_big_endian(value);
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

// A cursor that never reads past the end: every parser of lengths the peer chose goes through one.
class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : bytes_(bytes) {}
  std::size_t remaining() const { return bytes_.size() - at_; }
  std::size_t position() const { return at_; }

  // The next number, or nothing when fewer bytes are left (then nothing is consumed).
  template <std::unsigned_integral T>
  std::optional<T> take_be() {
    if (remaining() < sizeof(T)) return std::nullopt;
    const T value = load_be<T>(bytes_, at_);
    at_ += sizeof(T);
    return value;
  }
  // The next `count` bytes, or nothing when fewer are left.
  std::optional<Bytes> take(std::size_t count) {
    if (remaining() < count) return std::nullopt;
    const Bytes taken = bytes_.subspan(at_, count);
    at_ += count;
    return taken;
  }

 private:
  Bytes bytes_;
  std::size_t at_ = 0;
};

}  // namespace tapir::inline base
