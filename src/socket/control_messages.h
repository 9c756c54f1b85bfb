// SPDX-License-Identifier: Apache-2.0
// The control messages that recvmsg(2) writes: Linux's put_cmsg.
#pragma once

#include <sys/socket.h>

#include <cstddef>

namespace tapir::socket {

// Fills the control buffer of `message` from its beginning; msg_controllen becomes what is used.
class ControlWriter {
 public:
  explicit ControlWriter(msghdr& message);
  // Appends one; what does not fit is cut, and MSG_CTRUNC says so.
  void put(int level, int type, const void* data, std::size_t size);

 private:
  msghdr& message_;
  std::size_t room_;
};

}  // namespace tapir::socket
