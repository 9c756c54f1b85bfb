// SPDX-License-Identifier: Apache-2.0
// What the interpreter knows of a socket of the script: its numbers in the script and in the stack.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/seq_num.h"
#include "inet/endpoint.h"

namespace tapir::sim::drill {

struct Connection {
  enum class State : std::uint8_t { kFresh, kListening, kPassive, kConnecting, kActive };

  State state = State::kFresh;
  int script_fd = -1;  // -1: not accepted yet, or closed
  int live_fd = -1;
  FourTuple tuple;  // ours first; the local port of an active one is learnt from its SYN

  // The number the script gives to each side's SYN, and the one on the wire. Other segments count from there
  // in a script.
  std::uint32_t script_local_isn = 0;
  SeqNum live_local_isn;
  std::uint32_t script_remote_isn = 0;
  SeqNum live_remote_isn;
  bool local_isn_known = false;
  bool remote_isn_known = false;
  SeqNum last_injected_syn;  // sequence number of the peer's last SYN: a new incarnation of the tuple begins
                             // with it

  // Timestamps of outbound segments: the script's value to the one that was sent; and how far the first lay
  // apart.
  std::map<std::uint32_t, std::uint32_t> timestamps;
  std::optional<std::uint32_t> timestamp_offset;  // live - script

  // What the teardown's RST needs: the last number we acknowledged, if we did.
  std::optional<SeqNum> peer_next;

  // What to add to a number of the script to get the one on the wire.
  std::uint32_t local_offset(bool syn) const {
    return syn ? live_local_isn.value() - script_local_isn : live_local_isn.value();
  }
  std::uint32_t remote_offset(bool syn) const {
    return syn ? live_remote_isn.value() - script_remote_isn : live_remote_isn.value();
  }
};

// All sockets of a script, closed ones too: their segments may still be expected.
class Connections {
 public:
  Connection& add() {
    all_.push_back(std::make_unique<Connection>());
    under_test_ = all_.back().get();
    return *under_test_;
  }
  // The last socket made, or the last connection a SYN opened: what packets without ports are about.
  Connection* under_test() const { return under_test_; }

  Connection* by_script_fd(int fd) const {
    return find([&](const Connection& c) { return c.script_fd == fd; });
  }
  // The connection with that peer which no accept() has answered yet.
  Connection* not_accepted(const Endpoint& remote) const {
    return find([&](const Connection& c) {
      return c.state == Connection::State::kPassive && c.live_fd < 0 && c.tuple.remote == remote;
    });
  }
  Connection* by_tuple(const FourTuple& tuple) const {
    return find([&](const Connection& c) { return c.tuple == tuple; });
  }
  Connection* by_remote_port(std::uint16_t port) const {
    return find([&](const Connection& c) {
      return c.state != Connection::State::kListening && c.tuple.remote.port == port;
    });
  }
  const std::vector<std::unique_ptr<Connection>>& all() const { return all_; }

 private:
  // The newest that fits.
  template <typename Fits>
  Connection* find(Fits fits) const {
    for (auto it = all_.rbegin(); it != all_.rend(); ++it)
      if (fits(**it)) return it->get();
    return nullptr;
  }

  std::vector<std::unique_ptr<Connection>> all_;
  Connection* under_test_ = nullptr;
};

}  // namespace tapir::sim::drill
