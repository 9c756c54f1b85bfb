// SPDX-License-Identifier: Apache-2.0
// Which of the machine's processors handle what the kernel's end of an interface receives (RPS, receive
// packet steering: linux/Documentation/networking/scaling.rst).
#pragma once

#include <expected>
#include <string>

#include "drivers/descriptor.h"
#include "drivers/netdev.h"

namespace tapir::drivers {

// Of an interface of this network namespace with one receive queue. Takes the machine's CAP_NET_ADMIN (root
// of a user namespace has it not), and CAP_SYS_ADMIN, which a view of sysfs for this namespace costs: /sys
// may show another's.
class ReceiveSteering {
 public:
  // `first`: the descriptor is numbered from here on. Refused with a sentence, also where there is one
  // processor only.
  static std::expected<ReceiveSteering, std::string> open(const std::string& name, int first = 0);

  // The one that writes a frame, within its write(2): as it is before anybody asks.
  NetdevResult leave_to_writer();
  // This one (sched_getcpu(3)), in a softirq.
  NetdevResult keep_on(int processor);
  // All but this one, each connection on one of them.
  NetdevResult keep_off(int processor);

 private:
  ReceiveSteering(KernelDescriptor file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}
  NetdevResult write(const std::string& mask);

  KernelDescriptor file_;
  std::string name_;
};

// Which do now, as sysfs writes it: a mask in hexadecimal ("3": the first two; "0": whichever writes).
std::expected<std::string, std::string> processors_of_received(const std::string& name);

}  // namespace tapir::drivers
