// SPDX-License-Identifier: Apache-2.0
// The constants that scripts use by name, with Linux's values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tapir::sim::drill {

// The value of a constant of Linux's socket interface ("SO_REUSEADDR", "EAGAIN", "TCP_CA_Open", "NULL"), if
// it is one.
std::optional<std::int64_t> symbol_value(std::string_view name);

// "EAGAIN" of 11; a number as text when it has no name.
std::string errno_name(int number);

// "EPOLLIN|EPOLLOUT": the bits of `value` by the names that begin with `prefix`; what has no name in
// hexadecimal.
std::string flag_names(std::string_view prefix, std::uint64_t value);

// ICMP names of packetdrill's grammar: type "unreachable" and its codes "host_unreachable" ...
std::optional<std::uint8_t> icmp_type_value(std::string_view name);
std::optional<std::uint8_t> icmp_code_value(std::uint8_t type, std::string_view name);
// "unreachable frag_needed": both names, a number where there is none.
std::string icmp_names(std::uint8_t type, std::uint8_t code);

}  // namespace tapir::sim::drill
