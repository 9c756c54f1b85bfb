// SPDX-License-Identifier: Apache-2.0
// The socket calls of a script: from its arguments to the stack's, and from the stack's answers to the
// expected ones.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/drill/ast.h"
#include "sim/drill/connection.h"
#include "sim/drill/machine.h"
#include "sim/drill/settings.h"

namespace tapir::sim::drill {

// Why a script fails: a sentence, and what stood against what, in one notation.
struct Problem {
  std::string reason;
  std::string expected;
  std::string got;
};

// True for the calls that this interpreter can make.
bool is_known_call(std::string_view name);
// True for packetdrill's calls that it cannot: a script with one of them is skipped.
bool is_unsupported_call(std::string_view name);

// Everything a call's arguments point to; lives until the script ends, for the stack may still send from it
// (MSG_ZEROCOPY).
struct CallMemory;

class Calls {
 public:
  Calls(Machine& machine, const Settings& settings, Connections& connections)
      : machine_(machine), settings_(settings), connections_(connections) {}

  struct Prepared {
    CallInFlight call;
    // What is wrong with the answer, if anything. Also takes note of what it means (new descriptors, closed
    // ones).
    std::function<std::optional<Problem>(socket::Result<long>)> check;
  };
  // A call with its arguments in place, or what is wrong with them.
  std::expected<Prepared, Problem> prepare(const CallEvent& event);

  // The stack's descriptor for the script's; -1 when it has none.
  int live_fd(int script_fd) const;

 private:
  class Arguments;
  using Step = std::function<std::optional<socket::Result<long>>(Instant)>;
  using Check = std::function<std::optional<Problem>(socket::Result<long>)>;
  using Maker = Prepared (Calls::*)(Arguments&);
  friend bool is_known_call(std::string_view name);
  static Maker maker(std::string_view name);

  Prepared make_socket(Arguments& arguments);
  Prepared make_bind(Arguments& arguments);
  Prepared make_listen(Arguments& arguments);
  Prepared make_accept(Arguments& arguments);
  Prepared make_connect(Arguments& arguments);
  Prepared make_read(Arguments& arguments);
  Prepared make_readv(Arguments& arguments);
  Prepared make_recv(Arguments& arguments);
  Prepared make_recvfrom(Arguments& arguments);
  Prepared make_recvmsg(Arguments& arguments);
  Prepared make_write(Arguments& arguments);
  Prepared make_writev(Arguments& arguments);
  Prepared make_send(Arguments& arguments);
  Prepared make_sendto(Arguments& arguments);
  Prepared make_sendmsg(Arguments& arguments);
  Prepared make_fcntl(Arguments& arguments);
  Prepared make_ioctl(Arguments& arguments);
  Prepared make_close(Arguments& arguments);
  Prepared make_shutdown(Arguments& arguments);
  Prepared make_getsockopt(Arguments& arguments);
  Prepared make_setsockopt(Arguments& arguments);
  Prepared make_poll(Arguments& arguments);
  Prepared make_epoll_create(Arguments& arguments);
  Prepared make_epoll_ctl(Arguments& arguments);
  Prepared make_epoll_wait(Arguments& arguments);
  Prepared make_open(Arguments& arguments);
  Prepared make_pipe(Arguments& arguments);
  Prepared make_sendfile(Arguments& arguments);
  Prepared make_splice(Arguments& arguments);
  std::optional<Prepared> on_stream(Arguments& arguments);

  Prepared transmit(Arguments& arguments, int fd, std::shared_ptr<CallMemory> memory, int flags);
  Prepared receive(Arguments& arguments, int fd, std::shared_ptr<CallMemory> memory, int flags, Check more);
  std::shared_ptr<CallMemory> new_memory();

  // A call that answers at once.
  static CallInFlight at_once(std::function<socket::Result<long>(Instant)> call);
  // The default check: the result is the one in the script.
  static Check result_is(const CallEvent& event);
  // ... and on success names the new descriptor as the script does.
  Check names_descriptor(const CallEvent& event,
                         std::function<std::optional<Problem>(int script_fd, int live_fd)> more = {});

  Machine& machine_;
  const Settings& settings_;
  Connections& connections_;
  // A file or an end of a pipe, by the script's number.
  struct Stream {
    std::size_t left = 0;      // bytes of a file
    std::size_t position = 0;  // in it
    int pipe = 0;              // which pipe; 0: a file
  };

  std::map<int, int> descriptors_;  // script's to stack's, open ones
  std::map<int, Stream> streams_;
  std::map<int, std::size_t> piped_;  // bytes in each pipe
  int pipes_ = 0;
  std::vector<std::shared_ptr<CallMemory>> memories_;
};

}  // namespace tapir::sim::drill
