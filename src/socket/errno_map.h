// SPDX-License-Identifier: Apache-2.0
// What the protocols' reasons are called in Linux. The only place that turns them into numbers.
#pragma once

#include "inet/delivery_error.h"
#include "ip/routes.h"
#include "tcp/state.h"

namespace tapir::socket {

// The errno of a connection that ended; 0 for kNone.
int linux_errno(tcp::CloseCause cause);
// The errno of a datagram that was not delivered (Linux's icmp_err_convert and icmp_err).
int linux_errno(const DeliveryError& error);
// The errno of a failed route look-up, as connect(2) and sendto(2) answer it.
int linux_errno(ip::RouteError error);

}  // namespace tapir::socket
