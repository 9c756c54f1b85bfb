// SPDX-License-Identifier: Apache-2.0
#include "stack/path_finder.h"

#include "stack/parts.h"

namespace tapir::stack {

tcp::CloseCause close_cause(ip::RouteError error) {
  switch (error) {
    case ip::RouteError::kHostUnreachable:
      return tcp::CloseCause::kHostUnreachable;
    case ip::RouteError::kProhibited:
      return tcp::CloseCause::kProhibited;
    default:
      return tcp::CloseCause::kNetUnreachable;
  }
}

std::expected<Path, tcp::CloseCause> RoutePathFinder::find_path(const IpAddress& source,
                                                                const IpAddress& destination,
                                                                InterfaceId bound) {
  ip::RouteQuery query;
  query.destination = destination;
  if (!source.is_unspecified()) query.source = source;
  query.bound_interface = bound;
  auto path = routes_.resolve(query, now_);
  if (!path) return std::unexpected(close_cause(path.error()));
  return *path;
}

bool RoutePathFinder::has_room(InterfaceId interface) { return parts_->has_room(interface); }

}  // namespace tapir::stack
