// SPDX-License-Identifier: Apache-2.0
// Files and pipes of a script, as far as they feed sockets: their bytes are zeros, so only counts are kept.
#include <fcntl.h>

#include "sim/drill/call_arguments.h"
#include "socket/blocking_call.h"

namespace tapir::sim::drill {

namespace {

// A buffer of zeros to send from, or to read into.
void attach_buffer(CallMemory& memory, std::size_t size) {
  memory.buffers.emplace_back(std::max<std::size_t>(size, 1), std::uint8_t{0});
  memory.pieces.push_back({memory.buffers.back().data(), size});
  memory.message.msg_iov = memory.pieces.data();
  memory.message.msg_iovlen = memory.pieces.size();
}

Problem unexpected_result(const CallEvent& event, long got) {
  return Problem{fmt::format("{}() = {}, expected {}", event.name, got, expected_text(event)),
                 expected_text(event), std::to_string(got)};
}

}  // namespace

// open("/tmp/file", O_RDONLY) of a file that a shell command of the script made.
Calls::Prepared Calls::make_open(Arguments& arguments) {
  arguments.expect_count(2, 3);
  arguments.expect_kind(arguments.at(0), Expression::Kind::kString, "a path");
  const std::string path = arguments.at(0).text;
  return {at_once([this, path](Instant) -> Result<long> {
            const auto file = machine_.files().find(path);
            if (file == machine_.files().end()) return socket::fail(ENOENT);
            return static_cast<long>(file->second);
          }),
          [this, &event = arguments.event()](const Result<long>& result) -> std::optional<Problem> {
            if (!result) return result_is(event)(result);
            if (event.error || event.result.integer < 0) return unexpected_result(event, 0);
            streams_[static_cast<int>(event.result.integer)] = {
                .left = static_cast<std::size_t>(*result), .position = 0, .pipe = 0};
            return std::nullopt;
          }};
}

// pipe([4, 5]): what is written to the second is read from the first.
Calls::Prepared Calls::make_pipe(Arguments& arguments) {
  arguments.expect_count(1, 1);
  const Expression& list = arguments.at(0);
  const bool right = list.kind == Expression::Kind::kList && list.items.size() == 2;
  if (!right) arguments.fail("expected a list of two descriptors");
  const int from = right ? static_cast<int>(arguments.number_of(list.items[0], "a descriptor")) : -1;
  const int to = right ? static_cast<int>(arguments.number_of(list.items[1], "a descriptor")) : -1;
  return {at_once([=, this](Instant) -> Result<long> {
            ++pipes_;
            streams_[from] = {.left = 0, .position = 0, .pipe = pipes_};
            streams_[to] = {.left = 0, .position = 0, .pipe = pipes_};
            return 0;
          }),
          {}};
}

// sendfile(out, in, [offset], count).
Calls::Prepared Calls::make_sendfile(Arguments& arguments) {
  arguments.expect_count(4, 4);
  const int out = arguments.fd(0);
  const auto in = streams_.find(arguments.integer(1));
  const bool positioned = !arguments.is_null(2) || arguments.at(2).kind == Expression::Kind::kList;
  if (in == streams_.end()) arguments.fail("the second descriptor is no file");
  const std::size_t wanted = arguments.size(3);
  const std::size_t length = in != streams_.end() ? in->second.left : 0;
  const std::size_t begin = positioned
                                ? static_cast<std::size_t>(std::max<std::int64_t>(arguments.number(2), 0))
                                : (in != streams_.end() ? in->second.position : 0);
  auto memory = new_memory();
  attach_buffer(*memory, std::min(wanted, length - std::min(length, begin)));
  auto call = std::make_shared<socket::BlockingSend>(out, memory->message, 0);
  const int script_in = arguments.integer(1);
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); },
           [call] { return call->deadline(); }},
          [=, this, &event = arguments.event()](const Result<long>& result) {
            if (result && !positioned) streams_[script_in].position += static_cast<std::size_t>(*result);
            return result_is(event)(result);
          }};
}

// splice(in, offset, out, offset, count, flags) between a pipe and a socket.
Calls::Prepared Calls::make_splice(Arguments& arguments) {
  arguments.expect_count(6, 6);
  const int script_in = arguments.integer(0);
  const int script_out = arguments.integer(2);
  const std::size_t wanted = arguments.size(4);
  const int flags = (arguments.integer(5) & SPLICE_F_NONBLOCK) != 0 ? MSG_DONTWAIT : 0;
  auto memory = new_memory();
  const auto pipe = [this](int script_fd) -> Stream* {
    const auto found = streams_.find(script_fd);
    return found != streams_.end() && found->second.pipe != 0 ? &found->second : nullptr;
  };
  if (const Stream* from = pipe(script_in)) {
    attach_buffer(*memory, std::min(wanted, piped_[from->pipe]));
    auto call = std::make_shared<socket::BlockingSend>(arguments.fd(2), memory->message, flags);
    return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); },
             [call] { return call->deadline(); }},
            [=, this, &event = arguments.event(), number = from->pipe](const Result<long>& result) {
              if (result) piped_[number] -= static_cast<std::size_t>(*result);
              return result_is(event)(result);
            }};
  }
  const Stream* to = pipe(script_out);
  if (to == nullptr) arguments.fail("neither end is a pipe");
  attach_buffer(*memory, wanted);
  auto call = std::make_shared<socket::BlockingReceive>(arguments.fd(0), &memory->message, flags);
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); },
           [call] { return call->deadline(); }},
          [=, this, &event = arguments.event(),
           number = to != nullptr ? to->pipe : 0](const Result<long>& result) {
            if (result) piped_[number] += static_cast<std::size_t>(*result);
            return result_is(event)(result);
          }};
}

// read(), write() and close() of such a descriptor; nothing: it is a socket's.
std::optional<Calls::Prepared> Calls::on_stream(Arguments& arguments) {
  const std::string& name = arguments.event().name;
  if (name != "read" && name != "write" && name != "close") return std::nullopt;
  const int script_fd = arguments.integer(0);
  const auto found = streams_.find(script_fd);
  if (found == streams_.end()) return std::nullopt;
  const std::size_t wanted = name == "close" ? 0 : arguments.size(2);
  return Prepared{at_once([=, this](Instant) -> Result<long> {
                    Stream& stream = streams_[script_fd];
                    if (name == "close") {
                      streams_.erase(script_fd);
                      return 0;
                    }
                    if (name == "write") {
                      if (stream.pipe == 0) return socket::fail(EBADF);
                      piped_[stream.pipe] += wanted;
                      return static_cast<long>(wanted);
                    }
                    std::size_t& left = stream.pipe != 0 ? piped_[stream.pipe] : stream.left;
                    const std::size_t here = stream.pipe != 0 ? left : left - std::min(left, stream.position);
                    const std::size_t got = std::min(wanted, here);
                    if (stream.pipe != 0)
                      left -= got;
                    else
                      stream.position += got;
                    return static_cast<long>(got);
                  }),
                  {}};
}

}  // namespace tapir::sim::drill
