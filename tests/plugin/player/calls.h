// SPDX-License-Identifier: Apache-2.0
// The calls of a script, made through the table with real memory, and their answers against the script's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plugin/player/table.h"
#include "sim/drill/ast.h"
#include "sim/drill/connection.h"
#include "sim/drill/settings.h"

namespace tapir::player {

struct Memory;

class Calls {
 public:
  // `start_ns`: when the script started on the wall clock, nanoseconds since 1970.
  Calls(const Table& table, const sim::drill::Settings& settings, sim::drill::Connections& connections)
      : table_(table), settings_(settings), connections_(connections) {}
  void set_start(std::int64_t start_ns) { start_ns_ = start_ns; }

  struct Answer {
    long result = 0;
    int error = 0;
  };
  struct Prepared {
    std::function<long()> make;                                      // on any thread; errno as libc leaves it
    std::function<std::optional<std::string>(const Answer&)> check;  // what is wrong
  };
  // Throws std::runtime_error with a sentence when the arguments are not what the call takes.
  Prepared prepare(const sim::drill::CallEvent& event);
  int live_fd(int script_fd) const;
  // What the script left open, for the end.
  std::vector<int> open_sockets() const;

 private:
  struct Arguments;
  Prepared on_addresses(Arguments& a);
  Prepared on_data(Arguments& a);
  Prepared on_messages(Arguments& a);
  Prepared on_options(Arguments& a);
  Prepared on_sets(Arguments& a);
  Prepared on_files(Arguments& a);
  std::shared_ptr<Memory> memory();
  void names(const sim::drill::CallEvent& event, long live);
  void begins_connecting(int script_fd, const Memory& memory);

  const Table& table_;
  const sim::drill::Settings& settings_;
  sim::drill::Connections& connections_;
  std::int64_t start_ns_ = 0;
  std::map<int, int> descriptors_;  // the script's to the live ones
  std::vector<std::shared_ptr<Memory>> memories_;
};

}  // namespace tapir::player
