// SPDX-License-Identifier: Apache-2.0
#include "trace/drop_reason.h"

namespace tapir::trace {

std::string_view to_string(DropReason reason) {
  switch (reason) {
    case DropReason::kNone:
      return "NONE";
#define TAPIR_DROP_REASON(enumerator, name, why) \
  case DropReason::enumerator:                   \
    return name;
#include "trace/drop_reason_list.def"
#undef TAPIR_DROP_REASON
  }
  return "UNKNOWN";
}

std::string_view explain(DropReason reason) {
  switch (reason) {
    case DropReason::kNone:
      return "not dropped";
#define TAPIR_DROP_REASON(enumerator, name, why) \
  case DropReason::enumerator:                   \
    return why;
#include "trace/drop_reason_list.def"
#undef TAPIR_DROP_REASON
  }
  return "unknown";
}

}  // namespace tapir::trace
