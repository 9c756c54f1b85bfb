// SPDX-License-Identifier: Apache-2.0
// What the makers of calls share: arguments taken one by one.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sim/drill/call_memory.h"
#include "sim/drill/calls.h"
#include "sim/drill/symbols.h"

namespace tapir::sim::drill {

using socket::Result;

// Stands for a descriptor that the script never opened: the stack must answer EBADF.
inline constexpr int kNoSuchDescriptor = 1 << 24;
// What buffers to read into hold before the call: injected payload is zeros, so anything left of it shows.
inline constexpr std::uint8_t kUnread = 0xa5;
// Arguments larger than this are mistakes in the script.
inline constexpr std::int64_t kBufferMax = 64 << 20;

inline std::string result_text(const Result<long>& result) {
  return result ? std::to_string(*result) : "-1 " + errno_name(static_cast<int>(result.error()));
}

inline std::string expected_text(const CallEvent& event) {
  if (event.result.kind == Expression::Kind::kEllipsis) return "...";
  return event.result.text + (event.error_name.empty() ? "" : " " + event.error_name);
}

template <typename T>
Result<long> to_long(const Result<T>& result) {
  if (!result) return std::unexpected(result.error());
  return static_cast<long>(*result);
}

inline const Field* find_field(const Expression& structure, std::string_view name) {
  for (const Field& field : structure.fields)
    if (field.name == name) return &field;
  return nullptr;
}

// Takes arguments one by one; the first that is not what the call needs is remembered.
class Calls::Arguments {
 public:
  Arguments(Calls& calls, const CallEvent& event) : calls_(calls), event_(event) {}

  const CallEvent& event() const { return event_; }
  std::size_t count() const { return event_.arguments.size(); }
  std::optional<Problem> problem;

  void fail(std::string what) {
    if (!problem) problem = Problem{fmt::format("{}(): {}", event_.name, what), {}, {}};
  }
  void expect_count(std::size_t low, std::size_t high) {
    if (count() >= low && count() <= high) return;
    fail(low == high ? fmt::format("expected {} arguments, got {}", low, count())
                     : fmt::format("expected {} to {} arguments, got {}", low, high, count()));
  }
  const Expression& at(std::size_t i) {
    static const auto* const kNothing = new Expression;
    if (i < count()) return event_.arguments[i];
    fail(fmt::format("argument {} is missing", i + 1));
    return *kNothing;
  }
  bool is_ellipsis(std::size_t i) { return at(i).kind == Expression::Kind::kEllipsis; }
  bool is_null(std::size_t i) {
    return at(i).kind == Expression::Kind::kInteger && at(i).integer == 0 && at(i).text != "AF_UNSPEC";
  }

  std::int64_t number(std::size_t i) { return number_of(at(i), fmt::format("argument {}", i + 1)); }
  int integer(std::size_t i) { return static_cast<int>(number(i)); }
  std::int64_t number_of(const Expression& expression, std::string_view what) {
    // [N] stands for a pointer to N.
    if (expression.kind == Expression::Kind::kList && expression.items.size() == 1)
      return number_of(expression.items[0], what);
    if (expression.kind == Expression::Kind::kInteger) return expression.integer;
    if (expression.kind == Expression::Kind::kCall && expression.items.size() == 1 &&
        expression.items[0].kind == Expression::Kind::kInteger)
      return expression.items[0].integer;  // htons(): structures are written in host order here
    fail(fmt::format("{} must be a number", what));
    return 0;
  }
  std::size_t size(std::size_t i) { return size_of(at(i)); }
  std::size_t size_of(const Expression& expression) {
    const std::int64_t value = number_of(expression, "a size");
    if (value < 0 || value > kBufferMax) fail(fmt::format("{} is no size", value));
    return static_cast<std::size_t>(std::clamp<std::int64_t>(value, 0, kBufferMax));
  }
  // The stack's descriptor.
  int fd(std::size_t i) { return fd_of(number(i)); }
  int fd_of(std::int64_t script_fd) {
    const auto it = calls_.descriptors_.find(static_cast<int>(script_fd));
    return it == calls_.descriptors_.end() ? (script_fd < 0 ? -1 : kNoSuchDescriptor) : it->second;
  }
  std::int64_t field(const Expression& structure, std::string_view name,
                     std::optional<std::int64_t> otherwise = std::nullopt) {
    if (const Field* found = find_field(structure, name)) return number_of(found->value, name);
    if (!otherwise) fail(fmt::format("expected a field '{}'", name));
    return otherwise.value_or(0);
  }
  void expect_kind(const Expression& expression, Expression::Kind kind, std::string_view what) {
    if (expression.kind != kind) fail(fmt::format("expected {}", what));
  }

  // Arguments i (address) and i + 1 (its length) into `memory`; `otherwise` is what "..." means.
  void address(std::size_t i, const Endpoint& otherwise, CallMemory& memory) {
    const Expression& expression = at(i);
    socklen_t length = 0;
    if (expression.kind == Expression::Kind::kEllipsis) {
      length = write_address(otherwise, memory.address);
    } else if (expression.kind ==
               Expression::Kind::kInteger) {  // AF_UNSPEC: an address of that family and nothing else
      memory.address.ss_family = static_cast<sa_family_t>(expression.integer);
      length = sizeof(sockaddr_storage);
    } else if (expression.kind == Expression::Kind::kStruct) {
      length = structured_address(expression, memory);
    } else {
      fail("expected '...', AF_UNSPEC or a struct for an address");
    }
    memory.address_length = is_ellipsis(i + 1) ? length : static_cast<socklen_t>(size(i + 1));
  }

 private:
  socklen_t structured_address(const Expression& expression, CallMemory& memory) {
    Endpoint endpoint;
    endpoint.port = static_cast<std::uint16_t>(field(expression, "sin_port", 0));
    endpoint.address = IpAddress::any_v4();
    if (const Field* host = find_field(expression, "sin_addr")) {
      const Expression& value = host->value;
      const std::string text =
          value.kind == Expression::Kind::kCall && !value.items.empty() ? value.items[0].text : value.text;
      const auto parsed = IpAddress::parse(text);
      if (parsed && parsed->is_v4())
        endpoint.address = *parsed;
      else if (value.kind != Expression::Kind::kInteger || value.integer != 0)
        fail(fmt::format("'{}' is no IPv4 address", text));
    }
    const socklen_t length = write_address(endpoint, memory.address);
    memory.address.ss_family = static_cast<sa_family_t>(field(expression, "sa_family", AF_INET));
    return length;
  }

  Calls& calls_;
  const CallEvent& event_;
};

}  // namespace tapir::sim::drill
