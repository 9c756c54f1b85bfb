// SPDX-License-Identifier: Apache-2.0
// What a signal does to a call that waits.
#pragma once

namespace tapir::runtime {

// True when every handler that this process has installed has SA_RESTART. The kernel knows which handler has
// just run; we cannot, but a program that mixes the two kinds is rare, and it gets the EINTR that it must be
// ready for anyway.
bool all_handlers_restart();

}  // namespace tapir::runtime
