// SPDX-License-Identifier: Apache-2.0
#include "plugin/host.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "stack/stack.h"

namespace tapir::plugin {

namespace {

// What one look at the clock costs: without it the tool, which polls the clock, would never see it move.
constexpr Duration kTick = 1us;
// How long a packet is waited for on the stack's clock before there is none: longer than two of the longest
// time-outs.
constexpr Duration kReceivePatience = 5min;
// How long a call by the thread that reads the script may wait on the stack's clock: nothing but the stack
// itself can end it.
constexpr Duration kCallPatience = 60s;
// Real time: that a woken thread gets to run, and after which one that never asks for the time is given up.
constexpr auto kYield = std::chrono::milliseconds(1);
constexpr auto kStampPatience = std::chrono::seconds(2);
constexpr std::size_t kIpv4HeaderMin = 20;

// Knobs of /proc that say nothing about the script, or that a namespace of its own does not have.
bool is_the_machines(std::string_view name) {
  return name == "net.ipv4.tcp_mem" || name == "net.ipv4.tcp_max_orphans" ||
         name == "net.ipv4.tcp_available_congestion_control";
}

}  // namespace

Host::Host(const Flags& flags) : flags_(flags), machine_(flags.settings), shell_(machine_) {
  machine_.set_segmentation_offload(flags.segmentation_offload);
}

void Host::begin() {
  if (!machine_.started()) machine_.start();
}

// The tool's init and shell commands set the kernel's knobs in our namespace: what they say is what the stack
// shall do.
void Host::read_sysctls() {
  if (!flags_.read_proc_sys || shell_is_ours_) return;
  for (const std::string& name : machine_.stack().sysctl_names()) {
    if (!name.starts_with("net.ipv4.tcp_") || is_the_machines(name)) continue;
    std::string path = "/proc/sys/" + name;
    for (char& c : path)
      if (c == '.') c = '/';
    std::ifstream file(path);
    std::string value;
    if (!std::getline(file, value)) continue;
    // A namespace may not be allowed the congestion control that the scripts ask for; they all ask for this
    // one.
    const bool congestion = name == "net.ipv4.tcp_congestion_control";
    if (!machine_.stack().sysctl_set(name, value, machine_.now()) && congestion)
      (void)machine_.stack().sysctl_set(name, "cubic", machine_.now());
  }
}

// ---- descriptors ----

std::optional<int> Host::find(int fd) {
  const std::scoped_lock lock(mutex_);
  const auto it = descriptors_.find(fd);
  return it == descriptors_.end() ? std::nullopt : std::optional(it->second);
}

std::optional<int> Host::open_descriptor(int stack_fd) {
  const int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  descriptors_[fd] = stack_fd;  // the tool may have closed an earlier one of this number behind our back
  return fd;
}

// ---- calls ----

long Host::answered(const socket::Result<long>& result) {
  if (result) return *result;
  errno = static_cast<int>(result.error());
  return -1;
}

long Host::call(const Step& step, const Deadline& deadline) {
  std::unique_lock lock(mutex_);
  begin();
  read_sysctls();
  return answered(wait_for(step, deadline, lock));
}

int Host::call_for_descriptor(const Step& step, const Deadline& deadline) {
  std::unique_lock lock(mutex_);
  begin();
  read_sysctls();
  const socket::Result<long> result = wait_for(step, deadline, lock);
  if (!result) return static_cast<int>(answered(result));
  const auto fd = open_descriptor(static_cast<int>(*result));
  return fd ? *fd : -1;
}

int Host::close(int fd, const Step& step, const Deadline& deadline) {
  std::unique_lock lock(mutex_);
  descriptors_.erase(fd);
  ::close(fd);
  return static_cast<int>(answered(wait_for(step, deadline, lock)));
}

socket::Result<long> Host::wait_for(const Step& step, const Deadline& deadline,
                                    std::unique_lock<std::mutex>& lock) {
  auto answer = step(machine_.sockets(), machine_.now());
  machine_.settle();
  if (answer) return *answer;
  if (machine_.call_in_flight())
    return socket::fail(EAGAIN);  // one at a time; the tool does not do it either
  sim::drill::CallInFlight call;
  call.step = [this, step](Instant now) { return step(machine_.sockets(), now); };
  call.deadline = deadline ? deadline : Deadline([] { return kNever; });
  const bool reads_script = std::this_thread::get_id() == reader_;
  waiting_ = Waiting{std::this_thread::get_id(), std::nullopt};
  machine_.wait_for(std::move(call), [this, reads_script](socket::Result<long> result) {
    waiting_->answer = result;
    if (reads_script) return;
    stamping_ = waiting_->thread;
    woke_ = true;
    changed_.notify_all();
  });
  if (reads_script) {
    machine_.advance_to(machine_.now() + kCallPatience, [this] { return waiting_->answer.has_value(); });
    if (!waiting_->answer) machine_.forget_call();
  } else {
    changed_.wait(lock, [this] { return waiting_->answer.has_value(); });
  }
  const Waiting done = *std::exchange(waiting_, std::nullopt);
  return done.answer ? *done.answer : socket::fail(EAGAIN);
}

// ---- the device ----

void Host::learn_local(const IpAddress& address) {
  if (!address.is_v4() || address.is_unspecified() || address.is_multicast() || address.is_broadcast())
    return;
  const std::scoped_lock lock(mutex_);
  begin();
  machine_.add_local_address(address);
}

int Host::inject(const void* packet, std::size_t size) {
  const Bytes bytes(static_cast<const std::uint8_t*>(packet), size);
  if (size < kIpv4HeaderMin || bytes[0] >> 4 != 4) return 0;  // IPv6: as a stack without it, nobody hears it
  learn_local(IpAddress::v4(load_be<std::uint32_t>(bytes, 16)));
  std::unique_lock lock(mutex_);
  wait_for_stamp(lock);
  machine_.inject(std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
  return 0;
}

int Host::receive(void* packet, std::size_t* size, long long* time_usecs) {
  std::unique_lock lock(mutex_);
  begin();
  const Instant limit = machine_.now() + kReceivePatience;
  while (machine_.sent().empty()) {
    wait_for_stamp(lock);
    const Instant next = machine_.next_timeout();
    if (next > limit || !machine_.broken().empty()) {
      *size = 0;  // nothing will come: the tool says so
      *time_usecs = usecs(machine_.now());
      return 0;
    }
    machine_.advance_to(std::max(next, machine_.now()),
                        [this] { return stamping_.has_value() || !machine_.sent().empty(); });
  }
  const sim::drill::SentPacket sent = std::move(machine_.sent().front());
  machine_.sent().pop_front();
  const std::size_t copied = std::min(*size, sent.bytes.size());
  std::memcpy(packet, sent.bytes.data(), copied);
  *size = copied;
  *time_usecs = usecs(sent.at);
  return 0;
}

// ---- time ----

long long Host::usecs(Instant at) const {
  return static_cast<long long>(to_usec(at.time_since_epoch())) +
         static_cast<long long>(sim::drill::Machine::kWallClockOffset / 1000);
}

void Host::wait_for_stamp(std::unique_lock<std::mutex>& lock) {
  if (!stamping_ || *stamping_ == std::this_thread::get_id()) return;
  if (!changed_.wait_for(lock, kStampPatience, [this] { return !stamping_; })) stamping_.reset();
}

void Host::advance_to(Instant until) {
  machine_.advance_to(until, [this] { return stamping_.has_value(); });
}

int Host::sleep(useconds_t usecs) {
  std::unique_lock lock(mutex_);
  wait_for_stamp(lock);
  if (std::exchange(woke_, false)) {
    lock.unlock();
    std::this_thread::sleep_for(kYield);
    lock.lock();
  }
  advance_to(machine_.now() + std::chrono::microseconds(usecs));
  return 0;
}

int Host::time(timeval* now) {
  const std::scoped_lock lock(mutex_);
  if (stamping_ && *stamping_ == std::this_thread::get_id()) {
    stamping_.reset();
    changed_.notify_all();
  } else if (!stamping_) {
    advance_to(machine_.now() + kTick);
  }
  const long long at = usecs(machine_.now());
  now->tv_sec = static_cast<time_t>(at / 1'000'000);
  now->tv_usec = static_cast<suseconds_t>(at % 1'000'000);
  return 0;
}

// ---- the shell ----

std::optional<int> Host::run_command(const char* command) {
  const std::scoped_lock lock(mutex_);
  const std::map<std::string, std::size_t> files = machine_.files();
  const sim::drill::ShellOutcome outcome = shell_.run(command);
  if (outcome.skip) return std::nullopt;
  shell_is_ours_ = true;
  machine_.settle();
  // The tool opens what the command made itself: files are real, their bytes zeros.
  for (const auto& [path, size] : machine_.files())
    if (!files.contains(path) &&
        (!std::ofstream(path) || ::truncate(path.c_str(), static_cast<off_t>(size)) != 0))
      return 1 << 8;
  for (const auto& [path, size] : files)
    if (!machine_.files().contains(path)) ::unlink(path.c_str());
  return outcome.fail ? 1 << 8 : 0;  // as wait(2) has an exit status
}

}  // namespace tapir::plugin
