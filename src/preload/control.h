// SPDX-License-Identifier: Apache-2.0
// The control socket of a program that runs on tapir: `tapir ss`, `nstat`, `sysctl` and `trace` ask it.
#pragma once

#include <expected>
#include <string>

#include "runtime/stack_host.h"

namespace tapir::preload {

// Serves `host` at `path` until close_control(); an error is one sentence.
std::expected<void, std::string> open_control(const std::string& path, runtime::StackHost& host);
// Takes the socket away; nothing when there is none.
void close_control();

}  // namespace tapir::preload
