// SPDX-License-Identifier: Apache-2.0
// Bytes as text in JSON (RFC 4648 §4).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace tapir::cli {

std::string to_base64(Bytes bytes);
// Characters that are not of the alphabet count as 'A': what this reads, to_base64() wrote.
std::vector<std::uint8_t> from_base64(std::string_view text);

}  // namespace tapir::cli
