// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "inet/ip_address.h"

namespace tapir::inline inet {

// An address and a port, in host order.
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  // "10.0.0.1:80" (IPv6: "[::1]:80").
  static std::optional<Endpoint> parse(std::string_view text);
  std::string to_string() const;
  friend constexpr bool operator==(const Endpoint&, const Endpoint&) = default;
};

// What names a connection: both ends, ours first.
struct FourTuple {
  Endpoint local;
  Endpoint remote;
  friend constexpr bool operator==(const FourTuple&, const FourTuple&) = default;
};

}  // namespace tapir::inline inet
