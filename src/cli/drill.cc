// SPDX-License-Identifier: Apache-2.0
#include "cli/drill.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "sim/drill/runner.h"

namespace tapir::cli {

namespace {

namespace drill = tapir::sim::drill;
namespace fs = std::filesystem;

// More threads than this help no machine, and each holds a stack.
constexpr unsigned kJobsMax = 64;

struct ScriptRun {
  std::string path;
  drill::Outcome outcome;
};

int usage_error(const std::string& message) {
  fmt::print(stderr, "tapir drill: {}\n", message);
  return 2;
}

// The scripts of the paths, those of a folder in order of their names; or what is wrong with a path.
std::optional<std::string> collect(const std::vector<std::string>& paths, std::vector<ScriptRun>& scripts) {
  for (const std::string& path : paths) {
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      if (!fs::exists(path, error)) return path + ": there is no such file or folder";
      scripts.push_back({path, {}});
      continue;
    }
    std::vector<std::string> found;
    for (auto it = fs::recursive_directory_iterator(path, error);
         !error && it != fs::recursive_directory_iterator(); it.increment(error))
      if (it->path().extension() == ".pkt" && it->is_regular_file(error))
        found.push_back(it->path().string());
    if (error) return path + ": " + error.message();
    if (found.empty()) return path + ": no script (*.pkt) in this folder";
    std::sort(found.begin(), found.end());
    for (std::string& script : found) scripts.push_back({std::move(script), {}});
  }
  return std::nullopt;
}

drill::RunOptions run_options(const DrillOptions& options) {
  drill::RunOptions run;
  run.log = options.verbose;
  for (const std::string& definition : options.defines) run.options.emplace_back("define", definition);
  const auto add = [&](const char* name, const std::optional<std::string>& value) {
    if (value) run.options.emplace_back(name, *value);
  };
  add("tolerance_usecs", options.tolerance_usecs);
  add("mtu", options.mtu);
  add("local_ip", options.local_ip);
  add("remote_ip", options.remote_ip);
  add("gateway_ip", options.gateway_ip);
  add("ip_version", options.ip_version);
  add("tcp_ts_tick_usecs", options.tcp_ts_tick_usecs);
  if (options.strict_segments) run.options.emplace_back("strict_segments", "");
  return run;
}

drill::Outcome run_file(const std::string& path, const drill::RunOptions& options) {
  drill::Outcome outcome;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) {
    outcome.verdict = drill::Verdict::kFail;
    outcome.reason = "the file cannot be read";
    return outcome;
  }
  return drill::run_script(text.str(), options);
}

// Each script has a stack of its own, so that threads share nothing but the list.
void run_all(std::vector<ScriptRun>& scripts, const drill::RunOptions& options, unsigned jobs) {
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < scripts.size(); i = next++)
      scripts[i].outcome = run_file(scripts[i].path, options);
  };
  std::vector<std::jthread> threads;
  for (unsigned i = 1; i < std::clamp(jobs, 1U, kJobsMax); ++i) threads.emplace_back(work);
  work();
}

const char* verdict_name(drill::Verdict verdict) {
  switch (verdict) {
    case drill::Verdict::kPass:
      return "PASS";
    case drill::Verdict::kFail:
      return "FAIL";
    case drill::Verdict::kSkip:
      return "SKIP";
  }
  return "?";
}

// "path", "path:line", "path:line:column".
std::string place(const ScriptRun& script) {
  const drill::Outcome& outcome = script.outcome;
  if (outcome.verdict != drill::Verdict::kFail || outcome.line == 0) return script.path;
  if (outcome.column == 0) return fmt::format("{}:{}", script.path, outcome.line);
  return fmt::format("{}:{}:{}", script.path, outcome.line, outcome.column);
}

void print_text(const ScriptRun& script, const DrillOptions& options) {
  const drill::Outcome& outcome = script.outcome;
  for (const std::string& line : outcome.log) fmt::print("    {}\n", line);
  if (outcome.verdict == drill::Verdict::kPass)
    fmt::print("PASS {}\n", script.path);
  else
    fmt::print("{} {} {}\n", verdict_name(outcome.verdict), place(script), outcome.reason);
  if (outcome.verdict == drill::Verdict::kFail)
    fmt::print("{}", options.diff ? drill::failure_diff(outcome) : drill::failure_text(outcome));
}

nlohmann::ordered_json to_json(const ScriptRun& script) {
  const drill::Outcome& outcome = script.outcome;
  nlohmann::ordered_json object;
  object["path"] = script.path;
  object["verdict"] = verdict_name(outcome.verdict);
  if (outcome.line != 0) object["line"] = outcome.line;
  if (!outcome.reason.empty()) object["reason"] = outcome.reason;
  if (!outcome.expected.empty()) object["expected"] = outcome.expected;
  if (!outcome.got.empty()) object["got"] = outcome.got;
  for (const drill::LadderStep& step : outcome.ladder)
    object["segments"].push_back({{"time_ns", step.at.count()},
                                  {"direction", step.inbound ? "in" : "out"},
                                  {"segment", step.text},
                                  {"remark", step.remark}});
  if (!outcome.tcb.empty()) object["tcb"] = outcome.tcb;
  if (!outcome.log.empty()) object["log"] = outcome.log;
  return object;
}

}  // namespace

int drill_main(const DrillOptions& options) {
  if (options.paths.empty()) return usage_error("no script given: tapir drill FILE|FOLDER...");
  if (options.family != "ipv4" && options.family != "ipv6" && options.family != "mapped")
    return usage_error(fmt::format("--family {}: expected ipv4, ipv6 or mapped", options.family));
  const drill::RunOptions run = run_options(options);
  drill::Settings settings = drill::default_settings();
  for (const auto& [name, value] : run.options)
    if (const auto problem = drill::apply_option(settings, name, value); problem && !problem->unsupported)
      return usage_error(problem->message);

  std::vector<ScriptRun> scripts;
  if (const auto problem = collect(options.paths, scripts)) return usage_error(*problem);
  if (options.family == "ipv4") {
    run_all(scripts, run, options.jobs);
  } else {
    for (ScriptRun& script : scripts) {
      script.outcome.verdict = drill::Verdict::kSkip;
      script.outcome.reason = fmt::format("--family {}: only IPv4 is interpreted", options.family);
    }
  }

  std::size_t counts[3] = {};
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const ScriptRun& script : scripts) {
    ++counts[static_cast<std::size_t>(script.outcome.verdict)];
    if (options.json)
      results.push_back(to_json(script));
    else
      print_text(script, options);
  }
  const auto [passed, failed, skipped] = counts;
  if (options.json) {
    const nlohmann::ordered_json whole = {
        {"scripts", results}, {"passed", passed}, {"failed", failed}, {"skipped", skipped}};
    fmt::print("{}\n", whole.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  } else {
    fmt::print("{} passed, {} failed, {} skipped\n", passed, failed, skipped);
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace tapir::cli
