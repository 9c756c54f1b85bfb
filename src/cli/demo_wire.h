// SPDX-License-Identifier: Apache-2.0
// Where the demo takes place: tapir at 10.0.0.1, the other end at 10.0.0.2, and a wire between them that
// touches nothing of the machine.
#pragma once

#include <expected>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/demo_end.h"
#include "runtime/stack_host.h"

namespace tapir::cli {

inline const IpPrefix kDemoOurs{IpAddress::v4(10, 0, 0, 1), 24};
inline const IpPrefix kDemoPeers{IpAddress::v4(10, 0, 0, 2), 24};

// Members end in the reverse order: the sockets' ends, then the stacks.
struct DemoPlace {
  DemoWire wire = DemoWire::kTap;
  std::string told;                               // what was made, and why nothing better, in sentences
  std::unique_ptr<runtime::StackHost> host;       // tapir's stack
  std::unique_ptr<runtime::StackHost> peer_host;  // the second one, of kMemory only
  std::unique_ptr<DemoEnd> ours;
  std::unique_ptr<DemoEnd> peers;

  bool kernel() const { return wire != DemoWire::kMemory; }
};

// Makes the wire that is asked for, or the best that can be had. To be called before any thread is started:
// it moves the process into a namespace of its own. The error is one sentence.
std::expected<DemoPlace, std::string> make_demo_place(DemoWire wanted);
const char* to_string(DemoWire wire);

}  // namespace tapir::cli
