// SPDX-License-Identifier: Apache-2.0
#include "socket/errno_map.h"

#include <cerrno>

#include "wire/icmp.h"

namespace tapir::socket {

int linux_errno(tcp::CloseCause cause) {
  switch (cause) {
    case tcp::CloseCause::kNone:
      return 0;
    case tcp::CloseCause::kReset:
      return ECONNRESET;
    case tcp::CloseCause::kResetAfterFin:
      return EPIPE;
    case tcp::CloseCause::kRefused:
      return ECONNREFUSED;
    case tcp::CloseCause::kTimedOut:
      return ETIMEDOUT;
    case tcp::CloseCause::kNetUnreachable:
      return ENETUNREACH;
    case tcp::CloseCause::kHostUnreachable:
      return EHOSTUNREACH;
    case tcp::CloseCause::kProtocolUnreachable:
      return ENOPROTOOPT;
    case tcp::CloseCause::kPortUnreachable:
      return ECONNREFUSED;
    case tcp::CloseCause::kMessageTooLong:
      return EMSGSIZE;
    case tcp::CloseCause::kProhibited:
      return EACCES;
    case tcp::CloseCause::kHostUnknown:
      return EHOSTDOWN;
    case tcp::CloseCause::kHostIsolated:
      return ENONET;
    case tcp::CloseCause::kSourceRouteFailed:
      return EOPNOTSUPP;
    case tcp::CloseCause::kParameterProblem:
      return EPROTO;
    case tcp::CloseCause::kAborted:
      return ECONNABORTED;
    case tcp::CloseCause::kOutOfMemory:
      return ENOMEM;
  }
  return EPROTO;
}

int linux_errno(const DeliveryError& error) {
  switch (error.kind) {
    case DeliveryErrorKind::kNetUnreachable:
      return ENETUNREACH;
    case DeliveryErrorKind::kHostUnreachable:
      if (error.from_icmp && error.icmp_code == wire::kUnreachableHostUnknown) return EHOSTDOWN;
      if (error.from_icmp && error.icmp_code == wire::kUnreachableHostIsolated) return ENONET;
      return EHOSTUNREACH;
    case DeliveryErrorKind::kProtocolUnreachable:
      return ENOPROTOOPT;
    case DeliveryErrorKind::kPortUnreachable:
      return ECONNREFUSED;
    case DeliveryErrorKind::kFragmentationNeeded:
      return EMSGSIZE;
    case DeliveryErrorKind::kSourceRouteFailed:
      return EOPNOTSUPP;
    case DeliveryErrorKind::kAdminProhibited:
      return error.icmp_code == wire::kUnreachableNetProhibited ? ENETUNREACH : EHOSTUNREACH;
    case DeliveryErrorKind::kTimeExceeded:
      return EHOSTUNREACH;
    case DeliveryErrorKind::kParameterProblem:
      return EPROTO;
  }
  return EPROTO;
}

int linux_errno(ip::RouteError error) {
  switch (error) {
    case ip::RouteError::kNetUnreachable:
    case ip::RouteError::kInterfaceDown:
    case ip::RouteError::kBadGateway:
    case ip::RouteError::kBadSource:
      return ENETUNREACH;
    case ip::RouteError::kHostUnreachable:
      return EHOSTUNREACH;
    case ip::RouteError::kProhibited:
    case ip::RouteError::kBroadcast:
      return EACCES;
    case ip::RouteError::kBlackhole:
      return EINVAL;
    case ip::RouteError::kNoInterface:
      return ENODEV;
    case ip::RouteError::kExists:
      return EEXIST;
    case ip::RouteError::kNotFound:
      return ESRCH;
    case ip::RouteError::kTooMany:
      return ENOBUFS;
  }
  return EINVAL;
}

}  // namespace tapir::socket
