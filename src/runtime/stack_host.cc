// SPDX-License-Identifier: Apache-2.0
#include "runtime/stack_host.h"

#include <pthread.h>
#include <signal.h>

#include "drivers/netdev.h"
#include "runtime/entropy.h"
#include "runtime/file_sink.h"

namespace tapir::runtime {
namespace {

// Rounds of output and completions after one call. What still follows then is the driver's next turn; without
// it two calls that feed each other over loopback would hold the lock for ever.
constexpr int kSettleRoundsMax = 64;

HostConfig completed(HostConfig config) {
  if (config.stack.seed == 0) config.stack.seed = random_seed();
  if (config.stack.wall_clock_offset_ns == 0) config.stack.wall_clock_offset_ns = wall_clock_offset_ns();
  return config;
}

}  // namespace

StackHost::StackHost(HostConfig config)
    : config_(completed(std::move(config))),
      stack_(config_.stack, monotonic_now()),
      sockets_(stack_, config_.first_descriptor, config_.descriptors_max),
      kick_(drivers::make_eventfd(config_.first_kernel_descriptor)) {
  TAPIR_INVARIANT(kick_, "the process has a descriptor left for an eventfd");
  polled_.push_back({kick_.get(), POLLIN, 0});
  device_errors_.push_back(0);
  if (!config_.service_thread) return;
  // Signals are the program's threads' own: the service thread begins with all of them blocked.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  service_thread_ = std::thread([this] { serve(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

StackHost::~StackHost() {
  {
    Lock lock(*this);
    TAPIR_INVARIANT(newest_ == nullptr, "no call is under way when its stack is destroyed");
    while (newest_started_ != nullptr) answer(*newest_started_, socket::fail(ECANCELED));
    stopping_ = true;
    wake(service_futex_);
    kick();
  }
  if (service_thread_.joinable()) service_thread_.join();
  for (const int bell : bells_) ::close(bell);
}

void StackHost::settle(Instant now) {
  for (int round = 0; round < kSettleRoundsMax; ++round) {
    stack_.poll_output(now);
    // What nobody waits for is told at the next turn, or to the call that asks.
    const bool waits = newest_ != nullptr || newest_started_ != nullptr || sockets_.signals();
    const bool stepped = waits && complete_ready(now);
    const bool due = stack_.next_timeout() <= now;
    if (due) stack_.turn(now);
    if (!stepped && !due) break;
  }
  given_.collect(given_back_);
  if (driver_ != nullptr && driver_->polling && next_deadline() < driver_->poll_until) kick();
}

// ---- set-up ----

InterfaceId StackHost::add_interface(stack::InterfaceConfig config, std::unique_ptr<link::Device> device) {
  Entry entry(*this);
  const int descriptor = device->wait_descriptor();
  if (capture_)
    device = std::make_unique<link::Capture>(std::move(device), *capture_, config.name,
                                             Duration(static_cast<std::int64_t>(wall_clock_offset_ns())));
  const InterfaceId id = stack_.add_interface(std::move(config), std::move(device), entry.now);
  if (descriptor >= 0 && id != kNoInterface) {
    polled_.push_back({descriptor, POLLIN, 0});
    device_errors_.push_back(0);
  }
  if (driver_ != nullptr && driver_->polling) kick();
  return id;
}

namespace {

std::expected<InterfaceId, std::string> added(InterfaceId id, const std::string& name) {
  if (id == kNoInterface)
    return std::unexpected("the stack has an interface named " + name +
                           " already, or as many as it can have");
  return id;
}

}  // namespace

std::expected<InterfaceId, std::string> StackHost::add_tap(const drivers::TapConfig& tap,
                                                           stack::InterfaceConfig interface) {
  auto device = drivers::open_tap(tap);
  if (!device) return std::unexpected(device.error());
  if (interface.name.empty()) interface.name = (*device)->name();
  (*device)->count_into(&stack_.counters());
  const std::string name = interface.name;
  return added(add_interface(std::move(interface), std::move(*device)), name);
}

std::expected<InterfaceId, std::string> StackHost::add_inherited_tap(drivers::KernelDescriptor tap,
                                                                     stack::InterfaceConfig interface) {
  auto device = drivers::adopt_tap(std::move(tap).at_or_above(config_.first_kernel_descriptor));
  if (!device) return std::unexpected(device.error());
  interface.name = (*device)->name();
  (*device)->count_into(&stack_.counters());
  const std::string name = interface.name;
  return added(add_interface(std::move(interface), std::move(*device)), name);
}

std::expected<void, std::string> StackHost::set_up_kernel_end(const std::string& tap,
                                                              const std::optional<IpPrefix>& address) {
  if (address) {
    if (auto set = drivers::add_address(tap, *address); !set) return set;
  }
  return drivers::set_link_up(tap);
}

void StackHost::steer_receiver(const std::string& tap) {
  auto steering = drivers::ReceiveSteering::open(tap, config_.first_kernel_descriptor);
  if (!steering) return;
  steerer_.emplace(std::move(*steering));
  steers_.store(true, std::memory_order_release);
}

std::expected<void, std::string> StackHost::capture_to(const std::string& path) {
  auto sink = open_file_sink(path, config_.first_kernel_descriptor);
  if (!sink) return std::unexpected(sink.error());
  const Lock lock(*this);
  capture_sink_ = std::move(*sink);
  capture_.emplace(*capture_sink_);
  capture_->begin();
  return {};
}

std::expected<InterfaceId, std::string> StackHost::add_packet(const drivers::PacketConfig& packet,
                                                              stack::InterfaceConfig interface) {
  auto device = drivers::open_packet(packet);
  if (!device) return std::unexpected(device.error());
  if (interface.name.empty()) interface.name = (*device)->name();
  (*device)->count_into(&stack_.counters());
  const std::string name = interface.name;
  return added(add_interface(std::move(interface), std::move(*device)), name);
}

bool StackHost::add_route(IpPrefix destination, IpAddress gateway, InterfaceId interface,
                          std::uint32_t metric) {
  return with([&](stack::Stack& stack, socket::Sockets&, Instant now) {
    return stack.add_route(destination, gateway, interface, metric, now);
  });
}

std::expected<std::string, std::string> StackHost::sysctl_get(std::string_view name) {
  return with([&](stack::Stack& stack, socket::Sockets&, Instant) { return stack.sysctl_get(name); });
}

std::expected<void, std::string> StackHost::sysctl_set(std::string_view name, std::string_view value) {
  return with(
      [&](stack::Stack& stack, socket::Sockets&, Instant now) { return stack.sysctl_set(name, value, now); });
}

HostStats StackHost::stats() {
  Lock lock(*this);
  return stats_;
}

}  // namespace tapir::runtime
