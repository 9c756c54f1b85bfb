// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "base/bytes.h"
#include "tcp/md5.h"

namespace tapir::tcp {

// MD5 of three parts in a row (RFC 1321). False: there is no libcrypto at run time, or no memory. Weak: null
// in a build without libcrypto. md5_libcrypto.cc has it, and for libtapir-preload.so
// preload/md5_from_libcrypto.cc.
[[gnu::weak]] bool md5_of(Bytes front, std::span<const Bytes> middle, Bytes end, Md5Digest& digest);

}  // namespace tapir::tcp
