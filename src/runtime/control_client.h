// SPDX-License-Identifier: Apache-2.0
// The asking side of a control socket (control_socket.h has the protocol).
#pragma once

#include <expected>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "drivers/descriptor.h"

namespace tapir::runtime {

// What the asking side says while it is answered.
struct ControlInput {
  int descriptor = -1;  // readable: there is something to say; -1: nothing (for now)
  std::function<std::optional<nlohmann::json>()>
      next;  // called then; nothing: not now. May change `descriptor`
};

class ControlClient {
 public:
  // Error, a sentence: nobody serves the path, or it may not be used.
  static std::expected<ControlClient, std::string> connect(const std::string& path);

  // A signal ends what waits only when `over` says so: that of a terminal's new size, for one, does not.
  // Without it none does.
  void end_when(std::function<bool()> over) { over_ = std::move(over); }
  // Asks, and hands each answer's data to `take` as it arrives until the answer ends or `take` answers false
  // (then the connection is of no more use). Error: the server's sentence, or that it has gone.
  std::expected<void, std::string> ask(const nlohmann::json& question,
                                       const std::function<bool(const nlohmann::json& data)>& take,
                                       ControlInput* input = nullptr);
  // Asks for one table: the data of the answer.
  std::expected<nlohmann::json, std::string> ask(const nlohmann::json& question);

 private:
  explicit ControlClient(drivers::KernelDescriptor fd) : fd_(std::move(fd)) {}
  std::expected<std::string, std::string> read_line(ControlInput* input);
  std::expected<void, std::string> send_line(const nlohmann::json& value);
  std::expected<void, std::string> say(ControlInput& input);

  bool ended_by_signal() const { return over_ && over_(); }

  drivers::KernelDescriptor fd_;
  std::function<bool()> over_;
  std::string buffered_;  // received, not yet a line
};

}  // namespace tapir::runtime
