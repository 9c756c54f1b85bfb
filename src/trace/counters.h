// SPDX-License-Identifier: Apache-2.0
// What a stack counts: Linux's MIB counters under Linux's names, and dropped packets by reason.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "trace/drop_reason.h"

namespace tapir::trace {

// kTcpExtListenOverflows is the field ListenOverflows of the group TcpExt, which nstat prints as
// TcpExtListenOverflows.
enum class Counter : std::uint16_t {
#define TAPIR_COUNTER(group, field) k##group##field,
#include "trace/counter_list.def"
#undef TAPIR_COUNTER
};

inline constexpr std::size_t kCounters = 0
#define TAPIR_COUNTER(group, field) +1
#include "trace/counter_list.def"
#undef TAPIR_COUNTER
    ;

// "TcpExtListenOverflows", "TcpExt" and "ListenOverflows".
std::string_view to_string(Counter counter);
std::string_view group_of(Counter counter);
std::string_view field_of(Counter counter);
// By its full name; nothing when there is none.
std::optional<Counter> counter_by_name(std::string_view name);

// All counters of one stack, from zero. They wrap at 2^64.
class Counters {
 public:
  void add(Counter counter, std::uint64_t n = 1) { values_[static_cast<std::size_t>(counter)] += n; }
  // For the one gauge among them: kTcpCurrEstab.
  void subtract(Counter counter, std::uint64_t n = 1) { values_[static_cast<std::size_t>(counter)] -= n; }
  std::uint64_t get(Counter counter) const { return values_[static_cast<std::size_t>(counter)]; }

  // A packet went no further. kNone is not a drop and not counted.
  void drop(DropReason reason, std::uint64_t n = 1) {
    if (reason != DropReason::kNone) drops_[static_cast<std::size_t>(reason)] += n;
  }
  std::uint64_t dropped(DropReason reason) const { return drops_[static_cast<std::size_t>(reason)]; }
  // Of all reasons.
  std::uint64_t dropped() const;

 private:
  std::array<std::uint64_t, kCounters> values_{};
  std::array<std::uint64_t, kDropReasons> drops_{};
};

}  // namespace tapir::trace
