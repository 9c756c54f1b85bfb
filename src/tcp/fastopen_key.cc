// SPDX-License-Identifier: Apache-2.0
#include "tcp/fastopen_key.h"

#include <array>
#include <charconv>

namespace tapir::tcp {

namespace {

constexpr std::size_t kGroups = 4;

// A key's four groups are the little-endian 32-bit words of its 16 bytes (Linux: proc_tcp_fastopen_key).
std::optional<SipKey> parse_key(std::string_view text) {
  std::array<std::uint32_t, kGroups> groups{};
  for (std::size_t i = 0; i < kGroups; ++i) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), groups[i], 16);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const bool last = i + 1 == kGroups;
    if (last != text.empty()) return std::nullopt;
    if (last) break;
    if (text.front() != '-') return std::nullopt;
    text.remove_prefix(1);
  }
  return SipKey{groups[0] | static_cast<std::uint64_t>(groups[1]) << 32,
                groups[2] | static_cast<std::uint64_t>(groups[3]) << 32};
}

void append_key(const SipKey& key, std::string& text) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t i = 0; i < kGroups; ++i) {
    if (i != 0) text += '-';
    const auto group = static_cast<std::uint32_t>((i < 2 ? key.k0 : key.k1) >> (i % 2 * 32));
    for (int shift = 28; shift >= 0; shift -= 4) text += kDigits[group >> shift & 15];
  }
}

}  // namespace

std::optional<FastOpenKeys> parse_fast_open_keys(std::string_view text) {
  const std::size_t comma = text.find(',');
  const auto primary = parse_key(text.substr(0, comma));
  if (!primary) return std::nullopt;
  FastOpenKeys keys{*primary, std::nullopt};
  if (comma == std::string_view::npos) return keys;
  keys.backup = parse_key(text.substr(comma + 1));
  return keys.backup ? std::optional(keys) : std::nullopt;
}

std::string fast_open_keys_text(const FastOpenKeys& keys) {
  std::string text;
  append_key(keys.primary, text);
  if (keys.backup) {
    text += ',';
    append_key(*keys.backup, text);
  }
  return text;
}

}  // namespace tapir::tcp
