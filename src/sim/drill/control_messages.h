// SPDX-License-Identifier: Apache-2.0
// Control messages of recvmsg() and sendmsg(): the script's lists against the bytes of a msghdr.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "sim/drill/ast.h"

namespace tapir::sim::drill {

// One {cmsg_level=, cmsg_type=, cmsg_data=} of a script.
struct ExpectedControl {
  enum class Data : std::uint8_t { kNumber, kExtendedError, kTimestamp };
  int level = 0;
  int type = 0;
  Data data = Data::kNumber;
  std::int64_t number = 0;         // kNumber: an int, or a byte
  std::uint32_t error_number = 0;  // kExtendedError: ee_errno and on
  std::uint8_t origin = 0, error_type = 0, code = 0;
  std::uint32_t info = 0, error_data = 0;
  Duration timestamp{};  // kTimestamp: since the script's start
};

// When the script started, and how far a timestamp may be off.
struct TimeBase {
  Instant start{};
  Duration tolerance{};
};

struct ControlDifference {
  std::string reason;
  std::string expected;
  std::string got;
};

// The list of a script, or what is wrong with it.
std::expected<std::vector<ExpectedControl>, std::string> expected_controls(const Expression& list);
// The first difference: number, order, levels, types and data count.
std::optional<ControlDifference> compare_controls(const std::vector<ExpectedControl>& expected,
                                                  const msghdr& message, const TimeBase& base);
// The list as bytes to send; numbers only.
std::expected<std::vector<std::uint8_t>, std::string> control_bytes(const Expression& list);

}  // namespace tapir::sim::drill
