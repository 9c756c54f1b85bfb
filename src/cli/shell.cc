// SPDX-License-Identifier: Apache-2.0
// `tapir shell`: the commands of `tapir`, one after the other, on one stack: a running one, or its own in a
// process beside.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cli/asking.h"
#include "cli/background_debug.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"
#include "cli/words.h"
#include "drivers/descriptor.h"
#include "runtime/control_client.h"

namespace tapir::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// `tapir up` in a process of its own, so that Ctrl-C at the shell does not reach it. It ends with the shell,
// however that ends.
class OwnStack {
 public:
  OwnStack() = default;
  ~OwnStack() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  OwnStack(const OwnStack&) = delete;
  OwnStack& operator=(const OwnStack&) = delete;

  // Waits until it is up; 0, or the status with which it ended after complaining. `banner`: what it says of
  // itself.
  int start(const UpOptions& options, std::string& banner) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return complain("shell", "no pipe can be made");
    const drivers::KernelDescriptor read_end(ends[0]);
    drivers::KernelDescriptor write_end(ends[1]);
    std::fflush(nullptr);
    const pid_t shell = ::getpid();
    pid_ = ::fork();
    if (pid_ < 0) return complain("shell", "no process can be made");
    if (pid_ == 0) {
      ::setpgid(0, 0);
      ::prctl(PR_SET_PDEATHSIG, SIGTERM);
      if (::getppid() != shell) ::_exit(1);
      ::dup2(write_end.get(), STDOUT_FILENO);
      if (std::freopen("/dev/null", "r", stdin) == nullptr) ::_exit(1);
      const int status = up_main(options);
      std::fflush(nullptr);
      ::_exit(status);
    }
    write_end = drivers::KernelDescriptor();
    char chunk[4096];
    while (banner.find("\nThe control socket is ") == std::string::npos) {
      const ssize_t n = ::read(read_end.get(), chunk, sizeof chunk);
      if (n < 0 && errno == EINTR && interrupted() == 0) continue;
      if (n > 0) {
        banner.append(chunk, static_cast<std::size_t>(n));
        continue;
      }
      int status = 0;
      ::kill(pid_, SIGTERM);
      ::waitpid(std::exchange(pid_, -1), &status, 0);
      return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1;
    }
    return 0;
  }

 private:
  pid_t pid_ = -1;
};

// The default path, or one of this process where another stack has that.
std::string free_control_path() {
  const std::string path = default_control_path();
  return runtime::ControlClient::connect(path) ? fmt::format("/tmp/tapir-shell-{}.sock", ::getpid()) : path;
}

class Shell {
 public:
  Shell(BackgroundDebug& debug, const ShellTable& table) : debug_(debug), table_(table) {}

  // Answers the status of the last command.
  int run_line(std::string_view line) {
    const auto commands = split_commands(line);
    if (!commands) return status_ = complain("shell", commands.error(), 2);
    for (const auto& words : *commands) {
      forget_interrupt();
      status_ = run_command(words);
      std::fflush(stdout);
      if (over_ || interrupted() != 0) break;
    }
    return status_;
  }

  int run_script() {
    std::string line;
    while (!over_ && interrupted() != SIGTERM && read_line(line)) run_line(line);
    return status_;
  }

  int run_terminal() {
    const char* home = std::getenv("HOME");
    LineEditor editor("tapir> ", home != nullptr ? std::string(home) + "/.tapir_history" : std::string(),
                      [this](std::string_view line) { return complete(line); });
    debug_.show_with([&editor](const std::string& lines) { editor.show(lines); }, true);
    ::signal(SIGQUIT, SIG_IGN);
    while (!over_) {
      forget_interrupt();
      std::string line;
      switch (editor.read(line)) {
        case LineEditor::Outcome::kEnd:
          fmt::print("\n");
          over_ = true;
          break;
        case LineEditor::Outcome::kInterrupted:
          fmt::print("^C\n");
          over_ = interrupted() == SIGTERM;
          break;
        case LineEditor::Outcome::kLine:
          run_line(line);
      }
    }
    (void)debug_.set({}, 0);
    return status_;
  }

 private:
  const CommandName* find(std::string_view name) const {
    const auto found = std::ranges::find(table_.commands, name, &CommandName::name);
    return found == table_.commands.end() ? nullptr : &*found;
  }

  int run_command(const std::vector<std::string>& words) {
    const std::string& name = words.front();
    if (name == "exit" || name == "quit") {
      over_ = true;
      return status_;
    }
    if (name == "help" || name == "?") return help(words);
    if (name == "clear") {
      fmt::print("\x1b[H\x1b[2J");
      return 0;
    }
    if (find(name) == nullptr)
      return complain("shell", fmt::format("there is no command '{}'; `help` lists them", name), 127);
    return table_.run(words);
  }

  struct CommandHelp {
    std::string_view name;
    std::string_view summary;
  };

