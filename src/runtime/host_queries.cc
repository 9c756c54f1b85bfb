// SPDX-License-Identifier: Apache-2.0
// What programs under `tapir run` ask of the stack besides sockets.
#include "runtime/stack_host.h"
#include "stack/parts.h"

namespace tapir::runtime {

std::vector<StackHost::InterfaceView> StackHost::interfaces() {
  return with([](stack::Stack& stack, socket::Sockets&, Instant) {
    std::vector<InterfaceView> views;
    const auto& interfaces = stack.parts().interfaces;
    for (const auto& each : interfaces.list())
      views.push_back({each.id, each.name, each.id == interfaces.loopback(), each.up, each.mtu, each.mac,
                       each.addresses});
    return views;
  });
}

std::uint64_t StackHost::bytes_passed() {
  const Lock lock(*this);
  const stack::Stack::Parts& parts = stack_.parts();
  std::uint64_t bytes = 0;
  for (const auto& each : parts.interfaces.list()) {
    if (each.id == parts.interfaces.loopback()) continue;
    const stack::InterfaceCounters& counters = parts.attached(each.id)->counters;
    bytes += counters.rx_bytes + counters.tx_bytes;
  }
  return bytes;
}

Result<int> StackHost::abandon(Descriptor fd) {
  return with([&](stack::Stack&, socket::Sockets& sockets, Instant now) {
    set_aside_waiters(fd);
    return sockets.close(fd, now);
  });
}

std::size_t StackHost::unfinished() {
  return with(
      [](stack::Stack& stack, socket::Sockets&, Instant) { return stack.parts().tcp.gauges().orphans; });
}

}  // namespace tapir::runtime
