// SPDX-License-Identifier: Apache-2.0
#include "cli/demo_end.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include "drivers/descriptor.h"
#include "runtime/clock.h"
#include "socket/tcp_info.h"
#include "stack/parts.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"

extern char** environ;

namespace tapir::cli {

namespace {

constexpr int kBacklog = 16;

sockaddr_in to_sockaddr(const Endpoint& endpoint) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  address.sin_addr.s_addr = htonl(endpoint.address.v4_bits());
  return address;
}
const sockaddr* generic(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }
sockaddr* generic(sockaddr_in& address) { return reinterpret_cast<sockaddr*>(&address); }

constexpr timeval kPatience{kDemoPatienceSeconds, 0};

class KernelEnd final : public DemoEnd {
 public:
  std::string_view name() const override { return "kernel"; }

  Result<int> listen(const Endpoint& at) override {
    drivers::KernelDescriptor fd = open();
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const sockaddr_in address = to_sockaddr(at);
    if (!fd || ::bind(fd.get(), generic(address), sizeof address) != 0 || ::listen(fd.get(), kBacklog) != 0)
      return std::unexpected(errno);
    return fd.release();
  }
  Result<int> accept(int listener) override {
    drivers::KernelDescriptor fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd) return std::unexpected(errno);
    be_patient(fd.get());
    return fd.release();
  }
  Result<int> connect(const Endpoint& to) override {
    drivers::KernelDescriptor fd = open();
    const sockaddr_in address = to_sockaddr(to);
    if (!fd || ::connect(fd.get(), generic(address), sizeof address) != 0) return std::unexpected(errno);
    return fd.release();
  }
  Result<std::size_t> send(int socket, std::span<const char> data) override {
    return count(::send(socket, data.data(), data.size(), MSG_NOSIGNAL));
  }
  Result<std::size_t> receive(int socket, std::span<char> into) override {
    return count(::recv(socket, into.data(), into.size(), 0));
  }
  void shutdown_send(int socket) override { ::shutdown(socket, SHUT_WR); }
  void close(int socket) override { ::close(socket); }
  tcp::State state(int socket) override {
    tcp_info info{};
    socklen_t length = sizeof info;
    if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return tcp::State::kClosed;
    return static_cast<tcp::State>(info.tcpi_state);
  }
  std::uint16_t local_port(int socket) override { return port(socket, ::getsockname); }
  std::uint16_t remote_port(int socket) override { return port(socket, ::getpeername); }

 private:
  static Result<std::size_t> count(ssize_t done) {
    if (done < 0) return std::unexpected(errno);
    return static_cast<std::size_t>(done);
  }
  static void be_patient(int fd) {
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  }
  static drivers::KernelDescriptor open() {
    drivers::KernelDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd) be_patient(fd.get());
    return fd;
  }
  static std::uint16_t port(int socket, int (*ask)(int, sockaddr*, socklen_t*)) {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    return ask(socket, generic(address), &length) == 0 ? ntohs(address.sin_port) : std::uint16_t{0};
  }
};

class StackEnd final : public DemoEnd {
 public:
  StackEnd(runtime::StackHost& host, std::string name) : host_(host), name_(std::move(name)) {}
  std::string_view name() const override { return name_; }

  Result<int> listen(const Endpoint& at) override {
    auto fd = open();
    if (!fd) return fd;
    const sockaddr_in address = to_sockaddr(at);
    if (auto bound = host_.bind(*fd, generic(address), sizeof address); !bound)
      return failed(*fd, bound.error());
    if (auto listening = host_.listen(*fd, kBacklog); !listening) return failed(*fd, listening.error());
    return fd;
  }
  Result<int> accept(int listener) override {
    const auto fd = host_.accept(listener);
    if (!fd) return std::unexpected(static_cast<int>(fd.error()));
    be_patient(*fd);
    return *fd;
  }
  Result<int> connect(const Endpoint& to) override {
    auto fd = open();
    if (!fd) return fd;
    const sockaddr_in address = to_sockaddr(to);
    if (auto connected = host_.connect(*fd, generic(address), sizeof address); !connected)
      return failed(*fd, connected.error());
    return fd;
  }
  Result<std::size_t> send(int socket, std::span<const char> data) override {
    return count(host_.send(socket, data.data(), data.size(), MSG_NOSIGNAL));
  }
  Result<std::size_t> receive(int socket, std::span<char> into) override {
    return count(host_.recv(socket, into.data(), into.size()));
  }
  void shutdown_send(int socket) override { static_cast<void>(host_.shutdown(socket, SHUT_WR)); }
  void close(int socket) override { static_cast<void>(host_.close(socket)); }
  tcp::State state(int socket) override {
    socket::TcpInfo info;
    socklen_t length = sizeof info;
    if (!host_.getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length)) return tcp::State::kClosed;
    return static_cast<tcp::State>(info.state);
  }
  std::uint16_t local_port(int socket) override {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    return host_.getsockname(socket, generic(address), &length) ? ntohs(address.sin_port) : std::uint16_t{0};
  }
  std::uint16_t remote_port(int socket) override {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    return host_.getpeername(socket, generic(address), &length) ? ntohs(address.sin_port) : std::uint16_t{0};
  }

 private:
  static Result<std::size_t> count(const socket::Result<long>& done) {
    if (!done) return std::unexpected(static_cast<int>(done.error()));
    return static_cast<std::size_t>(*done);
  }
  void be_patient(int fd) {
    static_cast<void>(host_.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience));
    static_cast<void>(host_.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience));
  }
  Result<int> open() {
    const auto fd = host_.socket(AF_INET, SOCK_STREAM, 0);
    if (!fd) return std::unexpected(static_cast<int>(fd.error()));
    be_patient(*fd);
    return *fd;
  }
  Result<int> failed(int fd, socket::Errno error) {
    close(fd);
    return std::unexpected(static_cast<int>(error));
  }

  runtime::StackHost& host_;
  std::string name_;
};

}  // namespace

