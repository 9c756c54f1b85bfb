// SPDX-License-Identifier: Apache-2.0
// The public API's addresses are texts, the sockets' are sockaddrs.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>

#include "inet/endpoint.h"

namespace tapir::api {

// Any address of a socket call, with room for both versions.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress to_socket_address(const Endpoint& endpoint);
// Of "10.0.0.1:80"; nothing when it is none.
std::optional<SocketAddress> parse_address(std::string_view text);
// "10.0.0.1:80"; "" for an address of another family.
std::string to_text(const SocketAddress& address);

}  // namespace tapir::api
