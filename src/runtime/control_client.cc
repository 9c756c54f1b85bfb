// SPDX-License-Identifier: Apache-2.0
#include "runtime/control_client.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "runtime/unix_address.h"

namespace tapir::runtime {

using nlohmann::json;

std::expected<ControlClient, std::string> ControlClient::connect(const std::string& path) {
  const auto address = UnixAddress::of(path);
  if (!address) return std::unexpected(address.error());
  drivers::KernelDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return std::unexpected(std::string("a unix socket cannot be made: ") + std::strerror(errno));
  if (::connect(fd.get(), address->get(), address->length()) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED)
      return std::unexpected("no stack serves the control socket " + path + ": start one with `tapir up --control " + path + "`");
    return std::unexpected("the control socket " + path + " cannot be used: " + std::strerror(errno));
  }
  return ControlClient(std::move(fd));
}

std::expected<std::string, std::string> ControlClient::read_line() {
  for (;;) {
    if (const std::size_t end = buffered_.find('\n'); end != std::string::npos) {
      std::string line = buffered_.substr(0, end);
      buffered_.erase(0, end + 1);
      return line;
    }
    std::array<char, 65536> chunk;
    const ssize_t n = ::recv(fd_.get(), chunk.data(), chunk.size(), 0);
    if (n < 0 && errno == EINTR) return std::unexpected("interrupted");
    if (n <= 0) return std::unexpected("the stack at the control socket has gone");
    buffered_.append(chunk.data(), static_cast<std::size_t>(n));
  }
}

std::expected<void, std::string> ControlClient::ask(const json& question, const std::function<bool(const json& data)>& take) {
  const std::string line = question.dump() + "\n";
  if (::send(fd_.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
    return std::unexpected("the stack at the control socket has gone");
  for (;;) {
    const auto answered = read_line();
    if (!answered) return std::unexpected(answered.error());
    const json answer = json::parse(*answered, nullptr, false);
    if (!answer.is_object()) return std::unexpected("the control socket answers what is no JSON object");
    if (const auto error = answer.find("error"); error != answer.end())
      return std::unexpected(error->is_string() ? error->get<std::string>() : error->dump());
    if (answer.contains("end")) return {};
    if (const auto data = answer.find("data"); data != answer.end() && !take(*data)) return {};
  }
}

std::expected<json, std::string> ControlClient::ask(const json& question) {
  json result;
  const auto done = ask(question, [&result](const json& data) {
    result = data;
    return true;
  });
  if (!done) return std::unexpected(done.error());
  return result;
}

}  // namespace tapir::runtime
