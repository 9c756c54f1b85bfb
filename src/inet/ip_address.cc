// SPDX-License-Identifier: Apache-2.0
#include "inet/ip_address.h"

#include <algorithm>

namespace tapir::inline inet {
namespace {

// A decimal number of 1 to `digits_max` digits without leading zeros, all of `text`.
std::optional<std::uint32_t> parse_decimal(std::string_view text, std::size_t digits_max) {
  if (text.empty() || text.size() > digits_max || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  std::uint32_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return value;
}

// Dotted decimal: exactly four numbers (inet_pton's rule, not inet_aton's).
std::optional<std::uint32_t> parse_v4(std::string_view text) {
  std::uint32_t bits = 0;
  for (int part = 0; part < 4; ++part) {
    const std::size_t dot = part < 3 ? text.find('.') : text.size();
    if (dot == std::string_view::npos) return std::nullopt;
    const std::optional<std::uint32_t> number = parse_decimal(text.substr(0, dot), 3);
    if (!number || *number > 255) return std::nullopt;
    bits = bits << 8 | *number;
    text.remove_prefix(std::min(dot + 1, text.size()));
  }
  return bits;
}

std::optional<std::uint16_t> parse_group(std::string_view text) {
  if (text.empty() || text.size() > 4) return std::nullopt;
  std::uint32_t value = 0;
  for (char c : text) {
    const char lower = static_cast<char>(c | 0x20);
    if (c >= '0' && c <= '9')
      value = value << 4 | static_cast<std::uint32_t>(c - '0');
    else if (lower >= 'a' && lower <= 'f')
      value = value << 4 | static_cast<std::uint32_t>(lower - 'a' + 10);
    else
      return std::nullopt;
  }
  return static_cast<std::uint16_t>(value);
}

// The 16-bit groups of "1:2:3", the last may be an IPv4 address (two groups). Nothing when a group is
// malformed, or there are more than eight. An empty text has no groups.
struct Groups {
  std::array<std::uint16_t, 8> values{};
  std::size_t count = 0;
};
std::optional<Groups> parse_groups(std::string_view text, bool v4_tail_allowed) {
  Groups groups;
  while (!text.empty()) {
    const std::size_t colon = text.find(':');
    const std::string_view part = text.substr(0, colon);
    const bool last = colon == std::string_view::npos;
    if (last && v4_tail_allowed && part.find('.') != std::string_view::npos) {
      const std::optional<std::uint32_t> bits = parse_v4(part);
      if (!bits || groups.count > 6) return std::nullopt;
      groups.values[groups.count++] = static_cast<std::uint16_t>(*bits >> 16);
      groups.values[groups.count++] = static_cast<std::uint16_t>(*bits);
      return groups;
    }
    const std::optional<std::uint16_t> group = parse_group(part);
    if (!group || groups.count == 8) return std::nullopt;
    groups.values[groups.count++] = *group;
    if (last) return groups;
    text.remove_prefix(colon + 1);
    if (text.empty()) return std::nullopt;  // "1:" ends in a colon
  }
  return groups;
}

std::optional<IpAddress> parse_v6(std::string_view text) {
  const std::size_t gap = text.find("::");
  std::array<std::uint16_t, 8> all{};
  if (gap == std::string_view::npos) {
    const std::optional<Groups> groups = parse_groups(text, true);
    if (!groups || groups->count != 8) return std::nullopt;
    all = groups->values;
  } else {
    const std::optional<Groups> front = parse_groups(text.substr(0, gap), false);
    const std::optional<Groups> back = parse_groups(text.substr(gap + 2), true);
    // "::" stands for at least one group of zeros (RFC 4291 §2.2: "one or more").
    if (!front || !back || front->count + back->count > 7) return std::nullopt;
    std::copy_n(front->values.begin(), front->count, all.begin());
    std::copy_n(back->values.begin(), back->count, all.end() - static_cast<std::ptrdiff_t>(back->count));
  }
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 0; i < 8; ++i) store_be<std::uint16_t>(bytes, 2 * i, all[i]);
  return IpAddress::v6(bytes);
}

void append_hex(std::string& text, std::uint16_t group) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  bool started = false;
  for (int shift = 12; shift >= 0; shift -= 4) {
    const std::size_t digit = group >> shift & 0xf;
    started = started || digit != 0 || shift == 0;
    if (started) text.push_back(kDigits[digit]);
  }
}

// RFC 5952 §4: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals)
// as "::".
std::string format_v6(const std::array<std::uint8_t, 16>& bytes) {
  std::array<std::uint16_t, 8> groups{};
  for (std::size_t i = 0; i < 8; ++i) groups[i] = load_be<std::uint16_t>(bytes, 2 * i);
  std::size_t gap = 8;
  std::size_t gap_length = 1;
  for (std::size_t i = 0; i < 8;) {
    std::size_t end = i;
    while (end < 8 && groups[end] == 0) ++end;
    if (end - i > gap_length) {
      gap = i;
      gap_length = end - i;
    }
    i = end + 1;
  }
  std::string text;
  for (std::size_t i = 0; i < 8;) {
    if (i == gap) {
      text += "::";
      i += gap_length;
      continue;
    }
    if (!text.empty() && text.back() != ':') text.push_back(':');
    append_hex(text, groups[i++]);
  }
  return text;
}

// The bits of `address` that its version's prefix of `length` names, within the 16 bytes.
std::size_t bits_in_16_bytes(const IpAddress& address, std::uint8_t length) {
  return address.is_v4() ? std::size_t{96} + std::min<std::size_t>(length, 32)
                         : std::min<std::size_t>(length, 128);
}

// A length above 32 names all bits.
std::uint32_t v4_mask(std::uint8_t length) {
  return length == 0 ? 0 : ~std::uint32_t{0} << (32 - std::min<unsigned>(length, 32));
}

std::uint8_t byte_mask(std::size_t bits, std::size_t index) {
  if (bits >= (index + 1) * 8) return 0xff;
  if (bits <= index * 8) return 0;
  return static_cast<std::uint8_t>(0xff00u >> (bits - index * 8));
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.find(':') != std::string_view::npos) return parse_v6(text);
  const std::optional<std::uint32_t> bits = parse_v4(text);
  if (!bits) return std::nullopt;
  return v4(*bits);
}

