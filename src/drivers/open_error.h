// SPDX-License-Identifier: Apache-2.0
// Why a device cannot be opened: one sentence that says what to do.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace tapir::drivers {

inline std::unexpected<std::string> sentence(std::string text) { return std::unexpected(std::move(text)); }

}  // namespace tapir::drivers