  int help(const std::vector<std::string>& words) {
    static constexpr CommandHelp kOwn[] = {{"help", "this list; help COMMAND tells its options"},
                                           {"clear", "an empty screen"},
                                           {"exit", "leaves, as Ctrl-D does"}};
    if (words.size() > 1) {
      if (const auto* own = std::ranges::find(kOwn, words[1], &CommandHelp::name); own != std::end(kOwn)) {
        fmt::print("{}: {}\n", own->name, own->summary);
        return 0;
      }
      if (find(words[1]) == nullptr)
        return complain("shell", fmt::format("there is no command '{}'; `help` lists them", words[1]), 2);
      return table_.run({words[1], "--help"});
    }
    std::size_t width = 0;
    for (const CommandName& each : table_.commands) width = std::max(width, each.name.size());
    for (const CommandName& each : table_.commands)
      fmt::print("  {:{}}  {}\n", each.name, width, each.summary);
    for (const CommandHelp& each : kOwn) fmt::print("  {:{}}  {}\n", each.name, width, each.summary);
    fmt::print("Commands may follow one another after ';'. Ctrl-C ends the command that runs.\n");
    return 0;
  }

  // Byte by byte: what follows may be read by a command (nc).
  static bool read_line(std::string& line) {
    line.clear();
    for (;;) {
      char byte = 0;
      const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
      if (n < 0 && errno == EINTR && interrupted() == 0) continue;
      if (n <= 0) return !line.empty();
      if (byte == '\n') return true;
      line += byte;
    }
  }

  std::vector<std::string> complete(std::string_view line) const {
    const std::size_t command_at = line.find_last_of(';');
    std::string_view command = command_at == std::string_view::npos ? line : line.substr(command_at + 1);
    while (command.starts_with(' ')) command.remove_prefix(1);
    const std::size_t blank = command.find_last_of(' ');
    const std::string_view typed = blank == std::string_view::npos ? command : command.substr(blank + 1);
    std::vector<std::string> candidates;
    if (blank == std::string_view::npos) {
      for (const CommandName& each : table_.commands) candidates.push_back(each.name);
      candidates.insert(candidates.end(), {"help", "clear", "exit"});
    } else {
      const std::string_view name = command.substr(0, command.find(' '));
      if (const CommandName* known = find(name)) candidates = known->completions;
      if (name == "help")
        for (const CommandName& each : table_.commands) candidates.push_back(each.name);
      if (name == "sysctl" && !typed.empty() && typed.front() != '-')
        candidates = names_of({{"command", "sysctl"}, {"all", true}}, "name");
      if (name == "ip" || name == "arping" || name == "capture")
        for (std::string& interface : interface_names()) candidates.push_back(std::move(interface));
    }
    std::erase_if(candidates, [&](const std::string& each) { return !each.starts_with(typed); });
    std::ranges::sort(candidates);
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
    return candidates;
  }
  static std::vector<std::string> names_of(const json& question, const char* key) {
    std::vector<std::string> names;
    auto client = runtime::ControlClient::connect(default_control_path());
    if (!client) return names;
    if (const auto rows = client->ask(question))
      for (const json& row : *rows)
        if (row.contains(key)) names.push_back(row[key].get<std::string>());
    return names;
  }
  static std::vector<std::string> interface_names() {
    std::vector<std::string> names;
    auto client = runtime::ControlClient::connect(default_control_path());
    if (!client) return names;
    if (const auto text = client->ask({{"command", "ip"}, {"object", "link"}, {"action", "show"}}))
      for (const ordered_json& row : ordered_json::parse(text->get<std::string>()))
        names.push_back(row.value("ifname", ""));
    return names;
  }

  BackgroundDebug& debug_;
  const ShellTable& table_;
  int status_ = 0;
  bool over_ = false;
};

}  // namespace

int shell_main(const ShellOptions& options, BackgroundDebug& debug, const ShellTable& table) {
  const bool terminal = !options.commands && ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  catch_interrupts();
  OwnStack own;
  UpOptions up = options.up;
  // Without a word about which: the one that is there, as for every other command.
  if (up == UpOptions{} && runtime::ControlClient::connect(default_control_path()))
    up.control = default_control_path();
  if (!up.control) {
    up.control = free_control_path();
    std::string banner;
    if (const int status = own.start(up, banner); status != 0) return status;
    if (terminal) fmt::print("{}", banner.substr(0, banner.find("\n\n") + 1));
  } else if (const auto client = runtime::ControlClient::connect(*up.control); !client) {
    return complain("shell", client.error());
  }
  // Where every command asks.
  ::setenv("TAPIR_CONTROL", up.control->c_str(), 1);
  debug.show_with(
      [](const std::string& lines) {
        std::fputs(lines.c_str(), stdout);
        std::fflush(stdout);
      },
      ::isatty(STDOUT_FILENO) == 1);
  Shell shell(debug, table);
  int status = 0;
  if (options.commands) {
    status = shell.run_line(*options.commands);
  } else if (terminal) {
    fmt::print("`help` lists the commands, Tab completes, Ctrl-D leaves.\n");
    status = shell.run_terminal();
  } else {
    status = shell.run_script();
  }
  (void)debug.set({}, 0);
  return status;
}

}  // namespace tapir::cli
