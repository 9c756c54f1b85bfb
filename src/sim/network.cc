// SPDX-License-Identifier: Apache-2.0
#include "sim/network.h"

#include <algorithm>

#include "link/impair.h"

namespace tapir::sim {

namespace {

// Not zero, so that nothing can mistake "never yet" for the beginning.
constexpr Instant kBeginning = Instant(1h);
// Rounds at one instant: more means that two stacks answer each other without end, which is a bug to be
// found, not waited for.
constexpr int kRoundsPerInstantMax = 100'000;

}  // namespace

Network::Network(std::uint64_t seed) : rng_(seed), now_(kBeginning) {}

Network::~Network() = default;

Host& Network::add_host(std::string name, std::size_t memory_limit) {
  stack::StackConfig config;
  config.seed = rng_.next_u64();
  config.memory_limit = memory_limit;
  config.hostname = name;
  hosts_.push_back(std::make_unique<Host>(std::move(name), std::move(config), now_));
  return *hosts_.back();
}

void Network::connect(Host& a, const IpPrefix& address_a, Host& b, const IpPrefix& address_b,
                      const CableConfig& cable) {
  link::PipeConfig pipe = cable.pipe;
  ++cables_;
  for (std::uint8_t end = 0; end < 2; ++end) {
    pipe.macs[end] = {0x02,
                      0,
                      static_cast<std::uint8_t>(cables_ >> 16),
                      static_cast<std::uint8_t>(cables_ >> 8),
                      static_cast<std::uint8_t>(cables_),
                      end};
  }
  auto [end_a, end_b] = link::make_pipe(pipe);
  std::unique_ptr<link::Device> device_a = std::move(end_a);
  if (cable.impaired)
    device_a = std::make_unique<link::Impair>(std::move(device_a), cable.impair, rng_.next_u64());
  std::unique_ptr<link::Device> device_b = std::move(end_b);
  if (cable.impaired_far)
    device_b = std::make_unique<link::Impair>(std::move(device_b), cable.impair_far, rng_.next_u64());
  const std::string name = "eth" + std::to_string(cables_);
  a.stack().add_interface({.name = name, .addresses = {address_a}}, std::move(device_a), now_);
  b.stack().add_interface({.name = name, .addresses = {address_b}}, std::move(device_b), now_);
}

void Network::add_program(Host& host, std::unique_ptr<Program> program) {
  programs_.push_back({&host, std::move(program)});
  started_ = false;
}

bool Network::work() {
  bool any = false;
  for (const std::unique_ptr<Host>& host : hosts_) {
    bool turned = false;
    if (host->stack().next_timeout() <= now_) {
      host->stack().turn(now_);
      turned = true;
    }
    const bool woken = !host->sockets().take_woken(now_).empty();
    any = any || turned;
    if (!turned && !woken && started_) continue;
    for (Running& running : programs_) {
      if (running.host == host.get() && !running.program->done()) running.program->run(*host, now_);
    }
  }
  started_ = true;
  return any;
}

Instant Network::next_deadline() const {
  Instant earliest = kNever;
  for (const std::unique_ptr<Host>& host : hosts_)
    earliest = std::min(earliest, host->stack().next_timeout());
  return earliest;
}

bool Network::step() {
  for (int round = 0; work(); ++round) {
    TAPIR_INVARIANT(round < kRoundsPerInstantMax, "stacks come to rest at every instant");
    if (next_deadline() > now_) break;
  }
  const Instant next = next_deadline();
  if (next == kNever) return false;
  now_ = std::max(now_, next);
  return true;
}

bool Network::run_programs(Instant limit) {
  const auto all_done = [this] {
    return std::all_of(programs_.begin(), programs_.end(),
                       [](const Running& running) { return running.program->done(); });
  };
  while (!all_done()) {
    if (now_ > limit || !step()) return all_done();
  }
  return true;
}

void Network::run_for(Duration span) {
  const Instant end = now_ + span;
  while (now_ < end && next_deadline() <= end) {
    if (!step()) break;
  }
  now_ = std::max(now_, end);
}

}  // namespace tapir::sim
