// SPDX-License-Identifier: Apache-2.0
// `debug -n`: a shell's stack is heard while other commands run.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <thread>

#include "drivers/descriptor.h"
#include "observe/topics.h"

namespace tapir::cli {

// The question that `debug` asks on the control socket.
nlohmann::json debug_question(observe::Topics topics, bool as_json, bool colour);

class BackgroundDebug {
 public:
  // How lines, each with its end, get to the user; called in a thread of its own.
  using Show = std::function<void(const std::string& lines)>;

  BackgroundDebug() = default;
  ~BackgroundDebug();
  BackgroundDebug(const BackgroundDebug&) = delete;
  BackgroundDebug& operator=(const BackgroundDebug&) = delete;

  void show_with(Show show, bool colour);
  observe::Topics topics() const { return topics_; }
  // Listens to these of the stack at `control` from now on; what was said of those before is told first.
  // Error: one sentence.
  std::expected<void, std::string> set(const std::string& control, observe::Topics topics);

 private:
  void stop();

  Show show_;
  bool colour_ = false;
  observe::Topics topics_ = 0;
  drivers::KernelDescriptor stop_;  // eventfd; readable: the stream is to end
  std::thread thread_;
};

}  // namespace tapir::cli
