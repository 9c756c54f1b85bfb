// SPDX-License-Identifier: Apache-2.0
// The generated cases: every state of a socket × every call × every kind of argument.
#pragma once

#include <string>
#include <vector>

#include "differential/script.h"

namespace tapir::differential {

struct Case {
  std::string name;  // "connected/shutdown 1"
  Script script;
};

struct SocketState {
  const char* name;
  bool datagram;
  Script steps;  // slot 0 is the socket that is asked
};
const std::vector<SocketState>& socket_states();

// No two are the same script.
std::vector<Case> matrix();
// controls_matrix.cc: its part of it.
void add_controls(std::vector<Case>& cases);

}  // namespace tapir::differential
