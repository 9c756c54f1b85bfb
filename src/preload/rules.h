// SPDX-License-Identifier: Apache-2.0
// Which sockets are tapir's: all of AF_INET, but for --only and --except. A socket is given back to the
// kernel when bind(), connect() or sendto() first name an address that is not tapir's.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "inet/endpoint.h"
#include "inet/ip_address.h"

namespace tapir::preload {

struct Rules {
  // Ports of one protocol, or of both.
  struct Ports {
    bool tcp = true;
    bool udp = true;
    std::uint16_t first = 0;
    std::uint16_t last = 65535;
  };
  std::vector<Ports> only;  // none: all
  std::vector<IpPrefix> except;

  bool any() const { return !only.empty() || !except.empty(); }
  // Is a socket that is bound, connected or sends to `endpoint` tapir's?
  bool ours(const Endpoint& endpoint, bool tcp) const;
};

// only: "tcp:80,8000-9000,udp:53"; a protocol holds for the ports after it. except:
// "127.0.0.0/8,10.1.0.0/16". An error is one sentence.
std::expected<Rules, std::string> parse_rules(std::string_view only, std::string_view except);

}  // namespace tapir::preload
