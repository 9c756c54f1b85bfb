// SPDX-License-Identifier: Apache-2.0
// IPv4 options of ours: what a program may set, and what of it is filled in as a packet leaves (RFC 791
// §3.1).
#pragma once

#include <cstdint>
#include <optional>

#include "inet/ip_address.h"
#include "inet/ip_options.h"
#include "ip/interfaces.h"

namespace tapir::ip {

// Why options are not taken.
enum class OptionsError : std::uint8_t {
  kMalformed,    // or reserved for the privileged, as all that are not known
  kSourceRoute,  // loose and strict source routes are not sent (RFC 7126 §4.3, §4.4: everybody drops them)
};

// Takes what a program hands over (Linux's ip_options_get and ip_options_compile): padded to a multiple of 4
// with ends of list; fields that are filled in later are zero. At most kIpOptionsMax bytes.
std::optional<OptionsError> take_options(Bytes given, bool privileged, IpOptions& options);

// The options as they leave: record route and timestamp have their first entry, ours (Linux's
// ip_options_build). `milliseconds`: since midnight, universal time.
IpOptions written_options(const IpOptions& set, const IpAddress& source, std::uint32_t milliseconds,
                          const Interfaces& interfaces);

}  // namespace tapir::ip
