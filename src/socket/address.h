// SPDX-License-Identifier: Apache-2.0
// sockaddr_in <-> Endpoint, with the checks that Linux makes before a protocol sees an address.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "inet/endpoint.h"
#include "socket/errno.h"

namespace tapir::socket {

// The family in an address of `length` bytes. EINVAL: longer than sockaddr_storage, or too short to have one;
// EFAULT: null.
Result<sa_family_t> family_of(const sockaddr* address, socklen_t length);
// The endpoint in a sockaddr_in. EINVAL: short; the family is the caller's to check.
Result<Endpoint> endpoint_of(const sockaddr* address, socklen_t length);
// Writes at most *length bytes and sets *length to the full size (Linux's move_addr_to_user). EFAULT, EINVAL
// (negative length).
Result<int> store_endpoint(const Endpoint& endpoint, sockaddr* address, socklen_t* length);

inline IpAddress address_of(const in_addr& in) { return IpAddress::v4(to_big_endian(in.s_addr)); }
// In a sockaddr_in. EINVAL: another family.
Result<IpAddress> address_of(const sockaddr_storage& name);

}  // namespace tapir::socket
