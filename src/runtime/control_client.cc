// SPDX-License-Identifier: Apache-2.0
#include "runtime/control_client.h"

#include <poll.h>
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
      return std::unexpected("no stack serves the control socket " + path +
                             ": start one with `tapir up --control " + path + "`");
    return std::unexpected("the control socket " + path + " cannot be used: " + std::strerror(errno));
  }
  return ControlClient(std::move(fd));
}

std::expected<void, std::string> ControlClient::send_line(const json& value) {
  const std::string line = value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t n = ::send(fd_.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) {
      if (ended_by_signal()) return std::unexpected("interrupted");
      continue;
    }
    if (n <= 0) return std::unexpected("the stack at the control socket has gone");
    sent += static_cast<std::size_t>(n);
  }
  return {};
}

// Says what there is to say, until an answer comes.
std::expected<void, std::string> ControlClient::say(ControlInput& input) {
  for (;;) {
    std::array<pollfd, 2> waiting = {pollfd{fd_.get(), POLLIN, 0}, pollfd{input.descriptor, POLLIN, 0}};
    if (::poll(waiting.data(), waiting.size(), -1) < 0) {
      if (ended_by_signal()) return std::unexpected("interrupted");
      continue;
    }
    if (waiting[0].revents != 0) return {};
    if (waiting[1].revents == 0) continue;
    if (const auto said = input.next())
      if (auto sent = send_line(*said); !sent) return sent;
  }
}

std::expected<std::string, std::string> ControlClient::read_line(ControlInput* input) {
  for (;;) {
    if (const std::size_t end = buffered_.find('\n'); end != std::string::npos) {
      std::string line = buffered_.substr(0, end);
      buffered_.erase(0, end + 1);
      return line;
    }
    if (input != nullptr)
      if (const auto said = say(*input); !said) return std::unexpected(said.error());
    std::array<char, 65536> chunk;
    const ssize_t n = ::recv(fd_.get(), chunk.data(), chunk.size(), 0);
    if (n < 0 && errno == EINTR) {
      if (ended_by_signal()) return std::unexpected("interrupted");
      continue;
    }
    if (n <= 0) return std::unexpected("the stack at the control socket has gone");
    buffered_.append(chunk.data(), static_cast<std::size_t>(n));
  }
}

std::expected<void, std::string> ControlClient::ask(const json& question,
                                                    const std::function<bool(const json& data)>& take,
                                                    ControlInput* input) {
  if (auto sent = send_line(question); !sent) return sent;
  for (;;) {
    const auto answered = read_line(input);
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
