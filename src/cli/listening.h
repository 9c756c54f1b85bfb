// SPDX-License-Identifier: Apache-2.0
// A reader of a running stack's trace: for `trace` and `debug`.
#pragma once

#include <cstdint>
#include <vector>

#include "cli/answering.h"
#include "trace/ring.h"

namespace tapir::cli {

// Records kept between two looks: what bulk transfers decide in kStreamInterval, several times over. 1 MiB.
inline constexpr std::size_t kTraceRing = 16384;
// Listens to the stack while it lives.
class Listening {
 public:
  explicit Listening(Running& running) : running_(running), ring_(kTraceRing) {
    running_.host.with([this](stack::Stack& stack, socket::Sockets&, Instant now) {
      began_ = now;
      added_ = running_.probes.add(ring_);
      stack.tracer().attach(&running_.probes);
    });
  }
  ~Listening() {
    running_.host.with([this](stack::Stack& stack, socket::Sockets&, Instant) {
      if (added_) running_.probes.remove(ring_);
      if (running_.probes.size() == 0) stack.tracer().attach(nullptr);
    });
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

  bool added() const { return added_; }
  Instant began() const { return began_; }
  // What was recorded since the last call, and how much was lost so far.
  std::uint64_t take(std::vector<trace::Record>& records) {
    return running_.host.with([&](stack::Stack&, socket::Sockets&, Instant) {
      records.resize(ring_.size());
      ring_.drain(records);
      return ring_.lost();
    });
  }

 private:
  Running& running_;
  trace::RingProbe ring_;
  Instant began_{};
  bool added_ = false;
};

}  // namespace tapir::cli
