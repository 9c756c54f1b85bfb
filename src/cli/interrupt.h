// SPDX-License-Identifier: Apache-2.0
// SIGINT and SIGTERM as a flag, for commands that run until they are told to end.
#pragma once

#include <csignal>

namespace tapir::cli {

// From now on the first of each signal sets the flag and ends every system call that waits (EINTR). A second
// ends the process at once: it may be writing to somebody who does not read. SIGPIPE is ignored.
void catch_interrupts();
// The signal that came last; 0 = none.
const volatile std::sig_atomic_t& interrupted();
// The command that it ended is over, and another may follow: catches anew.
void forget_interrupt();
// Sleeps until one has come.
void wait_for_interrupt();

}  // namespace tapir::cli
