// SPDX-License-Identifier: Apache-2.0
// The two ends of the demo's wire as programs see them: blocking TCP sockets, the kernel's or a stack's, with
// the same words.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inet/endpoint.h"
#include "runtime/stack_host.h"
#include "tcp/state.h"

namespace tapir::cli {

// No call of the demo waits longer for the other end.
inline constexpr int kDemoPatienceSeconds = 5;

// Blocking sockets by number; errors are Linux's errno.
class DemoEnd {
 public:
  template <typename T>
  using Result = std::expected<T, int>;

  virtual ~DemoEnd() = default;
  // "tapir", "kernel": how the text calls it.
  virtual std::string_view name() const = 0;

  virtual Result<int> listen(const Endpoint& at) = 0;
  virtual Result<int> accept(int listener) = 0;
  virtual Result<int> connect(const Endpoint& to) = 0;
  // What was sent or received; 0 of receive: the peer has closed its direction.
  virtual Result<std::size_t> send(int socket, std::span<const char> data) = 0;
  virtual Result<std::size_t> receive(int socket, std::span<char> into) = 0;
  virtual void shutdown_send(int socket) = 0;
  virtual void close(int socket) = 0;
  // Of TCP_INFO.
  virtual tcp::State state(int socket) = 0;
  virtual std::uint16_t local_port(int socket) = 0;
  virtual std::uint16_t remote_port(int socket) = 0;
};

std::unique_ptr<DemoEnd> make_kernel_end();
std::unique_ptr<DemoEnd> make_stack_end(runtime::StackHost& host, std::string name);

// A socket of an end, closed when it goes.
class DemoSocket {
 public:
  DemoSocket() = default;
  DemoSocket(DemoEnd& end, int number) : end_(&end), number_(number) {}
  DemoSocket(DemoSocket&& other) noexcept : end_(other.end_), number_(std::exchange(other.number_, -1)) {}
  DemoSocket& operator=(DemoSocket&& other) noexcept {
    if (this != &other) {
      close();
      end_ = other.end_;
      number_ = std::exchange(other.number_, -1);
    }
    return *this;
  }
  ~DemoSocket() { close(); }

  static DemoEnd::Result<DemoSocket> listen(DemoEnd& end, const Endpoint& at) {
    return wrap(end, end.listen(at));
  }
  static DemoEnd::Result<DemoSocket> connect(DemoEnd& end, const Endpoint& to) {
    return wrap(end, end.connect(to));
  }
  DemoEnd::Result<DemoSocket> accept() { return wrap(*end_, end_->accept(number_)); }
  DemoEnd::Result<std::size_t> receive(std::span<char> into) { return end_->receive(number_, into); }
  DemoEnd::Result<std::size_t> send_some(std::span<const char> data) { return end_->send(number_, data); }
  bool send(std::string_view text);
  // What comes until the peer closes, or until `enough` stands in it ("" = never); what came before an error.
  std::string receive_until(std::string_view enough);
  void shutdown_send() { end_->shutdown_send(number_); }
  void close() {
    if (number_ >= 0) end_->close(std::exchange(number_, -1));
  }
  tcp::State state() { return end_->state(number_); }
  std::uint16_t local_port() { return end_->local_port(number_); }
  std::uint16_t remote_port() { return end_->remote_port(number_); }
  explicit operator bool() const { return number_ >= 0; }

 private:
  static DemoEnd::Result<DemoSocket> wrap(DemoEnd& end, DemoEnd::Result<int> made) {
    if (!made) return std::unexpected(made.error());
    return DemoSocket(end, *made);
  }
  DemoEnd* end_ = nullptr;
  int number_ = -1;
};

// ---- echo requests ----

struct DemoPing {
  int sent = 0;
  int answered = 0;
  Duration fastest = Duration::max();  // round trip
};
// `count` echo requests to `to`, one after the other.
DemoPing ping_from_stack(runtime::StackHost& host, const IpAddress& to, int count);
// By a raw socket of the kernel, where there is no ping(8).
DemoPing ping_from_kernel(const IpAddress& to, int count);

// ---- programs ----

struct ProgramRun {
  bool found = false;  // there is such a program
  int status = -1;     // of exit(3); -1: a signal
  std::string output;  // standard output and error
};
// Runs a program of $PATH to its end.
ProgramRun run_program(const std::vector<std::string>& arguments);

}  // namespace tapir::cli
