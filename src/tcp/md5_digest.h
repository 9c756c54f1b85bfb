// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "base/bytes.h"
#include "tcp/md5.h"

namespace tapir::tcp {

// MD5 of three parts in a row (RFC 1321). Weak: null where md5_libcrypto.cc is left out.
[[gnu::weak]] void md5_of(Bytes front, std::span<const Bytes> middle, Bytes end, Md5Digest& digest);

}  // namespace tapir::tcp
