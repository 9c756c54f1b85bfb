// SPDX-License-Identifier: Apache-2.0
#include "sim/drill/calls.h"

#include "sim/drill/call_arguments.h"
#include "socket/blocking_call.h"

namespace tapir::sim::drill {

// ---- the frame ----

namespace {

constexpr std::string_view kUnsupportedCalls[] = {"cap_set", "psp_rx_assoc", "psp_tx_assoc"};

}  // namespace

Calls::Maker Calls::maker(std::string_view name) {
  static constexpr std::pair<std::string_view, Maker> kMakers[] = {
      {"socket", &Calls::make_socket},
      {"bind", &Calls::make_bind},
      {"listen", &Calls::make_listen},
      {"accept", &Calls::make_accept},
      {"connect", &Calls::make_connect},
      {"read", &Calls::make_read},
      {"readv", &Calls::make_readv},
      {"recv", &Calls::make_recv},
      {"recvfrom", &Calls::make_recvfrom},
      {"recvmsg", &Calls::make_recvmsg},
      {"write", &Calls::make_write},
      {"writev", &Calls::make_writev},
      {"send", &Calls::make_send},
      {"sendto", &Calls::make_sendto},
      {"sendmsg", &Calls::make_sendmsg},
      {"fcntl", &Calls::make_fcntl},
      {"ioctl", &Calls::make_ioctl},
      {"close", &Calls::make_close},
      {"shutdown", &Calls::make_shutdown},
      {"getsockopt", &Calls::make_getsockopt},
      {"setsockopt", &Calls::make_setsockopt},
      {"poll", &Calls::make_poll},
      {"epoll_create", &Calls::make_epoll_create},
      {"epoll_ctl", &Calls::make_epoll_ctl},
      {"epoll_wait", &Calls::make_epoll_wait},
      {"open", &Calls::make_open},
      {"pipe", &Calls::make_pipe},
      {"sendfile", &Calls::make_sendfile},
      {"splice", &Calls::make_splice},
  };
  for (const auto& [known, make] : kMakers)
    if (known == name) return make;
  return nullptr;
}

bool is_known_call(std::string_view name) { return Calls::maker(name) != nullptr; }

bool is_unsupported_call(std::string_view name) {
  return std::find(std::begin(kUnsupportedCalls), std::end(kUnsupportedCalls), name) !=
         std::end(kUnsupportedCalls);
}

std::expected<Calls::Prepared, Problem> Calls::prepare(const CallEvent& event) {
  const Maker make = maker(event.name);
  if (make == nullptr) return std::unexpected(Problem{fmt::format("unknown call {}()", event.name), {}, {}});
  Arguments arguments(*this, event);
  auto stream = on_stream(arguments);
  Prepared prepared = stream ? std::move(*stream) : (this->*make)(arguments);
  if (arguments.problem) return std::unexpected(*arguments.problem);
  if (!prepared.check) prepared.check = result_is(event);
  return prepared;
}

int Calls::live_fd(int script_fd) const {
  const auto it = descriptors_.find(script_fd);
  return it == descriptors_.end() ? -1 : it->second;
}

CallInFlight Calls::at_once(std::function<Result<long>(Instant)> call) {
  return {[call = std::move(call)](Instant now) { return std::optional(call(now)); }, [] { return kNever; }};
}

Calls::Check Calls::result_is(const CallEvent& event) {
  return [&event](const Result<long>& result) -> std::optional<Problem> {
    if (event.result.kind == Expression::Kind::kEllipsis) return std::nullopt;
    bool same = false;
    if (event.error)
      same = !result && static_cast<int>(result.error()) == *event.error;
    else if (event.result.integer == -1)
      same = !result;  // "= -1": any error
    else
      same = result && *result == event.result.integer;
    if (same) return std::nullopt;
    return Problem{
        fmt::format("{}() = {}, expected {}", event.name, result_text(result), expected_text(event)),
        expected_text(event), result_text(result)};
  };
}

Calls::Check Calls::names_descriptor(const CallEvent& event,
                                     std::function<std::optional<Problem>(int, int)> more) {
  return [this, &event, more = std::move(more)](const Result<long>& result) -> std::optional<Problem> {
    if (!result || event.error || event.result.integer < 0) return result_is(event)(result);
    const int script_fd = static_cast<int>(event.result.integer);
    // A number in use names the newer one from now on, as in packetdrill.
    descriptors_[script_fd] = static_cast<int>(*result);
    return more ? more(script_fd, static_cast<int>(*result)) : std::nullopt;
  };
}

std::shared_ptr<CallMemory> Calls::new_memory() {
  memories_.push_back(std::make_shared<CallMemory>());
  return memories_.back();
}

// ---- making and ending sockets ----

Calls::Prepared Calls::make_socket(Arguments& arguments) {
  arguments.expect_count(3, 3);
  const int domain = arguments.is_ellipsis(0) ? AF_INET : arguments.integer(0);
  const int type = arguments.integer(1);
  const int protocol = arguments.integer(2);
  return {at_once([=, this](Instant now) {
            return to_long(machine_.sockets().socket(domain, type, protocol, now));
          }),
          names_descriptor(arguments.event(), [this](int script_fd, int live) -> std::optional<Problem> {
            Connection& connection = connections_.add();
            connection.script_fd = script_fd;
            connection.live_fd = live;
            connection.tuple.local = {settings_.local, settings_.bind_port};
            return std::nullopt;
          })};
}

Calls::Prepared Calls::make_bind(Arguments& arguments) {
  arguments.expect_count(3, 3);
  const int fd = arguments.fd(0);
  const int script_fd = arguments.integer(0);
  auto memory = new_memory();
  arguments.address(1, {settings_.local, settings_.bind_port}, *memory);
  return {at_once([=, this](Instant now) {
            return to_long(machine_.sockets().bind(fd, reinterpret_cast<const sockaddr*>(&memory->address),
                                                   memory->address_length, now));
          }),
          [=, this, &event = arguments.event()](const Result<long>& result) {
            if (Connection* connection = connections_.by_script_fd(script_fd);
                result && connection != nullptr)
              if (const auto bound = read_address(memory->address, memory->address_length))
                connection->tuple.local.port = bound->port;
            return result_is(event)(result);
          }};
}

Calls::Prepared Calls::make_listen(Arguments& arguments) {
  arguments.expect_count(2, 2);
  const int fd = arguments.fd(0);
  const int script_fd = arguments.integer(0);
  const int backlog = arguments.integer(1);
  return {at_once([=, this](Instant now) { return to_long(machine_.sockets().listen(fd, backlog, now)); }),
          [=, this, &event = arguments.event()](const Result<long>& result) {
            if (Connection* connection = connections_.by_script_fd(script_fd);
                result && connection != nullptr)
              connection->state = Connection::State::kListening;
            return result_is(event)(result);
          }};
}

Calls::Prepared Calls::make_accept(Arguments& arguments) {
  arguments.expect_count(3, 3);
  const int fd = arguments.fd(0);
  auto memory = new_memory();
  auto call = std::make_shared<socket::BlockingAccept>(fd, reinterpret_cast<sockaddr*>(&memory->address),
                                                       &memory->address_length, 0);
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); },
           [call] { return call->deadline(); }},
          names_descriptor(arguments.event(), [=, this](int script_fd, int live) -> std::optional<Problem> {
            const auto peer = read_address(memory->address, memory->address_length);
            Connection* connection = peer ? connections_.not_accepted(*peer) : nullptr;
            if (connection == nullptr)
              return Problem{"accept(): the peer's address is not one that a SYN came from",
                             {},
                             peer ? peer->to_string() : "no IPv4 address"};
            connection->script_fd = script_fd;
            connection->live_fd = live;
            return std::nullopt;
          })};
}

