// SPDX-License-Identifier: Apache-2.0
#include "inet/delivery_error.h"

namespace tapir::inline inet {

std::string_view to_string(DeliveryErrorKind kind) {
  switch (kind) {
    case DeliveryErrorKind::kNetUnreachable:
      return "network unreachable";
    case DeliveryErrorKind::kHostUnreachable:
      return "host unreachable";
    case DeliveryErrorKind::kProtocolUnreachable:
      return "protocol unreachable";
    case DeliveryErrorKind::kPortUnreachable:
      return "port unreachable";
    case DeliveryErrorKind::kFragmentationNeeded:
      return "fragmentation needed";
    case DeliveryErrorKind::kSourceRouteFailed:
      return "source route failed";
    case DeliveryErrorKind::kAdminProhibited:
      return "administratively prohibited";
    case DeliveryErrorKind::kTimeExceeded:
      return "time exceeded";
    case DeliveryErrorKind::kParameterProblem:
      return "parameter problem";
  }
  return "unknown";
}

}  // namespace tapir::inline inet
