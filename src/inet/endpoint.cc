// SPDX-License-Identifier: Apache-2.0
#include "inet/endpoint.h"

namespace tapir::inline inet {

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  // An IPv6 address stands in brackets: "::1:80" would be an address.
  const bool brackets = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  if (brackets != (host.find(':') != std::string_view::npos)) return std::nullopt;
  const std::optional<IpAddress> address = IpAddress::parse(host);
  if (!address || digits.empty() || digits.size() > 5 || (digits.size() > 1 && digits[0] == '0'))
    return std::nullopt;
  std::uint32_t port = 0;
  for (char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    port = port * 10 + static_cast<std::uint32_t>(c - '0');
  }
  if (port > 0xffff) return std::nullopt;
  return Endpoint{*address, static_cast<std::uint16_t>(port)};
}

std::string Endpoint::to_string() const {
  const std::string host = address.to_string();
  const std::string digits = std::to_string(port);
  return address.is_v4() ? host + ':' + digits : '[' + host + "]:" + digits;
}

}  // namespace tapir::inline inet
