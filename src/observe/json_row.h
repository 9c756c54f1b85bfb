// SPDX-License-Identifier: Apache-2.0
// What a table's text takes out of a row of its JSON.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace tapir::observe {

// The value under `key`; missing or null: `otherwise`.
template <typename T = std::string>
T get(const nlohmann::ordered_json& row, const char* key, T otherwise = {}) {
  const auto found = row.find(key);
  return found == row.end() || found->is_null() ? otherwise : found->get<T>();
}

inline std::uint64_t number(const nlohmann::ordered_json& row, const char* key) {
  return get<std::uint64_t>(row, key, 0);
}

}  // namespace tapir::observe