std::string IpAddress::to_string() const {
  if (!is_v4()) return format_v6(bytes_);
  std::string text;
  for (std::size_t i = 12; i < 16; ++i) {
    if (i != 12) text.push_back('.');
    text += std::to_string(bytes_[i]);
  }
  return text;
}

bool IpAddress::is_unspecified() const { return is_v4() ? v4_bits() == 0 : *this == IpAddress{}; }

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes_[12] == 127;
  IpAddress one;
  one.bytes_[15] = 1;
  return *this == one;
}

bool IpAddress::is_multicast() const { return is_v4() ? (bytes_[12] & 0xf0) == 0xe0 : bytes_[0] == 0xff; }

bool IpAddress::is_broadcast() const { return is_v4() && v4_bits() == 0xffffffff; }

bool IpPrefix::contains(const IpAddress& a) const {
  if (a.is_v4() != address.is_v4()) return false;
  if (a.is_v4()) return ((a.v4_bits() ^ address.v4_bits()) & v4_mask(length)) == 0;  // asked for every packet
  const std::size_t bits = bits_in_16_bytes(address, length);
  for (std::size_t i = 0; i < 16; ++i)
    if (((a.bytes()[i] ^ address.bytes()[i]) & byte_mask(bits, i)) != 0) return false;
  return true;
}

IpPrefix IpPrefix::network() const {
  if (address.is_v4()) return {IpAddress::v4(address.v4_bits() & v4_mask(length)), length};
  std::array<std::uint8_t, 16> bytes = address.bytes();
  const std::size_t bits = bits_in_16_bytes(address, length);
  for (std::size_t i = 0; i < 16; ++i) bytes[i] = static_cast<std::uint8_t>(bytes[i] & byte_mask(bits, i));
  return {IpAddress::v6(bytes), length};
}

std::optional<IpAddress> IpPrefix::broadcast() const {
  // A /31 has two hosts and no broadcast (RFC 3021), a /32 is one host.
  if (!address.is_v4() || length > 30) return std::nullopt;
  return IpAddress::v4(address.v4_bits() | static_cast<std::uint32_t>(0xffffffffull >> length));
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::optional<IpAddress> address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const std::uint8_t full = address->is_v4() ? 32 : 128;
  if (slash == std::string_view::npos) return IpPrefix{*address, full};
  const std::optional<std::uint32_t> length = parse_decimal(text.substr(slash + 1), 3);
  if (!length || *length > full) return std::nullopt;
  return IpPrefix{*address, static_cast<std::uint8_t>(*length)};
}

std::string IpPrefix::to_string() const { return address.to_string() + '/' + std::to_string(length); }

}  // namespace tapir::inline inet
