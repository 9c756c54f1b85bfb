// SPDX-License-Identifier: Apache-2.0
// Numbers as words: readiness, options and their values, control messages.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <span>
#include <string>

#include "differential/api.h"

namespace tapir::differential {

// "IN|RDNORM".
std::string poll_text(int events);

// An option that both worlds know.
struct OptionName {
  int level;
  int name;
  const char* text;
  // What is compared of its value: an int, raw bytes, only the length, or only that it can be read.
  enum class Value : unsigned char { kInt, kLinger, kTimeout, kText, kInfo, kOpaque } value = Value::kInt;
};
std::span<const OptionName> option_names();
std::string option_text(int level, int name);
// Bytes of the option's value.
socklen_t value_size(int level, int name);
std::string value_text(int level, int name, const unsigned char* value, socklen_t length);
// A valid value of the option; its size.
socklen_t example_value(int level, int name, unsigned char* value);
std::string control_value_text(const Place& place, int level, int type, const unsigned char* value,
                               std::size_t size);

}  // namespace tapir::differential
