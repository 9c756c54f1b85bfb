// SPDX-License-Identifier: Apache-2.0
// From a script's text to its events.
#pragma once

#include <expected>
#include <map>
#include <string>
#include <string_view>

#include "sim/drill/ast.h"

namespace tapir::sim::drill {

// Words that a run gives a meaning (packetdrill's -D NAME=VALUE): a number, a symbol, or the digits of a
// cookie.
using Definitions = std::map<std::string, std::string, std::less<>>;

// The script in `text`, or where it is not one and what was expected there.
std::expected<Script, ScriptError> parse_script(std::string_view text, const Definitions& definitions);

}  // namespace tapir::sim::drill
