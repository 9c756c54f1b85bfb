// SPDX-License-Identifier: Apache-2.0
#include "cli/asking.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/interrupt.h"
#include "runtime/control_client.h"

namespace tapir::cli {

using nlohmann::json;
using nlohmann::ordered_json;

namespace {

// The terminal showed ^C where the cursor was.
void end_echoed_line() {
  if (interrupted() == 0 || ::isatty(STDOUT_FILENO) != 1) return;
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

}  // namespace

int complain(std::string_view name, std::string_view sentence, int status) {
  std::fflush(stdout);
  fmt::print(stderr, "tapir {}: {}\n", name, sentence);
  return status;
}

std::optional<json> ask_table(std::string_view name, const ControlOptions& options, const json& question) {
  auto client = runtime::ControlClient::connect(options.control_path());
  if (!client) {
    complain(name, client.error());
    return std::nullopt;
  }
  auto answer = client->ask(question);
  if (!answer) {
    complain(name, answer.error());
    return std::nullopt;
  }
  return std::move(*answer);
}

int ask_stream(std::string_view name, const ControlOptions& options, const json& question,
               const std::function<bool(const json& data)>& take, runtime::ControlInput* input) {
  catch_interrupts();
  auto client = runtime::ControlClient::connect(options.control_path());
  if (!client) return complain(name, client.error());
  client->end_when([] { return interrupted() != 0; });
  const auto ended = client->ask(
      question,
      [&](const json& data) {
        // Whoever read our output may have had enough (`| head`).
        return interrupted() == 0 && take(data) && std::ferror(stdout) == 0;
      },
      input);
  if (!ended && interrupted() == 0) return complain(name, ended.error());
  end_echoed_line();
  return 0;
}

void print_json(const ordered_json& value) {
  fmt::print("{}\n", value.dump(2, ' ', false, ordered_json::error_handler_t::replace));
}

void print_json_line(const ordered_json& value) {
  fmt::print("{}\n", value.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
  std::fflush(stdout);
}

}  // namespace tapir::cli
