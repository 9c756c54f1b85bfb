// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <expected>
#include <string>

namespace tapir::runtime {

// A path as the address of a unix socket.
class UnixAddress {
 public:
  // Error, a sentence: the path is empty or too long (107 bytes, unix(7)).
  static std::expected<UnixAddress, std::string> of(const std::string& path) {
    UnixAddress made;
    if (path.empty() || path.size() >= sizeof made.address_.sun_path)
      return std::unexpected("'" + path + "' cannot be the path of a control socket: it has 1 to 107 bytes");
    std::memcpy(made.address_.sun_path, path.data(), path.size());
    return made;
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t length() const { return sizeof address_; }

 private:
  UnixAddress() { address_.sun_family = AF_UNIX; }
  sockaddr_un address_{};
};

}  // namespace tapir::runtime
