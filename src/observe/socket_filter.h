// SPDX-License-Identifier: Apache-2.0
// ss(8)'s filters: which rows of sockets_json() are wanted.
//
//   [state NAME]… [exclude NAME]… [EXPRESSION]
//   EXPRESSION  src|dst [=] ADDRESS[/BITS][:PORT]    sport|dport = != < <= > >= [:]PORT    and or not ( )
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "inet/endpoint.h"

namespace tapir::observe {

class SocketFilter {
 public:
  // Wants everything.
  SocketFilter() = default;
  // Error: one sentence. An expression may be nested kDepthMax deep.
  static std::expected<SocketFilter, std::string> parse(std::span<const std::string> words);
  static constexpr int kDepthMax = 64;

  // The words name states: what else hides rows (listening sockets without -l) does not count then.
  bool names_states() const { return states_ != kAllStates; }
  bool wants(const nlohmann::ordered_json& row) const;

 private:
  friend class FilterParser;
  // What an expression looks at.
  struct Ends {
    Endpoint local;
    Endpoint peer;
  };
  using Test = std::function<bool(const Ends&)>;
  static constexpr std::uint32_t kAllStates = (1u << 11) - 1;

  std::uint32_t states_ = kAllStates;  // bits in the order of the names
  Test test_;                          // empty: all
};

}  // namespace tapir::observe
