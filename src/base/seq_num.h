// SPDX-License-Identifier: Apache-2.0
// Numbers that wrap at 2^32: TCP sequence numbers (RFC 9293 §3.4) and timestamps (RFC 7323 §5.2).
#pragma once

#include <compare>
#include <cstdint>

namespace tapir::inline base {

// A sequence number. `a < b` means "a is before b on the circle", which is right while they are less than
// 2^31 apart; at exactly 2^31 each is before the other, so it is no order for a std container.
class SeqNum {
 public:
  constexpr SeqNum() = default;
  constexpr explicit SeqNum(std::uint32_t value) : value_(value) {}
  constexpr std::uint32_t value() const { return value_; }

  friend constexpr bool operator==(SeqNum, SeqNum) = default;
  friend constexpr bool operator<(SeqNum a, SeqNum b) {
    return static_cast<std::int32_t>(a.value_ - b.value_) < 0;
  }
  friend constexpr bool operator>(SeqNum a, SeqNum b) { return b < a; }
  friend constexpr bool operator<=(SeqNum a, SeqNum b) { return !(b < a); }
  friend constexpr bool operator>=(SeqNum a, SeqNum b) { return !(a < b); }

  constexpr SeqNum& operator+=(std::uint32_t n) {
    value_ += n;
    return *this;
  }
  friend constexpr SeqNum operator+(SeqNum a, std::uint32_t n) { return SeqNum(a.value_ + n); }
  friend constexpr SeqNum operator-(SeqNum a, std::uint32_t n) { return SeqNum(a.value_ - n); }
  // How far `a` is ahead of `b`; the caller knows that it is (b <= a), or wants the wrapped difference.
  friend constexpr std::uint32_t operator-(SeqNum a, SeqNum b) { return a.value_ - b.value_; }

 private:
  std::uint32_t value_ = 0;
};

constexpr SeqNum max(SeqNum a, SeqNum b) { return a < b ? b : a; }
constexpr SeqNum min(SeqNum a, SeqNum b) { return b < a ? b : a; }

// The half-open interval [begin, end) of sequence space.
struct SeqRange {
  SeqNum begin;
  SeqNum end;
  constexpr std::uint32_t length() const { return end - begin; }
  constexpr bool empty() const { return begin == end; }
  friend constexpr bool operator==(const SeqRange&, const SeqRange&) = default;
};

}  // namespace tapir::inline base
