// SPDX-License-Identifier: Apache-2.0
// Descriptors that were closed by others while a poll(2) waits for them. As in Linux it holds their files:
// they end when it does; what comes to them wakes it, and it finds that the number is nobody's any more
// (POLLNVAL).
#pragma once

#include <poll.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "socket/sockets.h"

namespace tapir::socket {

class HeldFiles {
 public:
  // Of one poll(); more are not held: they end at once, as if nobody waited.
  static constexpr std::size_t kMost = 8;

  static bool among(std::span<const pollfd> descriptors, Descriptor fd) {
    return std::any_of(descriptors.begin(), descriptors.end(),
                       [fd](const pollfd& one) { return one.fd == fd; });
  }
  bool full() const { return count_ == kMost; }
  // `aside` stands for the file that was `fd`; there is room.
  void hold(Descriptor fd, Descriptor aside) { held_[count_++] = {fd, aside}; }
  // The numbers to close when the wait is over, one after the other; -1 at the end.
  Descriptor release() { return count_ != 0 ? held_[--count_].aside : -1; }

  // Sockets::poll(), but for files that are held: only what comes to them counts, until the wait is `over`.
  int poll(Sockets& sockets, std::span<pollfd> descriptors, bool over, Instant now) const {
    const int ready = sockets.poll(descriptors, now);
    if (count_ == 0 || over) return ready;
    int of_held = 0;
    bool woken = false;
    for (const pollfd& one : descriptors) {
      const auto end = held_.begin() + static_cast<std::ptrdiff_t>(count_);
      const auto held = std::find_if(held_.begin(), end, [&](const Held& each) { return each.fd == one.fd; });
      if (held == end || one.revents != POLLNVAL) continue;
      ++of_held;
      woken = woken || sockets.poll_events(held->aside, one.events, now) != 0;
    }
    return woken || ready > of_held ? ready : 0;
  }

 private:
  struct Held {
    Descriptor fd = -1;
    Descriptor aside = -1;
  };
  std::array<Held, kMost> held_{};
  std::size_t count_ = 0;
};

}  // namespace tapir::socket
