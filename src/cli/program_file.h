// SPDX-License-Identifier: Apache-2.0
// What a program's file says about whether a library can be put before its libc.
#pragma once

#include <optional>
#include <string>

namespace tapir::cli {

// One sentence when the program's sockets will stay the kernel's whatever we do: it is statically linked, of
// Go, or the loader takes no LD_PRELOAD for it. `name` is looked up as execvp(3) does. Nothing when all seems
// well, or the file cannot be read.
std::optional<std::string> why_not_preloadable(const std::string& name);

}  // namespace tapir::cli
