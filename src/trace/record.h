// SPDX-License-Identifier: Apache-2.0
// One thing that the stack decided. Small, flat, binary; observe/ turns it into words.
#pragma once

#include <array>
#include <cstdint>

#include "base/time.h"

namespace tapir::trace {

// Event ids are declared by each room in its events.h, from the room's base on.
enum class EventBase : std::uint16_t {
  kFrame = 0x0100,
  kLink = 0x0200,
  kIp = 0x0300,
  kUdp = 0x0400,
  kTcp = 0x0500,
  kStack = 0x0600,
  kSocket = 0x0700,
  kRaw = 0x0800
};

// Who it is about: an opaque id ({kind, index, generation} packed by the owner); 0 is "the stack".
using Subject = std::uint64_t;

struct Record {
  Instant time{};
  std::uint16_t event = 0;
  std::uint16_t interface = 0;
  std::uint32_t reserved = 0;
  Subject subject = 0;
  std::array<std::uint64_t, 4> words{};
};

// Who listens. Called inside the stack: must be quick and must not call back into it.
class Probe {
 public:
  virtual ~Probe() = default;
  virtual void on_record(const Record& record) = 0;
};

// Held by a stack, handed down to its rooms. Off, an event costs one predictable branch.
class Tracer {
 public:
  void attach(Probe* probe) { probe_ = probe; }
  Probe* probe() const { return probe_; }
  bool on() const { return probe_ != nullptr; }

  template <typename Event>
  void emit(Instant now, Event event, Subject subject, std::uint64_t a = 0, std::uint64_t b = 0,
            std::uint64_t c = 0, std::uint64_t d = 0) {
    if (probe_ != nullptr) [[unlikely]]
      probe_->on_record({now, static_cast<std::uint16_t>(event), 0, 0, subject, {a, b, c, d}});
  }

 private:
  Probe* probe_ = nullptr;
};

}  // namespace tapir::trace
