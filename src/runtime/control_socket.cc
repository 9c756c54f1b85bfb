// SPDX-License-Identifier: Apache-2.0
#include "runtime/control_socket.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "runtime/clock.h"
#include "runtime/unix_address.h"

namespace tapir::runtime {
namespace {

using nlohmann::json;

// How long an answer waits for a client that does not read; then the client counts as gone.
constexpr int kSendTimeoutMs = 5000;

// True when somebody accepts connections at `address`.
bool is_served(const UnixAddress& address) {
  const drivers::KernelDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // EAGAIN: its queue of connections is full, so somebody is there.
  return ::connect(fd.get(), address.get(), address.length()) == 0 || errno == EAGAIN;
}

bool is_socket(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace

// ---- an answer
// -----------------------------------------------------------------------------------------------------

bool ControlReply::send_line(const std::string& line) {
  std::size_t sent = 0;
  while (open_ && sent < line.size()) {
    const ssize_t n = ::send(client_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      sent += static_cast<std::size_t>(n);
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    std::array<pollfd, 2> waiting = {pollfd{client_, POLLOUT, 0}, pollfd{stop_, POLLIN, 0}};
    open_ = n < 0 && errno == EAGAIN && ::poll(waiting.data(), waiting.size(), kSendTimeoutMs) > 0 &&
            waiting[1].revents == 0 && (waiting[0].revents & (POLLERR | POLLHUP)) == 0;
  }
  return open_;
}

bool ControlReply::send(const json& data) { return !failed_ && send_line(dump(json{{"data", data}})); }

void ControlReply::fail(const std::string& sentence) {
  if (std::exchange(failed_, true)) return;
  send_line(dump(json{{"error", sentence}}));
}

bool ControlReply::wait(Duration duration) {
  if (!open_) return false;
  std::array<pollfd, 2> waiting = {pollfd{client_, POLLRDHUP, 0}, pollfd{stop_, POLLIN, 0}};
  const timespec timeout = to_timespec(duration);
  const int ready = ::ppoll(waiting.data(), waiting.size(), &timeout, nullptr);
  if (ready > 0) open_ = false;
  return open_;
}

std::optional<json> ControlReply::take_line() {
  const std::size_t end = heard_.find('\n');
  if (end == std::string::npos) return std::nullopt;
  json said = json::parse(heard_.substr(0, end), nullptr, false);
  heard_.erase(0, end + 1);
  if (said.is_object()) return said;
  fail("what is said while a question is answered is a line with a JSON object");
  open_ = false;
  return std::nullopt;
}

std::optional<json> ControlReply::receive(Duration duration) {
  if (!open_) return std::nullopt;
  if (auto said = take_line(); said || !open_) return said;
  std::array<pollfd, 2> waiting = {pollfd{client_, POLLIN, 0}, pollfd{stop_, POLLIN, 0}};
  const timespec timeout = to_timespec(duration);
  if (::ppoll(waiting.data(), waiting.size(), &timeout, nullptr) <= 0) return std::nullopt;
  std::array<char, 65536> chunk;
  const ssize_t n = waiting[1].revents != 0 ? 0 : ::recv(client_, chunk.data(), chunk.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return std::nullopt;
  if (n > 0) heard_.append(chunk.data(), static_cast<std::size_t>(n));
  open_ = n > 0 && heard_.size() <= kControlLineMax;
  if (!open_) return std::nullopt;
  return take_line();
}

// ---- the server
// ----------------------------------------------------------------------------------------------------

std::expected<std::unique_ptr<ControlServer>, std::string> ControlServer::open(
    const std::string& path, std::map<std::string, ControlHandler> handlers, int first_descriptor,
    void (*enter_thread)()) {
  const auto address = UnixAddress::of(path);
  if (!address) return std::unexpected(address.error());
  auto listener = drivers::KernelDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))
                      .at_or_above(first_descriptor);
  if (!listener) return std::unexpected(std::string("a unix socket cannot be made: ") + std::strerror(errno));
  if (is_socket(path)) {
    if (is_served(*address))
      return std::unexpected("the control socket " + path +
                             " is served by another program already: choose another path");
    ::unlink(path.c_str());  // left behind by a server that was killed
  }
  if (::bind(listener.get(), address->get(), address->length()) != 0) {
    if (errno == EADDRINUSE)
      return std::unexpected("the control socket cannot be made at " + path +
                             ": there is a file that is no socket");
    return std::unexpected("the control socket cannot be made at " + path + ": " + std::strerror(errno));
  }
  if (::listen(listener.get(), 16) != 0)
    return std::unexpected("the control socket " + path + " cannot listen: " + std::strerror(errno));
  return std::unique_ptr<ControlServer>(
      new ControlServer(path, std::move(listener), std::move(handlers), first_descriptor, enter_thread));
}

void ControlServer::remove_left_behind(const std::string& path) {
  if (const auto address = UnixAddress::of(path); address && is_socket(path) && !is_served(*address))
    ::unlink(path.c_str());
}

ControlServer::ControlServer(std::string path, drivers::KernelDescriptor listener,
                             std::map<std::string, ControlHandler> handlers, int first_descriptor,
                             void (*enter_thread)())
    : path_(std::move(path)),
      first_descriptor_(first_descriptor),
      enter_thread_(enter_thread),
      listener_(std::move(listener)),
      stop_(
          drivers::KernelDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)).at_or_above(first_descriptor)),
      handlers_(std::move(handlers)) {
  // Signals are for the program's own threads; those made here inherit this mask.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  accepting_ = std::thread([this] { accept_clients(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

ControlServer::~ControlServer() {
  ::eventfd_write(stop_.get(), 1);
  accepting_.join();
  ::unlink(path_.c_str());
}

void ControlServer::accept_clients() {
  if (enter_thread_ != nullptr) enter_thread_();
  for (;;) {
    std::array<pollfd, 2> waiting = {pollfd{listener_.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
    ::poll(waiting.data(), waiting.size(), -1);
    if (waiting[1].revents != 0) break;
    auto fd = drivers::KernelDescriptor(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC))
                  .at_or_above(first_descriptor_);
    remove_done();
    if (fd) take_client(std::move(fd));
  }
  for (const auto& client : clients_) client->thread.join();
}

void ControlServer::remove_done() {
  std::erase_if(clients_, [](const std::unique_ptr<Client>& client) {
    if (!client->done) return false;
    client->thread.join();
    return true;
  });
}

void ControlServer::take_client(drivers::KernelDescriptor fd) {
  if (clients_.size() >= kControlClientsMax) {
    std::string nothing;
    ControlReply(fd.get(), stop_.get(), nothing).fail("too many clients are at this control socket");
    return;
  }
  auto client = std::make_unique<Client>();
  client->fd = std::move(fd);
  Client& taken = *client;
  clients_.push_back(std::move(client));
  taken.thread = std::thread([this, &taken] {
    serve_client(taken);
    ::shutdown(taken.fd.get(), SHUT_RDWR);  // the descriptor itself lives until the thread is joined
    taken.done = true;
  });
}

void ControlServer::serve_client(Client& client) {
  if (enter_thread_ != nullptr) enter_thread_();
  std::string buffered;
  std::array<char, 4096> chunk;
  for (;;) {
    std::array<pollfd, 2> waiting = {pollfd{client.fd.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
    ::poll(waiting.data(), waiting.size(), -1);
    if (waiting[1].revents != 0) return;
    const ssize_t n = ::recv(client.fd.get(), chunk.data(), chunk.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    buffered.append(chunk.data(), static_cast<std::size_t>(n));
    for (std::size_t end; (end = buffered.find('\n')) != std::string::npos;) {
      const std::string line = buffered.substr(0, end);
      buffered.erase(0, end + 1);
      ControlReply reply(client.fd.get(), stop_.get(), buffered);
      answer(line, reply);
      if (!reply.open_) return;
    }
    if (buffered.size() > kControlLineMax) return;
  }
}

void ControlServer::answer(const std::string& line, ControlReply& reply) {
  const json question = json::parse(line, nullptr, false);
  const auto command = question.is_object() ? question.find("command") : question.end();
  if (!question.is_object() || command == question.end() || !command->is_string())
    return reply.fail("a question is a line with a JSON object that has a \"command\"");
  const auto handler = handlers_.find(command->get<std::string>());
  if (handler == handlers_.end())
    return reply.fail("this control socket knows no command '" + command->get<std::string>() + "'");
  handler->second(question, reply);
  if (!reply.failed_) reply.send_line(dump(json{{"end", true}}));
}

}  // namespace tapir::runtime
