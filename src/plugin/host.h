// SPDX-License-Identifier: Apache-2.0
// A stack on virtual time behind packetdrill's table: which call it is, who waits, and what the time is.
//
// The tool has two threads: one reads the script, the other makes calls that may wait. The clock moves only
// when the first asks for the time, sleeps, or waits for a packet. A call that was waited for and is answered
// stops the clock until its thread has asked for the time once, which is how the tool learns when the call
// returned; until then nothing may happen.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "plugin/flags.h"
#include "sim/drill/machine.h"
#include "sim/drill/shell.h"

namespace tapir::plugin {

class Host {
 public:
  explicit Host(const Flags& flags);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  using Step = std::function<std::optional<socket::Result<long>>(socket::Sockets&, Instant)>;
  using Deadline = std::function<Instant()>;

  // ---- descriptors: real ones, so that the tool may close them; unknown ones are the system's ----
  // The stack's descriptor behind `fd`; nothing: it is not ours.
  std::optional<int> find(int fd);
  // Makes a call that answers at once, or waits for it. The result as libc gives it, errno set.
  long call(const Step& step, const Deadline& deadline = {});
  // The same, whose result is a new descriptor of the stack: given a real one.
  int call_for_descriptor(const Step& step, const Deadline& deadline = {});
  int close(int fd, const Step& step, const Deadline& deadline);

  // ---- the device ----
  int inject(const void* packet, std::size_t size);
  int receive(void* packet, std::size_t* size, long long* time_usecs);

  // ---- time ----
  int sleep(useconds_t usecs);
  int time(timeval* now);

  // A bind() or an injected packet tells one of our addresses.
  void learn_local(const IpAddress& address);
  // A shell command of the script, if it is one that concerns the stack. Nothing: the shell's.
  std::optional<int> run_command(const char* command);

 private:
  struct Waiting {
    std::thread::id thread;
    std::optional<socket::Result<long>> answer;
  };
  long answered(const socket::Result<long>& result);
  socket::Result<long> wait_for(const Step& step, const Deadline& deadline,
                                std::unique_lock<std::mutex>& lock);
  void begin();
  void read_sysctls();
  void advance_to(Instant until);
  void wait_for_stamp(std::unique_lock<std::mutex>& lock);
  long long usecs(Instant at) const;
  std::optional<int> open_descriptor(int stack_fd);

  const std::thread::id reader_ = std::this_thread::get_id();  // of the script
  const Flags flags_;
  std::mutex mutex_;
  std::condition_variable changed_;
  sim::drill::Machine machine_;
  sim::drill::Shell shell_;
  std::map<int, int> descriptors_;           // real to the stack's
  std::optional<Waiting> waiting_;           // at most one call
  std::optional<std::thread::id> stamping_;  // the clock stands until this thread has asked for the time
  bool woke_ = false;           // since the last sleep: the woken thread needs a moment of real time
  bool shell_is_ours_ = false;  // a command was run here: the knobs are the stack's own
};

}  // namespace tapir::plugin
