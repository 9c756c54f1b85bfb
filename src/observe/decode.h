// SPDX-License-Identifier: Apache-2.0
// Trace records in words: a line per record, or its fields as JSON.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/time.h"
#include "trace/record.h"

namespace tapir::observe {

// Who reports: the names that `tapir trace --layer` takes.
inline constexpr std::array<std::string_view, 8> kLayers = {"frame", "ip",  "udp",    "tcp",
                                                            "stack", "raw", "socket", "other"};
// One of kLayers.
std::string_view layer_of(const trace::Record& record);
bool is_layer(std::string_view name);

// One fact of a record.
struct Field {
  std::string_view name;
  std::variant<std::uint64_t, std::string> value;
};

struct Decoded {
  std::string_view layer;
  std::string event;          // "segment in", "state", …; "event 0x0701" of one that is unknown here
  std::string subject;        // "connection 3", "interface 2"; empty: the stack
  std::vector<Field> fields;  // in the order they are told
};
Decoded decode(const trace::Record& record);

// "   12.345678 tcp   connection 0      state          ESTABLISHED -> CLOSE-WAIT"; times are seconds since
// `begin`. `who`: what stands in the place of the layer; empty: the layer.
std::string decode_text(const trace::Record& record, Instant begin, std::string_view who = {});
// {"time_ns", "layer", "event", "subject", …fields}; times are nanoseconds since `begin`.
nlohmann::ordered_json decode_json(const trace::Record& record, Instant begin);

}  // namespace tapir::observe
