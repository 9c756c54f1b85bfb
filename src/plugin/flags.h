// SPDX-License-Identifier: Apache-2.0
// What --so_flags says: NAME=VALUE, parted by commas.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "sim/drill/settings.h"

namespace tapir::plugin {

// The interface tells neither addresses nor the MTU nor what shell commands set. Our address is learnt from
// bind() and from what is injected; the rest is the tool's default unless told here.
struct Flags {
  sim::drill::Settings settings;      // local=, remote=, gateway=, mtu=
  bool segmentation_offload = false;  // tso=on: super-segments leave whole. The tool's own device takes none
  bool read_proc_sys =
      true;  // sysctl=none: knobs keep their defaults, whatever /proc/sys/net/ipv4 of our namespace says
};

// `text` null: all defaults. An error is one sentence.
std::expected<Flags, std::string> parse_flags(const char* text);

}  // namespace tapir::plugin
