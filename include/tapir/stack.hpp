// SPDX-License-Identifier: Apache-2.0
/// A TCP/IP stack in this process: its devices, addresses and routes. Sockets on it are in
/// <tapir/socket.hpp>.
///
///     auto stack = tapir::StackBuilder().tap("tap0").address("10.0.0.1/24").gateway("10.0.0.2").build();
///     if (!stack) { std::puts(stack.error().c_str()); return 1; }
///
/// Any number of stacks may live in one process; each is used from any number of threads.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace tapir {

namespace runtime {
class StackHost;
}

/// One end of a cable in memory between two stacks of this process. Move-only; make_cable() makes both.
class CableEnd {
 public:
  CableEnd(CableEnd&&) noexcept;
  CableEnd& operator=(CableEnd&&) noexcept;
  ~CableEnd();

 private:
  struct Device;
  friend class StackBuilder;
  friend std::pair<CableEnd, CableEnd> make_cable(std::uint32_t mtu);
  explicit CableEnd(std::unique_ptr<Device> device);
  std::unique_ptr<Device> device_;
};

/// Both ends of a new cable. `mtu`: bytes of IP packet.
std::pair<CableEnd, CableEnd> make_cable(std::uint32_t mtu = 1500);

/// A running stack. Move-only; destroying it ends it. Sockets on it must be closed before; what they still
/// have to send is lost then, as when a machine is switched off, unless SO_LINGER made close() wait.
class Stack {
 public:
  Stack(Stack&&) noexcept;
  Stack& operator=(Stack&&) noexcept;
  ~Stack();

  /// The value of a knob under Linux's name ("net.ipv4.tcp_syn_retries"), as Linux prints it; or what is
  /// wrong, a sentence.
  std::expected<std::string, std::string> sysctl(std::string_view name) const;
  /// Sets a knob; the error is a sentence.
  std::expected<void, std::string> set_sysctl(std::string_view name, std::string_view value);

  /// For tapir's own parts.
  runtime::StackHost& host() const { return *host_; }

 private:
  friend class StackBuilder;
  explicit Stack(std::unique_ptr<runtime::StackHost> host);
  std::unique_ptr<runtime::StackHost> host_;
};

/// Says what a stack shall be, then builds it. A device is followed by what belongs to it: address(), mtu(),
/// gateway().
class StackBuilder {
 public:
  StackBuilder();
  StackBuilder(StackBuilder&&) noexcept;
  StackBuilder& operator=(StackBuilder&&) noexcept;
  ~StackBuilder();

  /// A TAP interface of the kernel, made by build() (it takes CAP_NET_ADMIN and /dev/net/tun). The kernel's
  /// end has no address and is not up: that is the caller's to do (`ip addr add … dev NAME`, `ip link set
  /// NAME up`).
  StackBuilder& tap(std::string name);
  /// A packet socket on an interface of the kernel, best one end of a veth pair (it takes CAP_NET_RAW).
  StackBuilder& packet(std::string interface);
  /// An end of a cable in memory.
  StackBuilder& cable(CableEnd end);

  /// An address of the device named last, "10.0.0.1/24", with the route to its net. May be said several
  /// times.
  StackBuilder& address(std::string prefix);
  /// The MTU of the TAP interface named last, in bytes of IP packet; without it, the kernel's 1500.
  StackBuilder& mtu(std::uint32_t bytes);
  /// A default route by way of `address` over the device named last.
  StackBuilder& gateway(std::string address);
  /// A route to `prefix` over the device named last; `gateway` empty = on the link.
  StackBuilder& route(std::string prefix, std::string gateway = "");

  /// A knob under Linux's name.
  StackBuilder& sysctl(std::string name, std::string value);
  /// Where all random choices come from; without it, the kernel's entropy. For tests.
  StackBuilder& seed(std::uint64_t seed);
  /// Bytes that the stack may hold at most: frames, buffers and records together. Without it 512 MiB.
  StackBuilder& memory_limit(std::size_t bytes);

  /// Builds and starts it. The error is one sentence that says what to do. The builder is used up.
  std::expected<Stack, std::string> build();

 private:
  struct Plan;
  std::unique_ptr<Plan> plan_;
};

}  // namespace tapir
