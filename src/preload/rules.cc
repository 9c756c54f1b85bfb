// SPDX-License-Identifier: Apache-2.0
#include "preload/rules.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "preload/settings.h"

namespace tapir::preload {
namespace {

std::optional<std::uint16_t> port_of(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return port;
}

}  // namespace

bool Rules::ours(const Endpoint& endpoint, bool tcp) const {
  for (const IpPrefix& net : except)
    if (net.contains(endpoint.address)) return false;
  // Port 0 asks for any: not yet known.
  if (only.empty() || endpoint.port == 0) return true;
  return std::any_of(only.begin(), only.end(), [&](const Ports& ports) {
    return (tcp ? ports.tcp : ports.udp) && endpoint.port >= ports.first && endpoint.port <= ports.last;
  });
}

std::expected<Rules, std::string> parse_rules(std::string_view only, std::string_view except) {
  Rules rules;
  bool tcp = true;
  bool udp = true;
  for (const std::string& part : split(only, ',')) {
    std::string_view text = part;
    if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
      const std::string_view protocol = text.substr(0, colon);
      if (protocol != "tcp" && protocol != "udp")
        return std::unexpected("--only " + part + ": the protocol is tcp or udp, as in tcp:80,8000-9000");
      tcp = protocol == "tcp";
      udp = !tcp;
      text.remove_prefix(colon + 1);
    }
    const std::size_t dash = text.find('-');
    const auto first = port_of(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : port_of(text.substr(dash + 1));
    if (!first || !last || *first > *last)
      return std::unexpected("--only " + part +
                             ": that is no port and no range of ports, as in tcp:80,8000-9000");
    rules.only.push_back({tcp, udp, *first, *last});
  }
  for (const std::string& part : split(except, ',')) {
    const auto prefix = IpPrefix::parse(part);
    if (!prefix) return std::unexpected("--except " + part + ": that is no network, as in 127.0.0.0/8");
    rules.except.push_back(*prefix);
  }
  return rules;
}

}  // namespace tapir::preload
