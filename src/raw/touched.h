// SPDX-License-Identifier: Apache-2.0
// Which ports something happened to since the owner last looked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/slab.h"

namespace tapir::raw {

// What happened; a port may have both.
inline constexpr std::uint8_t kTouchedReadable = 1;
inline constexpr std::uint8_t kTouchedError = 2;

// Of the ports of one kind. Beyond kMax between two looks, all count as touched.
template <typename Port>
class TouchedPorts {
 public:
  static constexpr std::size_t kMax = 64;

  void add(Handle<Port> port, std::uint8_t events) {
    for (std::size_t i = 0; i < count_; ++i)
      if (ports_[i].port == port) {
        ports_[i].events |= events;
        return;
      }
    if (count_ == kMax) {
      all_ = true;
      return;
    }
    ports_[count_++] = {port, events};
  }
  // Calls visit(handle, events) for each, or visit_all() when there were too many; and forgets them.
  template <typename Visit, typename VisitAll>
  void take(Visit&& visit, VisitAll&& visit_all) {
    const std::size_t count = count_;
    const bool all = all_;
    count_ = 0;
    all_ = false;
    for (std::size_t i = 0; i < count; ++i) visit(ports_[i].port, ports_[i].events);
    if (all) visit_all();
  }

 private:
  struct Entry {
    Handle<Port> port;
    std::uint8_t events = 0;
  };
  std::array<Entry, kMax> ports_{};
  std::size_t count_ = 0;
  bool all_ = false;
};

}  // namespace tapir::raw
