// SPDX-License-Identifier: Apache-2.0
// A network of real stacks in one process, on virtual time: hosts, cables between them, programs on them.
// Nothing is simulated but the cables and the clock; the same seed gives the same bytes at the same times.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "inet/ip_address.h"
#include "link/impair_config.h"
#include "link/pipe.h"
#include "socket/sockets.h"
#include "stack/stack.h"

namespace tapir::sim {

class Host;

// A program on a host, with non-blocking sockets. run() is called at the start and whenever something
// happened on its host; it does what it can now and returns.
class Program {
 public:
  virtual ~Program() = default;
  virtual void run(Host& host, Instant now) = 0;
  virtual bool done() const = 0;
};

class Host {
 public:
  Host(std::string name, stack::StackConfig config, Instant now)
      : name_(std::move(name)), stack_(std::move(config), now), sockets_(stack_) {}

  const std::string& name() const { return name_; }
  stack::Stack& stack() { return stack_; }
  socket::Sockets& sockets() { return sockets_; }

 private:
  std::string name_;
  stack::Stack stack_;
  socket::Sockets sockets_;
};

struct CableConfig {
  link::PipeConfig pipe{};
  link::ImpairConfig impair{};  // on the first end, for both directions
  bool impaired = false;
  link::ImpairConfig impair_far{};  // on the second end: what is to befall its frames alone
  bool impaired_far = false;
};

class Network {
 public:
  explicit Network(std::uint64_t seed);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // A host; its seed is drawn from the network's. `memory_limit` in bytes.
  Host& add_host(std::string name, std::size_t memory_limit = std::size_t{256} << 20);
  // An Ethernet cable with an interface and an address on each end.
  void connect(Host& a, const IpPrefix& address_a, Host& b, const IpPrefix& address_b,
               const CableConfig& cable = {});
  // The network keeps the program and runs it.
  template <typename P, typename... Args>
  P& start(Host& host, Args&&... args) {
    auto owned = std::make_unique<P>(std::forward<Args>(args)...);
    P& program = *owned;
    add_program(host, std::move(owned));
    return program;
  }

  Instant now() const { return now_; }
  // All that is to be done now; then, if nothing is, the clock moves to the next deadline. False: nothing
  // will ever happen again.
  bool step();
  // Steps until every program is done (true), the clock passes `limit`, or nothing happens any more.
  bool run_programs(Instant limit);
  // Steps until the clock has moved by `span`.
  void run_for(Duration span);

 private:
  struct Running {
    Host* host;
    std::unique_ptr<Program> program;
  };
  void add_program(Host& host, std::unique_ptr<Program> program);
  bool work();  // one round at now_; false when there was nothing to do
  Instant next_deadline() const;

  Rng rng_;
  Instant now_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::vector<Running> programs_;
  std::uint32_t cables_ = 0;
  bool started_ = false;
};

}  // namespace tapir::sim
