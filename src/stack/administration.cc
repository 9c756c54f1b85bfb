// SPDX-License-Identifier: Apache-2.0
#include "stack/administration.h"

#include <algorithm>

namespace tapir::stack {

bool add_address(Stack::Parts& parts, InterfaceId interface, const IpPrefix& address) {
  if (!parts.interfaces.add_address(interface, address)) return false;
  const ip::Interface* on = parts.interfaces.find(interface);
  if (on->up) (void)parts.routes.add_connected(interface, address);
  return true;
}

bool remove_address(Stack::Parts& parts, InterfaceId interface, const IpAddress& address) {
  const ip::Interface* on = parts.interfaces.find(interface);
  if (on == nullptr) return false;
  const auto found = std::find_if(on->addresses.begin(), on->addresses.end(),
                                  [&](const IpPrefix& each) { return each.address == address; });
  if (found == on->addresses.end()) return false;
  const IpPrefix gone = *found;
  if (!parts.interfaces.remove_address(interface, address)) return false;
  parts.routes.remove_address(interface, gone);
  // Another address of the same net keeps the net reachable.
  for (const IpPrefix& other : parts.interfaces.find(interface)->addresses)
    if (other.network() == gone.network()) (void)parts.routes.add_connected(interface, other);
  return true;
}

bool set_interface_up(Stack::Parts& parts, InterfaceId interface, bool up) {
  const ip::Interface* on = parts.interfaces.find(interface);
  if (on == nullptr) return false;
  if (on->up == up) return true;
  parts.interfaces.set_up(interface, up);
  if (!up) {
    parts.routes.remove_interface(interface);
    parts.neighbors.remove_interface(interface);
    return true;
  }
  for (const IpPrefix& address : parts.interfaces.find(interface)->addresses)
    (void)parts.routes.add_connected(interface, address);
  return true;
}

}  // namespace tapir::stack
