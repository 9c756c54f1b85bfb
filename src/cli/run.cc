// SPDX-License-Identifier: Apache-2.0
// `tapir run`: a program whose internet sockets are tapir's. Makes the device, starts the program with
// libtapir-preload.so before its libc, and waits for it. The device goes with the last process that has it.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "cli/asking.h"
#include "cli/commands.h"
#include "cli/plan.h"
#include "cli/program_file.h"
#include "drivers/netdev.h"
#include "drivers/netns.h"
#include "drivers/tap.h"
#include "runtime/control_socket.h"

namespace tapir::cli {
namespace {

// Exit status of env(1), nohup(1) and the shell.
constexpr int kNotFound = 127;
constexpr int kNotExecutable = 126;
// How far below the limit on open files the program's copy of the device is: out of its way, and of the
// stack's own descriptors.
constexpr int kBelowLimit = 128;

// Beside this command, as built, or where it was installed.
std::optional<std::string> find_library() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return std::nullopt;
  const std::filesystem::path prefix = self.parent_path().parent_path();
  for (const char* folder : {"lib", TAPIR_LIBDIR}) {
    const std::filesystem::path library = prefix / folder / "libtapir-preload.so";
    if (std::filesystem::exists(library, error)) return library.string();
  }
  return std::nullopt;
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

// ---- signals: those that others send us are the program's ----

volatile std::sig_atomic_t child = 0;

// What a terminal sends, its whole foreground group gets: the program has it already.
void pass_on(int signal, siginfo_t* info, void*) {
  if (child > 0 && info->si_code <= 0 && info->si_pid != child) ::kill(static_cast<pid_t>(child), signal);
}

constexpr std::array kPassed{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH};

void pass_signals_on() {
  struct sigaction action{};
  action.sa_sigaction = pass_on;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigfillset(&action.sa_mask);
  for (const int signal : kPassed) ::sigaction(signal, &action, nullptr);
}

// The program's end is ours.
int end_as(int status) {
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  const int signal = WTERMSIG(status);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
  return 128 + signal;
}

class Runner {
 public:
  Runner(const RunOptions& options, const Plan& plan, const std::optional<std::string>& control)
      : options_(options), plan_(plan) {
    if (control) control_ = std::filesystem::absolute(*control).string();
  }

  Outcome prepare() {
    for (const auto step :
         {&Runner::find_files, &Runner::enter_namespace, &Runner::make_device, &Runner::set_environment})
      if (auto done = (this->*step)(); !done) return done;
    return {};
  }

  int run() {
    if (!options_.quiet) say_where();
    const sigset_t before = block_all();
    const pid_t pid = ::fork();
    if (pid < 0) return complain("run", fmt::format("no process can be made: {}", std::strerror(errno)));
    if (pid == 0) become_program(before);
    child = pid;
    pass_signals_on();
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    child = 0;
    device_.reset();
    if (!control_.empty()) runtime::ControlServer::remove_left_behind(control_);
    return end_as(status);
  }

 private:
  Outcome find_files() {
    const auto library = find_library();
    if (!library)
      return std::unexpected(
          "libtapir-preload.so is not where this command is, nor in ../lib of there: build or install it");
    library_ = *library;
    if (const auto remark = why_not_preloadable(options_.program.front()); remark)
      fmt::print(stderr, "tapir run: {}\n", *remark);
    return {};
  }

  // While this process has one thread.
  Outcome enter_namespace() {
    if (drivers::has_net_admin()) return check_addresses_free(plan_);
    auto entered = drivers::enter_private_network_namespace();
    if (!entered) return std::unexpected(entered.error());
    namespace_ = *entered;
    return {};
  }

  Outcome make_device() {
    if (plan_.wire != Wire::kTap) return std::unexpected("--dev: a program's device is a TAP interface");
    auto tap = drivers::open_tap({.name = plan_.device, .mtu = plan_.mtu});
    if (!tap) return std::unexpected(tap.error());
    device_ = std::move(*tap);
    if (plan_.peer) {
      if (auto added = drivers::add_address(device_->name(), *plan_.peer); !added) return added;
    }
    return drivers::set_link_up(device_->name());
  }

