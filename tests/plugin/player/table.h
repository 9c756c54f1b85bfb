// SPDX-License-Identifier: Apache-2.0
// The table that packetdrill gives to a library to fill, by position, in words of this test's own; and what
// the tool calls past it.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <functional>
#include <string>

namespace tapir::player {

enum Entry : std::size_t {
  kUserdata,
  kFree,
  kSocket,
  kBind,
  kListen,
  kAccept,
  kConnect,
  kRead,
  kReadv,
  kRecv,
  kRecvfrom,
  kRecvmsg,
  kWrite,
  kWritev,
  kSend,
  kSendto,
  kSendmsg,
  kFcntl,
  kIoctl,
  kClose,
  kShutdown,
  kGetsockopt,
  kSetsockopt,
  kPoll,
  kNetdevSend,
  kNetdevReceive,
  kUsleep,
  kGettimeofday,
  kEpollCreate,
  kEpollCtl,
  kEpollWait,
  kPipe,
  kSplice,
  kEntries
};

struct Table {
  std::array<void*, kEntries> entries{};
  // libc's, which a library may stand in front of.
  std::function<int(int, int, int, void*, socklen_t*)> getsockopt;
  std::function<ssize_t(int, int, off_t*, std::size_t)> sendfile;
  std::function<int(const char*)> system;
  // How long the next kNetdevReceive waits, microseconds; a library on virtual time decides itself.
  std::function<void(long long)> set_patience = [](long long) {};

  template <typename Result, typename... Args>
  Result call(Entry entry, Args... args) const {
    return reinterpret_cast<Result (*)(void*, Args...)>(entries[entry])(entries[kUserdata], args...);
  }
};

// libtapir-packetdrill.so's, loaded as the tool loads it; exits with a sentence when it cannot be.
Table load_library(const char* path, const char* flags);

// The kernel's own, in a network namespace of this process that begins here: sockets are the kernel's,
// packets cross a TUN device, time is real. Needs the right to make a namespace and a TUN device; exits with
// a sentence when it has none.
struct KernelConfig {
  std::string local = "192.168.0.1/16";
  std::string gateway = "192.168.0.2";
  unsigned mtu = 1500;
  std::string congestion_control =
      "cubic";  // a namespace may not be allowed to choose its default: a route names it
};
Table enter_kernel(const KernelConfig& config);
// Before the process ends: removes the commands that enter_kernel() made for scripts to call.
void remove_commands();

}  // namespace tapir::player
