// SPDX-License-Identifier: Apache-2.0
// The secrets that Fast Open cookies are made with (RFC 7413 §4.1.2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/siphash.h"

namespace tapir::tcp {

// The first makes cookies; the second is one that was used before: what it made is still taken, and replaced.
struct FastOpenKeys {
  SipKey primary;
  std::optional<SipKey> backup;
  friend bool operator==(const FastOpenKeys&, const FastOpenKeys&) = default;
};

// Bytes of one key, as TCP_FASTOPEN_KEY takes them.
inline constexpr std::size_t kFastOpenKeyBytes = 16;

// The text of the knob tcp_fastopen_key: four groups of up to eight hexadecimal digits parted by '-', after a
// ',' the second key.
std::optional<FastOpenKeys> parse_fast_open_keys(std::string_view text);
std::string fast_open_keys_text(const FastOpenKeys& keys);

}  // namespace tapir::tcp
