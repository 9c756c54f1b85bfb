// SPDX-License-Identifier: Apache-2.0
// What the commands on the control socket have in common, on the asking side.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "cli/commands.h"
#include "runtime/control_client.h"

namespace tapir::cli {

// "tapir NAME: sentence" to stderr; returns `status`.
int complain(std::string_view name, std::string_view sentence, int status = 1);

// Asks for one table. Nothing: it has complained, and the command returns 1.
std::optional<nlohmann::json> ask_table(std::string_view name, const ControlOptions& options,
                                        const nlohmann::json& question);

// Asks for a stream; `take` answers false to end it, `input` is what is said meanwhile. Returns the exit
// status: 0 also when SIGINT or SIGTERM ended it.
int ask_stream(std::string_view name, const ControlOptions& options, const nlohmann::json& question,
               const std::function<bool(const nlohmann::json& data)>& take,
               runtime::ControlInput* input = nullptr);

// Prints JSON as the commands do: indented, whatever bytes its strings hold.
void print_json(const nlohmann::ordered_json& value);
// The same in one line, for streams; flushed.
void print_json_line(const nlohmann::ordered_json& value);

}  // namespace tapir::cli