Calls::Prepared Calls::make_connect(Arguments& arguments) {
  arguments.expect_count(3, 3);
  const int fd = arguments.fd(0);
  auto memory = new_memory();
  arguments.address(1, {settings_.remote, settings_.connect_port}, *memory);
  // The SYN leaves in the call, so it must be known before that this socket connects.
  if (Connection* connection = connections_.by_script_fd(arguments.integer(0));
      connection != nullptr && connection->state == Connection::State::kFresh) {
    if (const auto remote = read_address(memory->address, memory->address_length)) {
      connection->state = Connection::State::kConnecting;
      connection->tuple.remote = *remote;
    }
  }
  const int script_fd = arguments.integer(0);
  auto call = std::make_shared<socket::BlockingConnect>(
      fd, reinterpret_cast<const sockaddr*>(&memory->address), memory->address_length);
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); },
           [call] { return call->deadline(); }},
          [=, this, &event = arguments.event()](const Result<long>& result) {
            // connect(AF_UNSPEC) dissolves the association: the next connect starts afresh.
            if (Connection* connection = connections_.by_script_fd(script_fd);
                result && connection != nullptr && memory->address.ss_family == AF_UNSPEC)
              connection->state = Connection::State::kFresh;
            return result_is(event)(result);
          }};
}

Calls::Prepared Calls::make_close(Arguments& arguments) {
  arguments.expect_count(1, 1);
  const int fd = arguments.fd(0);
  const int script_fd = arguments.integer(0);
  // The name is free at once, even while a lingering close waits.
  descriptors_.erase(script_fd);
  if (Connection* connection = connections_.by_script_fd(script_fd)) {
    connection->script_fd = -1;
    connection->live_fd = -1;
    if (connection->state == Connection::State::kListening || connection->state == Connection::State::kFresh)
      connection->state = Connection::State::kFresh;
  }
  auto call = std::make_shared<socket::LingeringClose>(fd);
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); },
           [call] { return call->deadline(); }},
          {}};
}

Calls::Prepared Calls::make_shutdown(Arguments& arguments) {
  arguments.expect_count(2, 2);
  const int fd = arguments.fd(0);
  const int how = arguments.integer(1);
  return {at_once([=, this](Instant now) { return to_long(machine_.sockets().shutdown(fd, how, now)); }), {}};
}

}  // namespace tapir::sim::drill
