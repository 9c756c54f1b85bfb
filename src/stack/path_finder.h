// SPDX-License-Identifier: Apache-2.0
// tcp/'s view of the routing table, and of the devices' room.
#pragma once

#include <expected>

#include "ip/routes.h"
#include "stack/stack.h"
#include "tcp/engine.h"

namespace tapir::stack {

class RoutePathFinder final : public tcp::PathFinder {
 public:
  explicit RoutePathFinder(const ip::Routes& routes) : routes_(routes) {}

  // Whose devices has_room() is about; before anything is sent.
  void ask_room_of(Stack::Parts& parts) { parts_ = &parts; }

  std::expected<Path, tcp::CloseCause> find_path(const IpAddress& source, const IpAddress& destination,
                                                 InterfaceId bound) override;
  bool has_room(InterfaceId interface) override;
  // The hub says what time it is before each call into tcp/: path MTUs expire.
  void set_now(Instant now) { now_ = now; }

 private:
  const ip::Routes& routes_;
  Stack::Parts* parts_ = nullptr;
  Instant now_{};
};

// What a failed route look-up means to a connection.
tcp::CloseCause close_cause(ip::RouteError error);

}  // namespace tapir::stack
