// SPDX-License-Identifier: Apache-2.0
#include "plugin/flags.h"

namespace tapir::plugin {

std::expected<Flags, std::string> parse_flags(const char* text) {
  Flags flags;
  flags.settings = sim::drill::default_settings();
  std::string_view left = text != nullptr ? text : "";
  while (!left.empty()) {
    const std::string_view item = left.substr(0, left.find(','));
    left.remove_prefix(std::min(left.size(), item.size() + 1));
    const std::size_t equals = item.find('=');
    const std::string_view name = item.substr(0, equals);
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : item.substr(equals + 1);
    if (name == "tso" && (value == "on" || value == "off")) {
      flags.segmentation_offload = value == "on";
    } else if (name == "sysctl" && (value == "proc" || value == "none")) {
      flags.read_proc_sys = value == "proc";
    } else if (name == "local" || name == "remote" || name == "gateway" || name == "mtu") {
      const std::string option = std::string(name) + (name == "mtu" ? "" : "_ip");
      if (const auto problem = sim::drill::apply_option(flags.settings, option, value))
        return std::unexpected(problem->message);
    } else {
      return std::unexpected("--so_flags: \"" + std::string(item) +
                             "\" is none of local=, remote=, gateway=, mtu=, tso=on|off, sysctl=proc|none");
    }
  }
  return flags;
}

}  // namespace tapir::plugin
