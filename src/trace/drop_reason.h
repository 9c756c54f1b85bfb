// SPDX-License-Identifier: Apache-2.0
// Why a packet went no further. Every drop has exactly one reason, is counted under it, and is traced with
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tapir::trace {

// kTcpOldData is Linux's SKB_DROP_REASON_TCP_OLD_DATA, and so on: see drop_reason_list.def for what each
// means.
enum class DropReason : std::uint8_t {
  kNone,  // not dropped
#define TAPIR_DROP_REASON(enumerator, name, why) enumerator,
#include "trace/drop_reason_list.def"
#undef TAPIR_DROP_REASON
};

// How many reasons there are, kNone included.
inline constexpr std::size_t kDropReasons = 1
#define TAPIR_DROP_REASON(enumerator, name, why) +1
#include "trace/drop_reason_list.def"
#undef TAPIR_DROP_REASON
    ;
static_assert(kDropReasons <= 256);

// "TCP_OLD_DATA", as Linux's drop monitor prints it; "NONE" for kNone.
std::string_view to_string(DropReason reason);
// The reason in words.
std::string_view explain(DropReason reason);

}  // namespace tapir::trace
