// SPDX-License-Identifier: Apache-2.0
#include "cli/background_debug.h"

#include <sys/eventfd.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "runtime/control_client.h"

namespace tapir::cli {

using nlohmann::json;

BackgroundDebug::~BackgroundDebug() { stop(); }

void BackgroundDebug::show_with(Show show, bool colour) {
  show_ = std::move(show);
  colour_ = colour;
}

void BackgroundDebug::stop() {
  if (!thread_.joinable()) return;
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

std::expected<void, std::string> BackgroundDebug::set(const std::string& control, observe::Topics topics) {
  stop();
  topics_ = 0;
  if (topics == 0) return {};
  auto client = runtime::ControlClient::connect(control);
  if (!client) return std::unexpected(client.error());
  topics_ = topics;
  stop_ = drivers::KernelDescriptor(::eventfd(0, EFD_CLOEXEC));
  const drivers::KernelDescriptor listens(::eventfd(0, EFD_CLOEXEC));
  // Signals are for the shell.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this, topics, &listens, at = std::move(*client)]() mutable {
    runtime::ControlInput input;
    input.descriptor = stop_.get();
    input.next = [&input]() -> std::optional<json> {
      input.descriptor = -1;
      return json{{"stop", true}};
    };
    bool told = false;
    const auto begun = [&] {
      if (!std::exchange(told, true)) ::eventfd_write(listens.get(), 1);
    };
    (void)at.ask(
        debug_question(topics, false, colour_),
        [&](const json& data) {
          begun();
          std::string lines;
          for (const json& record : data["records"]) lines += record.get<std::string>() + '\n';
          if (!lines.empty()) show_(lines);
          return true;
        },
        &input);
    begun();
  });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  // So that the next command is heard from its beginning.
  eventfd_t value = 0;
  ::eventfd_read(listens.get(), &value);
  return {};
}

}  // namespace tapir::cli
