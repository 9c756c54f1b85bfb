// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"

#include <unistd.h>

#include <cstdlib>

namespace tapir::cli {

std::string default_control_path() {
  if (const char* path = std::getenv("TAPIR_CONTROL"); path != nullptr && *path != '\0') return path;
  if (::geteuid() == 0) return "/run/tapir.sock";
  if (const char* folder = std::getenv("XDG_RUNTIME_DIR"); folder != nullptr && *folder != '\0')
    return std::string(folder) + "/tapir.sock";
  return "/tmp/tapir-" + std::to_string(::geteuid()) + ".sock";
}

}  // namespace tapir::cli
