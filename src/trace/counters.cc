// SPDX-License-Identifier: Apache-2.0
#include "trace/counters.h"

namespace tapir::trace {
namespace {

struct Name {
  std::string_view full;
  std::size_t group_length;
};

constexpr std::array<Name, kCounters> kNames = {{
#define TAPIR_COUNTER(group, field) {#group #field, sizeof(#group) - 1},
#include "trace/counter_list.def"
#undef TAPIR_COUNTER
}};

const Name& name_of(Counter counter) { return kNames[static_cast<std::size_t>(counter)]; }

}  // namespace

std::string_view to_string(Counter counter) { return name_of(counter).full; }
std::string_view group_of(Counter counter) {
  return name_of(counter).full.substr(0, name_of(counter).group_length);
}
std::string_view field_of(Counter counter) {
  return name_of(counter).full.substr(name_of(counter).group_length);
}

std::optional<Counter> counter_by_name(std::string_view name) {
  for (std::size_t i = 0; i < kCounters; ++i)
    if (kNames[i].full == name) return static_cast<Counter>(i);
  return std::nullopt;
}

std::uint64_t Counters::dropped() const {
  std::uint64_t sum = 0;
  for (std::uint64_t n : drops_) sum += n;
  return sum;
}

}  // namespace tapir::trace