std::unique_ptr<DemoEnd> make_kernel_end() { return std::make_unique<KernelEnd>(); }
std::unique_ptr<DemoEnd> make_stack_end(runtime::StackHost& host, std::string name) {
  return std::make_unique<StackEnd>(host, std::move(name));
}

bool DemoSocket::send(std::string_view text) {
  while (!text.empty()) {
    const auto sent = end_->send(number_, {text.data(), text.size()});
    if (!sent || *sent == 0) return false;
    text.remove_prefix(*sent);
  }
  return true;
}

std::string DemoSocket::receive_until(std::string_view enough) {
  std::string text;
  std::array<char, 4096> buffer;
  while (enough.empty() || text.find(enough) == std::string::npos) {
    const auto got = end_->receive(number_, buffer);
    if (!got || *got == 0) break;
    text.append(buffer.data(), *got);
  }
  return text;
}

// ---- echo requests
// -------------------------------------------------------------------------------------------------

DemoPing ping_from_stack(runtime::StackHost& host, const IpAddress& to, int count) {
  static constexpr std::uint16_t kId = 0x7a91;
  DemoPing ping;
  for (int i = 0; i < count; ++i) {
    stack::PingRequest request;
    request.destination = to;
    request.id = kId;
    request.sequence = static_cast<std::uint16_t>(i + 1);
    request.timeout = std::chrono::seconds(2);
    const bool started = host.with([&](stack::Stack& stack, socket::Sockets&, Instant now) {
      auto reply = stack.parts().pings.start(request, now);
      if (reply) stack.parts().queue_reply(std::move(*reply), now);
      return reply.has_value();
    });
    if (!started) break;
    ++ping.sent;
    std::optional<stack::PingResult> result;
    while (!result) {
      result = host.with([&](stack::Stack& stack, socket::Sockets&, Instant) {
        return stack.parts().pings.take_result(kId);
      });
      if (!result) std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    if (result->outcome != stack::PingOutcome::kReply || !result->payload_intact) continue;
    ++ping.answered;
    ping.fastest = std::min(ping.fastest, result->round_trip);
  }
  return ping;
}

DemoPing ping_from_kernel(const IpAddress& to, int count) {
  static constexpr std::uint16_t kId = 0x7a92;
  static constexpr std::size_t kPayload = 56;
  DemoPing ping;
  const drivers::KernelDescriptor fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
  if (!fd) return ping;
  const timeval patience{2, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const sockaddr_in address = to_sockaddr({to, 0});
  for (int i = 0; i < count; ++i) {
    const auto sequence = static_cast<std::uint16_t>(i + 1);
    std::array<std::uint8_t, wire::kIcmpHeaderLength + kPayload> packet{};
    wire::emit_icmp(wire::IcmpMessage::echo(false, kId, sequence), packet);
    for (std::size_t b = 0; b < kPayload; ++b)
      packet[wire::kIcmpHeaderLength + b] = static_cast<std::uint8_t>(b);
    wire::seal_icmp(packet);
    const Instant sent_at = runtime::monotonic_now();
    if (::sendto(fd.get(), packet.data(), packet.size(), 0, generic(address), sizeof address) < 0) break;
    ++ping.sent;
    // The socket gets a copy of every ICMP packet of the namespace.
    std::array<std::uint8_t, 2048> buffer;
    for (ssize_t got; (got = ::recv(fd.get(), buffer.data(), buffer.size(), 0)) > 0;) {
      const Bytes bytes(buffer.data(), static_cast<std::size_t>(got));
      const auto ip = wire::parse_ipv4(bytes);
      const auto icmp = ip ? wire::parse_icmp(bytes.subspan(ip->header_length)) : std::nullopt;
      if (!icmp || icmp->type != wire::IcmpType::kEchoReply || icmp->id() != kId ||
          icmp->sequence() != sequence)
        continue;
      if (!std::equal(icmp->payload.begin(), icmp->payload.end(), packet.begin() + wire::kIcmpHeaderLength,
                      packet.end()))
        continue;
      ++ping.answered;
      ping.fastest = std::min(ping.fastest, Duration(runtime::monotonic_now() - sent_at));
      break;
    }
  }
  return ping;
}

// ---- programs
// ------------------------------------------------------------------------------------------------------

ProgramRun run_program(const std::vector<std::string>& arguments) {
  ProgramRun run;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return run;
  const drivers::KernelDescriptor reader(ends[0]);
  drivers::KernelDescriptor writer(ends[1]);

  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, writer.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, writer.get(), STDERR_FILENO);
  pid_t child = -1;
  const int error = ::posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  writer.reset();
  if (error != 0) return run;

  run.found = true;
  std::array<char, 4096> buffer;
  for (ssize_t got; (got = ::read(reader.get(), buffer.data(), buffer.size())) > 0;)
    run.output.append(buffer.data(), static_cast<std::size_t>(got));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) run.status = WEXITSTATUS(status);
  return run;
}

}  // namespace tapir::cli
