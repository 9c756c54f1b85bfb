// SPDX-License-Identifier: Apache-2.0
// The control socket of a running stack: a unix stream socket on which other processes ask, a line of JSON a
// question.
//
//   asked      {"command": "ss", …arguments}
//   answered   {"data": …}    any number of them: one for a table, as many as there are for a stream
//              {"end": true} or {"error": "one sentence"}    then the next question may be asked
//   said       {…}    what a question under way hears from its client: input for nc, {"stop": true}; each
//   command says what it takes.
//                     A line that comes after the end is the next question
#pragma once

#include <poll.h>

#include <array>
#include <atomic>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/time.h"
#include "drivers/descriptor.h"

namespace tapir::runtime {

// Clients served at a time; each costs a thread. More are told so and sent away.
inline constexpr std::size_t kControlClientsMax = 32;
// Bytes of one question's line; a longer one ends the connection.
inline constexpr std::size_t kControlLineMax = 1 << 20;

// The answer to one question. For the handler's thread alone.
class ControlReply {
 public:
  // `heard`: bytes of the client that make no whole line yet.
  ControlReply(int client, int stop, std::string& heard) : client_(client), stop_(stop), heard_(heard) {}
  // Sends {"data": data}. False when the client has gone or the server ends: a stream ends then.
  bool send(const nlohmann::json& data);
  // Ends the answer with an error, a sentence, instead of {"end": true}.
  void fail(const std::string& sentence);
  // Waits for a stream's next look at the stack. False when the client has gone or the server ends.
  bool wait(Duration duration);
  // The next object that the client said while it is answered; nothing: it said none in that time, or is gone
  // (open()).
  std::optional<nlohmann::json> receive(Duration duration);
  bool open() const { return open_; }
  // For who waits for other things too: the client, asked for `events` (POLLIN: it says something; POLLRDHUP:
  // it goes), and the server's end.
  std::array<pollfd, 2> ends(short events) const {
    return {pollfd{client_, events, 0}, pollfd{stop_, POLLIN, 0}};
  }

 private:
  friend class ControlServer;
  bool send_line(const std::string& line);
  std::optional<nlohmann::json> take_line();

  int client_;
  int stop_;
  std::string& heard_;
  bool open_ = true;
  bool failed_ = false;
};

// Called in a thread of the client's own; takes the stack's lock by itself (StackHost::with). May take as
// long as it likes, as long as it heeds what send() and wait() answer.
using ControlHandler = std::function<void(const nlohmann::json& question, ControlReply& reply)>;

class ControlServer {
 public:
  // Makes the socket at `path` and serves it. A socket that nobody serves any more is replaced; one that is
  // served, or a file that is none, is an error (one sentence). In a process that has a program of its own:
  // its descriptors are numbered from `first_descriptor` on, and each of its threads calls `enter_thread`
  // first.
  static std::expected<std::unique_ptr<ControlServer>, std::string> open(
      const std::string& path, std::map<std::string, ControlHandler> handlers, int first_descriptor = 0,
      void (*enter_thread)() = nullptr);
  // Removes a socket that a server has left behind which was killed.
  static void remove_left_behind(const std::string& path);
  // Ends the clients' answers and removes the socket.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  const std::string& path() const { return path_; }

 private:
  struct Client {
    drivers::KernelDescriptor fd;
    std::atomic<bool> done = false;
    std::thread thread;
  };

  ControlServer(std::string path, drivers::KernelDescriptor listener,
                std::map<std::string, ControlHandler> handlers, int first_descriptor, void (*enter_thread)());
  void accept_clients();
  void take_client(drivers::KernelDescriptor fd);
  void serve_client(Client& client);
  void answer(const std::string& line, ControlReply& reply);
  void remove_done();

  std::string path_;
  int first_descriptor_;
  void (*enter_thread_)();
  drivers::KernelDescriptor listener_;
  drivers::KernelDescriptor stop_;  // eventfd; readable = end
  const std::map<std::string, ControlHandler> handlers_;
  std::vector<std::unique_ptr<Client>> clients_;  // the accepting thread's
  std::thread accepting_;
};

}  // namespace tapir::runtime
