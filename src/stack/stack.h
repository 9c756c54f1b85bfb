// SPDX-License-Identifier: Apache-2.0
// One TCP/IP stack: the hub where interfaces and protocols meet. It does no I/O of its own, knows no clock
// and no lock.
//
// Drive it with the four verbs, or with turn() which does them in order. Any number of stacks may live in one
// process. Single-threaded: whoever calls must be alone (runtime/ holds a lock).
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "frame/frame_pool.h"
#include "frame/memory_budget.h"
#include "inet/endpoint.h"
#include "inet/path.h"
#include "link/device.h"
#include "trace/counters.h"
#include "trace/record.h"

namespace tapir::stack {

struct StackConfig {
  std::uint64_t seed = 0;  // of every random choice; runtime/ gives entropy, tests a number
  std::size_t memory_limit = std::size_t{512} << 20;  // bytes, of frames, buffers and records together
  std::string hostname = "tapir";
  bool privileged = true;   // may bind ports < ip_unprivileged_port_start, open RAW sockets
  std::uint32_t group = 0;  // whose group net.ipv4.ping_group_range is compared with
  std::uint64_t wall_clock_offset_ns =
      0;  // Instant 0 as nanoseconds since 1970, for SO_TIMESTAMP and captures
};

struct InterfaceConfig {
  std::string name;                 // "tap0", "lo"
  std::vector<IpPrefix> addresses;  // "10.0.0.1/24"; each adds its connected route
  bool up = true;
  std::uint16_t vlan = 0;  // 802.1Q: frames carry this tag, others are dropped; 0 = untagged
  bool announce =
      false;  // gratuitous ARP for each address, and for who claims it later (RFC 5227 §2.3, §2.4)
  bool detect_conflicts =
      false;  // each address is asked for first, and used only when nobody has it (RFC 5227)
};

class Stack {
 public:
  Stack(StackConfig config, Instant now);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  // Adds an interface over `device`. "lo" with 127.0.0.1/8 exists from the start.
  InterfaceId add_interface(InterfaceConfig config, std::unique_ptr<link::Device> device, Instant now);
  // Adds VLAN `config.vlan` (1 to 4094) of an Ethernet interface, over its device; frames of that tag are the
  // new interface's from then on, and `parent` keeps those without a tag. kNoInterface: there is no such
  // parent, it has that VLAN already, or as above.
  InterfaceId add_vlan(InterfaceConfig config, InterfaceId parent, Instant now);
  // Adds a route; gateway unspecified = on-link. False when it exists already, or the interface does not.
  bool add_route(IpPrefix destination, IpAddress gateway, InterfaceId interface, std::uint32_t metric,
                 Instant now);

  // ---- the four verbs ----
  // A frame arrived. Never sends in the course of input, except what is due: there is one way in, and one way
  // out.
  void input(InterfaceId interface, Frame frame, Instant now);
  // Sends all that is owed and that the devices have room for.
  void poll_output(Instant now);
  // When on_timeout() has something to do; kNever when nothing is armed.
  Instant next_timeout() const;
  // Runs what is due at `now`.
  void on_timeout(Instant now);

  // One turn over all devices: timers, receive (at most link::kTurnFramesMax frames per device), input,
  // poll_output. True when a device may have more waiting.
  bool turn(Instant now);

  // ---- knobs (sysctl names without "/proc/sys/", e.g. "net.ipv4.tcp_syn_retries") ----
  // The value as Linux prints it (numbers separated by tabs), or what is wrong, in one sentence.
  std::expected<std::string, std::string> sysctl_get(std::string_view name) const;
  std::expected<void, std::string> sysctl_set(std::string_view name, std::string_view value, Instant now);
  std::vector<std::string> sysctl_names() const;

  trace::Counters& counters();
  const trace::Counters& counters() const;
  trace::Tracer& tracer();
  FramePool& frames();
  MemoryBudget& budget();
  Rng& rng();

  struct Parts;  // the protocols: stack/parts.h, for stack/, socket/ and (read only) observe/
  Parts& parts() { return *parts_; }
  const Parts& parts() const { return *parts_; }

 private:
  InterfaceId attach(const InterfaceConfig& config, std::unique_ptr<link::Device> device, InterfaceId parent,
                     Instant now);

  std::unique_ptr<Parts> parts_;
};

}  // namespace tapir::stack
