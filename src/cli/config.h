// SPDX-License-Identifier: Apache-2.0
// `tapir up --config FILE.toml`: the options of `tapir up` under their own names.
//
//   dev     = "tap0"                                  sysctl = ["net.ipv4.tcp_sack=0"]   # or a table:
//   addr    = ["10.0.0.1/24"]     # or one string     [sysctl]
//   serve   = ["echo:7", "http:80=site"]              "net.ipv4.tcp_sack" = 0
//   peer, gateway, mtu, pcap, impair, control
#pragma once

#include <expected>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands.h"

namespace tapir::cli {

// The options of both, and where each came from.
struct Configured {
  UpOptions options;
  // How a complaint about a value begins: "FILE:12: impair: " or "--impair: ".
  std::string origin(std::string_view option, std::string_view value) const;

  std::string file;
  std::map<std::string, unsigned, std::less<>> lines;  // of values in the file, by "option\nvalue"
};

// Reads `command_line.config`, if there is one. Values of the command line replace the file's; sysctls follow
// them. An error is one sentence with the file's name and line. Paths in the file are taken as they stand,
// from the current folder.
std::expected<Configured, std::string> with_config(const UpOptions& command_line);
// The same of a text; for tests.
std::expected<Configured, std::string> with_config_text(const UpOptions& command_line, std::string_view text,
                                                        const std::string& file);

// "echo:7,discard:9" at its commas; a folder's name may hold none.
std::vector<std::string> split_at_commas(std::string_view text);

}  // namespace tapir::cli
