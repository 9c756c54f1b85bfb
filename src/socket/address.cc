// SPDX-License-Identifier: Apache-2.0
#include "socket/address.h"

#include <algorithm>
#include <cstring>

namespace tapir::socket {

Result<sa_family_t> family_of(const sockaddr* address, socklen_t length) {
  if (length > sizeof(sockaddr_storage)) return fail(EINVAL);
  if (length != 0 && address == nullptr) return fail(EFAULT);
  if (length < sizeof(sa_family_t)) return fail(EINVAL);
  sa_family_t family;
  std::memcpy(&family, address, sizeof(family));
  return family;
}

Result<IpAddress> address_of(const sockaddr_storage& name) {
  if (name.ss_family != AF_INET) return fail(EINVAL);
  sockaddr_in in;
  std::memcpy(&in, &name, sizeof in);
  return address_of(in.sin_addr);
}

Result<Endpoint> endpoint_of(const sockaddr* address, socklen_t length) {
  if (length > sizeof(sockaddr_storage)) return fail(EINVAL);
  if (length != 0 && address == nullptr) return fail(EFAULT);
  if (length < sizeof(sockaddr_in)) return fail(EINVAL);
  sockaddr_in in;
  std::memcpy(&in, address, sizeof(in));
  return Endpoint{IpAddress::v4(to_big_endian(in.sin_addr.s_addr)), to_big_endian(in.sin_port)};
}

Result<int> store_endpoint(const Endpoint& endpoint, sockaddr* address, socklen_t* length) {
  if (length == nullptr) return fail(EFAULT);
  if (static_cast<int>(*length) < 0) return fail(EINVAL);
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr =
      to_big_endian(endpoint.address.is_v4() ? endpoint.address.v4_bits() : std::uint32_t{0});
  in.sin_port = to_big_endian(endpoint.port);
  const std::size_t stored = std::min<std::size_t>(*length, sizeof(in));
  if (stored != 0 && address == nullptr) return fail(EFAULT);
  if (stored != 0) std::memcpy(address, &in, stored);
  *length = sizeof(in);
  return 0;
}

}  // namespace tapir::socket
