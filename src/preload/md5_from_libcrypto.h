// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace tapir::preload {

// Looks for libcrypto, once; without one TCP_MD5SIG answers ENOPROTOOPT. Before the stack's lock is taken:
// the dynamic linker has a lock of its own, and runs constructors under it that may call us. Weak: null in a
// build without libcrypto.
[[gnu::weak]] void seek_libcrypto();

}  // namespace tapir::preload