  Outcome set_environment() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    const int first = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1 << 20)) - kBelowLimit;
    // Not close-on-exec: a shell hands it on to what it runs.
    program_device_ = ::fcntl(device_->wait_descriptor(), F_DUPFD, std::max(first, 3));
    if (program_device_ < 0)
      return std::unexpected(fmt::format("the program's descriptor of the device: {}", std::strerror(errno)));
    std::vector<std::string> addresses;
    for (const IpPrefix& address : plan_.addresses) addresses.push_back(address.to_string());
    set("TAPIR_ADDR", joined(addresses, ","));
    set("TAPIR_DEV", device_->name());
    set("TAPIR_DEVICE_FD", std::to_string(program_device_));
    set("TAPIR_PEER", plan_.peer ? plan_.peer->to_string() : "");
    set("TAPIR_GATEWAY", plan_.gateway ? plan_.gateway->to_string() : "");
    set("TAPIR_DNS", joined(options_.name_servers, ","));
    set("TAPIR_ONLY", joined(options_.only, ","));
    set("TAPIR_EXCEPT", joined(options_.except, ","));
    set("TAPIR_PCAP", plan_.pcap ? std::filesystem::absolute(*plan_.pcap).string() : "");
    set("TAPIR_CONTROL", control_);
    std::vector<std::string> sysctls;
    for (const Plan::Sysctl& sysctl : plan_.sysctls) sysctls.push_back(sysctl.name + "=" + sysctl.value);
    set("TAPIR_SYSCTL", joined(sysctls, ";"));
    const char* others = std::getenv("LD_PRELOAD");
    set("LD_PRELOAD", others != nullptr && *others != '\0' ? library_ + ":" + others : library_);
    return {};
  }

  static void set(const char* name, const std::string& value) {
    if (value.empty()) {
      ::unsetenv(name);
    } else {
      ::setenv(name, value.c_str(), 1);
    }
  }

  void say_where() const {
    std::string where = "this network namespace";
    if (namespace_) {
      const bool user = *namespace_ == drivers::Namespace::kUserAndNetwork;
      where = fmt::format("a new {}network namespace (nsenter -t {}{} -n)", user ? "user and " : "",
                          ::getpid(), user ? " -U --preserve-credentials" : "");
    }
    fmt::print(stderr, "tapir run: {} on {}, in {}{}.\n", plan_.addresses.front().to_string(),
               device_->name(), where,
               plan_.peer ? fmt::format("; the kernel's end is {}", plan_.peer->to_string()) : "");
  }

  static sigset_t block_all() {
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, &before);
    return before;
  }

  [[noreturn]] void become_program(const sigset_t& mask) {
    // main() ignores it for itself.
    std::signal(SIGPIPE, SIG_DFL);
    std::vector<char*> arguments;
    for (const std::string& argument : options_.program)
      arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    ::execvp(arguments.front(), arguments.data());
    const int error = errno;
    complain("run", fmt::format("{}: {}", options_.program.front(), std::strerror(error)));
    ::_exit(error == ENOENT ? kNotFound : kNotExecutable);
  }

  const RunOptions& options_;
  const Plan& plan_;
  std::string control_;  // empty: none
  std::string library_;
  std::optional<drivers::Namespace> namespace_;
  std::unique_ptr<drivers::TapDevice> device_;
  int program_device_ = -1;
};

}  // namespace

int run_main(const RunOptions& options) {
  if (options.program.empty())
    return complain("run", "no program is given: tapir run [OPTION…] -- PROGRAM [ARGUMENT…]", 2);
  RunOptions with_device = options;
  // The kernel numbers them: several may run in one namespace.
  if (!with_device.device && !with_device.config) with_device.device = "tapir%d";
  const auto configured = with_config(with_device);
  if (!configured) return complain("run", configured.error(), 2);
  const auto plan = make_plan(*configured);
  if (!plan) return complain("run", plan.error(), 2);
  Runner runner(options, *plan, configured->options.control);
  if (const auto prepared = runner.prepare(); !prepared) return complain("run", prepared.error());
  return runner.run();
}

}  // namespace tapir::cli
