// SPDX-License-Identifier: Apache-2.0
// Linux's error numbers as a type. Only socket/ and what is above it knows them.
#pragma once

#include <cerrno>
#include <expected>

namespace tapir::socket {

// A positive Linux errno.
enum class Errno : int {};

template <typename T>
using Result = std::expected<T, Errno>;

inline std::unexpected<Errno> fail(int linux_errno) { return std::unexpected(Errno{linux_errno}); }

}  // namespace tapir::socket
