// SPDX-License-Identifier: Apache-2.0
// A stack with sockets on virtual time, and the far end of its cable in the fuzzer's hands.
#pragma once

#include <netinet/in.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "fuzz/input.h"
#include "link/pipe.h"
#include "socket/sockets.h"
#include "stack/parts.h"
#include "stack/stack.h"
#include "wire/ipv4.h"

namespace tapir::fuzz {

inline constexpr IpAddress kOurs = IpAddress::v4(10, 0, 0, 1);
inline constexpr IpAddress kTheirs = IpAddress::v4(10, 0, 0, 2);
inline constexpr InterfaceId kCable = 2;

inline sockaddr_in address_of(const IpAddress& address, std::uint16_t port) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = to_big_endian(port);
  in.sin_addr.s_addr = to_big_endian(address.v4_bits());
  return in;
}

class World {
 public:
  // `memory_limit` in bytes.
  World(link::LinkType type, std::size_t memory_limit)
      : stack_({.seed = 1, .memory_limit = memory_limit}, now_),
        sockets_(stack_),
        their_budget_(std::size_t{64} << 20),
        their_pool_(their_budget_) {
    link::PipeConfig config;
    config.link_type = type;
    auto [ours, theirs] = link::make_pipe(config);
    stack_.add_interface({.name = "eth0", .addresses = {{kOurs, 24}}}, std::move(ours), now_);
    theirs_ = std::move(theirs);
    settle();
    at_start_ = stack_.budget().used();
  }

  stack::Stack& stack() { return stack_; }
  socket::Sockets& sockets() { return sockets_; }
  Instant now() const { return now_; }

  // A frame from the cable. `verified`: its transport checksum is right, as a device says; then inputs need
  // not be lucky.
  void input(Bytes bytes, bool verified) {
    Frame frame = stack_.frames().copy(bytes);
    if (!frame) return;
    if (verified) frame.meta().checksum = ChecksumState::kVerified;
    input(std::move(frame));
  }
  void input(Frame frame) {
    frame.meta().interface = kCable;
    frame.meta().received_at = now_;
    stack_.input(kCable, std::move(frame), now_);
  }

  // All that is to be done now; `seen(bytes)` gets every frame that came out.
  template <typename Seen>
  void settle(Seen&& seen) {
    for (int turns = 0; turns < kTurnsMax; ++turns) {
      const bool more = stack_.turn(now_);
      (void)sockets_.take_woken(now_);
      std::array<Frame, 16> out;
      while (const std::size_t count = theirs_->receive(out, their_pool_, now_))
        for (std::size_t i = 0; i < count; ++i) {
          seen(out[i].bytes());
          out[i].reset();
        }
      if (!more && stack_.next_timeout() > now_) return;
    }
  }
  void settle() {
    settle([](Bytes) {});
  }

  void pass(Duration time) { now_ += time; }
  // To what the stack waits for next, if it waits for something.
  void pass_to_timeout() {
    const Instant next = stack_.next_timeout();
    if (next != kNever && next > now_) now_ = next;
  }

  // With every descriptor closed and nobody at the other end, all memory comes back within an hour.
  void expect_nothing_left() {
    const Instant limit = now_ + std::chrono::hours(1);
    for (int steps = 0; steps < kStepsMax && now_ < limit; ++steps) {
      settle();
      const Instant next = stack_.next_timeout();
      now_ = std::min(limit, std::max(next, now_ + Duration(1)));
    }
    settle();
    const tcp::Engine::Gauges gauges = stack_.parts().tcp.gauges();
    require(gauges.connections == 0, "no connection is left");
    require(gauges.half_open == 0, "no half-open connection is left");
    require(gauges.time_wait == 0, "no TIME-WAIT record is left");
    require(gauges.listeners == 0, "no listener is left");
    require(gauges.orphans == 0, "no orphan is left");
    require(gauges.transmissions == 0, "no transmission is left");
    require(gauges.chunks == 0, "no chunk is left");
    require(stack_.frames().in_use() == 0, "no frame is left");
    require(stack_.budget().used() <= at_start_ + kKept, "memory comes back");
  }

 private:
  static constexpr int kTurnsMax = 200;
  static constexpr int kStepsMax = 20000;
  static constexpr std::size_t kKept = 8192;  // bytes of tables that grew and stay

  Instant now_{std::chrono::seconds(1000)};
  stack::Stack stack_;
  socket::Sockets sockets_;
  MemoryBudget their_budget_;
  FramePool their_pool_;
  std::unique_ptr<link::PipeEnd> theirs_;
  std::size_t at_start_ = 0;
};

}  // namespace tapir::fuzz
