// SPDX-License-Identifier: Apache-2.0
// What giving a buffer costs is paid back by large ones alone.
#pragma once

#include <cstddef>

namespace tapir::socket {

// Less than this is to be sent as ever, copied (tcp::kGivenMin, which says why).
inline constexpr std::size_t kGivenMin = 8192;

}  // namespace tapir::socket
