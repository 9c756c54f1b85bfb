// SPDX-License-Identifier: Apache-2.0
// The machine under test: a stack with its sockets, one device whose other end is the script, and a clock
// that stands still until the script moves it.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "link/device.h"
#include "sim/drill/packets.h"
#include "sim/drill/settings.h"
#include "socket/sockets.h"
#include "stack/stack.h"

namespace tapir::sim::drill {

// A socket call that has not answered yet.
struct CallInFlight {
  std::function<std::optional<socket::Result<long>>(Instant)> step;
  std::function<Instant()> deadline;
};

class Machine {
 public:
  // Segments that a script leaves unread; beyond it a runaway stack would fill the memory.
  static constexpr std::size_t kSentMax = 65536;
  // Timer runs without the clock moving: beyond it the stack's next_timeout() is stuck.
  static constexpr unsigned kStandstillMax = 10000;

  // The clock of scripts starts an hour after the stack's zero, so that no time of a script is near it.
  static constexpr Instant kStart{1h};
  // Stack time 0 as nanoseconds since 1970: what timestamps of messages count from.
  static constexpr std::uint64_t kWallClockOffset = 1'700'000'000'000'000'000;

  explicit Machine(const Settings& settings);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // ethtool's offload switches. Off: super-segments are cut before they leave.
  void set_segmentation_offload(bool on) { segmentation_offload_ = on; }
  bool started() const { return started_; }
  // Brings the interface up: the address, the device and the default route. Once: a route of the init command
  // may have done it.
  void start();
  // Another address of ours, after start().
  void add_local_address(const IpAddress& address);

  Instant now() const { return now_; }
  stack::Stack& stack() { return *stack_; }
  socket::Sockets& sockets() { return *sockets_; }

  // One packet is one turn: input, what it made due, and what the call in flight makes of it.
  void inject(const std::vector<std::uint8_t>& packet);
  // After every call into the sockets: the output it caused, and who woke up.
  void settle();

  // Moves the clock to `until`, running what is due on the way; stops early when `stop` says so after a step.
  void advance_to(Instant until, const std::function<bool()>& stop = {});
  // When something happens by itself.
  Instant next_timeout() const;

  std::deque<SentPacket>& sent() { return sent_; }
  // Numbers packets in the order in which they crossed the device, both ways.
  std::uint64_t next_order() { return next_order_++; }

  // At most one call is in flight. `answered` is called, once, as soon as a step answers.
  void wait_for(CallInFlight call, std::function<void(socket::Result<long>)> answered);
  bool call_in_flight() const { return in_flight_.has_value(); }
  // Gives up waiting for it: nothing will be answered.
  void forget_call();

  // Files that shell commands made: their sizes.
  std::map<std::string, std::size_t>& files() { return files_; }
  InterfaceId interface() const { return interface_; }
  // `tc … pfifo limit 0`: the device takes nothing.
  void set_full(bool full) { full_ = full; }

  // A sentence when the stack broke a rule of the machine (a clock that cannot move on, a queue that
  // overflows).
  const std::string& broken() const { return broken_; }

 private:
  class Wire;

  void step_call();

  Settings settings_;
  Instant now_ = kStart;
  std::deque<SentPacket> sent_;
  std::uint64_t next_order_ = 0;
  std::unique_ptr<stack::Stack> stack_;
  std::unique_ptr<socket::Sockets> sockets_;
  InterfaceId interface_ = kNoInterface;
  bool segmentation_offload_ = true;
  bool started_ = false;
  std::optional<CallInFlight> in_flight_;
  std::function<void(socket::Result<long>)> answered_;
  std::string broken_;
  std::map<std::string, std::size_t> files_;
  bool full_ = false;
};

}  // namespace tapir::sim::drill
