// SPDX-License-Identifier: Apache-2.0
#include "sim/drill/calls.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "sim/drill/control_messages.h"
#include "sim/drill/symbols.h"
#include "socket/blocking_call.h"

namespace tapir::sim::drill {

using socket::Result;

namespace {

// Stands for a descriptor that the script never opened: the stack must answer EBADF.
constexpr int kNoSuchDescriptor = 1 << 24;
// What buffers to read into hold before the call: injected payload is zeros, so anything left of it shows.
constexpr std::uint8_t kUnread = 0xa5;
// Arguments larger than this are mistakes in the script.
constexpr std::int64_t kBufferMax = 64 << 20;

std::string result_text(const Result<long>& result) {
  return result ? std::to_string(*result) : "-1 " + errno_name(static_cast<int>(result.error()));
}

std::string expected_text(const CallEvent& event) {
  if (event.result.kind == Expression::Kind::kEllipsis) return "...";
  return event.result.text + (event.error_name.empty() ? "" : " " + event.error_name);
}

template <typename T>
Result<long> to_long(const Result<T>& result) {
  if (!result) return std::unexpected(result.error());
  return static_cast<long>(*result);
}

socklen_t write_address(const Endpoint& endpoint, sockaddr_storage& storage) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = to_big_endian(endpoint.port);
  address.sin_addr.s_addr = to_big_endian(endpoint.address.v4_bits());
  std::memcpy(&storage, &address, sizeof(address));
  return sizeof(address);
}

std::optional<Endpoint> read_address(const sockaddr_storage& storage, socklen_t length) {
  if (storage.ss_family != AF_INET || length < sizeof(sockaddr_in)) return std::nullopt;
  sockaddr_in address;
  std::memcpy(&address, &storage, sizeof(address));
  return Endpoint{IpAddress::v4(to_big_endian(std::uint32_t{address.sin_addr.s_addr})), to_big_endian(std::uint16_t{address.sin_port})};
}

const Field* find_field(const Expression& structure, std::string_view name) {
  for (const Field& field : structure.fields)
    if (field.name == name) return &field;
  return nullptr;
}

}  // namespace

struct CallMemory {
  std::vector<std::vector<std::uint8_t>> buffers;
  std::vector<iovec> pieces;
  msghdr message{};
  sockaddr_storage address{};
  socklen_t address_length = sizeof(sockaddr_storage);
  std::vector<std::uint8_t> control;
  std::vector<pollfd> polled;
  std::vector<epoll_event> events;
  std::vector<std::uint8_t> option;
  socklen_t option_length = 0;
  int number = 0;
};

// Takes arguments one by one; the first that is not what the call needs is remembered.
class Calls::Arguments {
 public:
  Arguments(Calls& calls, const CallEvent& event) : calls_(calls), event_(event) {}

  const CallEvent& event() const { return event_; }
  std::size_t count() const { return event_.arguments.size(); }
  std::optional<Problem> problem;

  void fail(std::string what) {
    if (!problem) problem = Problem{fmt::format("{}(): {}", event_.name, what), {}, {}};
  }
  void expect_count(std::size_t low, std::size_t high) {
    if (count() >= low && count() <= high) return;
    fail(low == high ? fmt::format("expected {} arguments, got {}", low, count()) : fmt::format("expected {} to {} arguments, got {}", low, high, count()));
  }
  const Expression& at(std::size_t i) {
    static const Expression kNothing;
    if (i < count()) return event_.arguments[i];
    fail(fmt::format("argument {} is missing", i + 1));
    return kNothing;
  }
  bool is_ellipsis(std::size_t i) { return at(i).kind == Expression::Kind::kEllipsis; }
  bool is_null(std::size_t i) { return at(i).kind == Expression::Kind::kInteger && at(i).integer == 0 && at(i).text != "AF_UNSPEC"; }

  std::int64_t number(std::size_t i) { return number_of(at(i), fmt::format("argument {}", i + 1)); }
  int integer(std::size_t i) { return static_cast<int>(number(i)); }
  std::int64_t number_of(const Expression& expression, std::string_view what) {
    // [N] stands for a pointer to N.
    if (expression.kind == Expression::Kind::kList && expression.items.size() == 1) return number_of(expression.items[0], what);
    if (expression.kind == Expression::Kind::kInteger) return expression.integer;
    if (expression.kind == Expression::Kind::kCall && expression.items.size() == 1 && expression.items[0].kind == Expression::Kind::kInteger)
      return expression.items[0].integer;   // htons(): structures are written in host order here
    fail(fmt::format("{} must be a number", what));
    return 0;
  }
  std::size_t size(std::size_t i) { return size_of(at(i)); }
  std::size_t size_of(const Expression& expression) {
    const std::int64_t value = number_of(expression, "a size");
    if (value < 0 || value > kBufferMax) fail(fmt::format("{} is no size", value));
    return static_cast<std::size_t>(std::clamp<std::int64_t>(value, 0, kBufferMax));
  }
  // The stack's descriptor.
  int fd(std::size_t i) { return fd_of(number(i)); }
  int fd_of(std::int64_t script_fd) {
    const auto it = calls_.descriptors_.find(static_cast<int>(script_fd));
    return it == calls_.descriptors_.end() ? (script_fd < 0 ? -1 : kNoSuchDescriptor) : it->second;
  }
  std::int64_t field(const Expression& structure, std::string_view name, std::optional<std::int64_t> otherwise = std::nullopt) {
    if (const Field* found = find_field(structure, name)) return number_of(found->value, name);
    if (!otherwise) fail(fmt::format("expected a field '{}'", name));
    return otherwise.value_or(0);
  }
  void expect_kind(const Expression& expression, Expression::Kind kind, std::string_view what) {
    if (expression.kind != kind) fail(fmt::format("expected {}", what));
  }

  // Arguments i (address) and i + 1 (its length) into `memory`; `otherwise` is what "..." means.
  void address(std::size_t i, const Endpoint& otherwise, CallMemory& memory) {
    const Expression& expression = at(i);
    socklen_t length = 0;
    if (expression.kind == Expression::Kind::kEllipsis) {
      length = write_address(otherwise, memory.address);
    } else if (expression.kind == Expression::Kind::kInteger) {   // AF_UNSPEC: an address of that family and nothing else
      memory.address.ss_family = static_cast<sa_family_t>(expression.integer);
      length = sizeof(sockaddr_storage);
    } else if (expression.kind == Expression::Kind::kStruct) {
      length = structured_address(expression, memory);
    } else {
      fail("expected '...', AF_UNSPEC or a struct for an address");
    }
    memory.address_length = is_ellipsis(i + 1) ? length : static_cast<socklen_t>(size(i + 1));
  }

 private:
  socklen_t structured_address(const Expression& expression, CallMemory& memory) {
    Endpoint endpoint;
    endpoint.port = static_cast<std::uint16_t>(field(expression, "sin_port", 0));
    endpoint.address = IpAddress::any_v4();
    if (const Field* host = find_field(expression, "sin_addr")) {
      const Expression& value = host->value;
      const std::string text = value.kind == Expression::Kind::kCall && !value.items.empty() ? value.items[0].text : value.text;
      const auto parsed = IpAddress::parse(text);
      if (parsed && parsed->is_v4())
        endpoint.address = *parsed;
      else if (value.kind != Expression::Kind::kInteger || value.integer != 0)
        fail(fmt::format("'{}' is no IPv4 address", text));
    }
    const socklen_t length = write_address(endpoint, memory.address);
    memory.address.ss_family = static_cast<sa_family_t>(field(expression, "sa_family", AF_INET));
    return length;
  }

  Calls& calls_;
  const CallEvent& event_;
};

// ---- the frame ----

namespace {

constexpr std::string_view kUnsupportedCalls[] = {"open", "pipe", "sendfile", "splice", "cap_set", "psp_rx_assoc", "psp_tx_assoc"};

}  // namespace

Calls::Maker Calls::maker(std::string_view name) {
  static constexpr std::pair<std::string_view, Maker> kMakers[] = {
      {"socket", &Calls::make_socket},         {"bind", &Calls::make_bind},
      {"listen", &Calls::make_listen},         {"accept", &Calls::make_accept},
      {"connect", &Calls::make_connect},       {"read", &Calls::make_read},
      {"readv", &Calls::make_readv},           {"recv", &Calls::make_recv},
      {"recvfrom", &Calls::make_recvfrom},     {"recvmsg", &Calls::make_recvmsg},
      {"write", &Calls::make_write},           {"writev", &Calls::make_writev},
      {"send", &Calls::make_send},             {"sendto", &Calls::make_sendto},
      {"sendmsg", &Calls::make_sendmsg},       {"fcntl", &Calls::make_fcntl},
      {"ioctl", &Calls::make_ioctl},           {"close", &Calls::make_close},
      {"shutdown", &Calls::make_shutdown},     {"getsockopt", &Calls::make_getsockopt},
      {"setsockopt", &Calls::make_setsockopt}, {"poll", &Calls::make_poll},
      {"epoll_create", &Calls::make_epoll_create}, {"epoll_ctl", &Calls::make_epoll_ctl},
      {"epoll_wait", &Calls::make_epoll_wait},
  };
  for (const auto& [known, make] : kMakers)
    if (known == name) return make;
  return nullptr;
}

bool is_known_call(std::string_view name) { return Calls::maker(name) != nullptr; }

bool is_unsupported_call(std::string_view name) {
  return std::find(std::begin(kUnsupportedCalls), std::end(kUnsupportedCalls), name) != std::end(kUnsupportedCalls);
}

std::expected<Calls::Prepared, Problem> Calls::prepare(const CallEvent& event) {
  const Maker make = maker(event.name);
  if (make == nullptr) return std::unexpected(Problem{fmt::format("unknown call {}()", event.name), {}, {}});
  Arguments arguments(*this, event);
  Prepared prepared = (this->*make)(arguments);
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
      same = !result;   // "= -1": any error
    else
      same = result && *result == event.result.integer;
    if (same) return std::nullopt;
    return Problem{fmt::format("{}() = {}, expected {}", event.name, result_text(result), expected_text(event)), expected_text(event), result_text(result)};
  };
}

Calls::Check Calls::names_descriptor(const CallEvent& event, std::function<std::optional<Problem>(int, int)> more) {
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
  return {at_once([=, this](Instant now) { return to_long(machine_.sockets().socket(domain, type, protocol, now)); }),
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
            return to_long(machine_.sockets().bind(fd, reinterpret_cast<const sockaddr*>(&memory->address), memory->address_length, now));
          }),
          [=, this, &event = arguments.event()](const Result<long>& result) {
            if (Connection* connection = connections_.by_script_fd(script_fd); result && connection != nullptr)
              if (const auto bound = read_address(memory->address, memory->address_length)) connection->tuple.local.port = bound->port;
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
            if (Connection* connection = connections_.by_script_fd(script_fd); result && connection != nullptr)
              connection->state = Connection::State::kListening;
            return result_is(event)(result);
          }};
}

Calls::Prepared Calls::make_accept(Arguments& arguments) {
  arguments.expect_count(3, 3);
  const int fd = arguments.fd(0);
  auto memory = new_memory();
  auto call = std::make_shared<socket::BlockingAccept>(fd, reinterpret_cast<sockaddr*>(&memory->address), &memory->address_length, 0);
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); }, [call] { return call->deadline(); }},
          names_descriptor(arguments.event(), [=, this](int script_fd, int live) -> std::optional<Problem> {
            const auto peer = read_address(memory->address, memory->address_length);
            Connection* connection = peer ? connections_.not_accepted(*peer) : nullptr;
            if (connection == nullptr)
              return Problem{"accept(): the peer's address is not one that a SYN came from", {}, peer ? peer->to_string() : "no IPv4 address"};
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
  if (Connection* connection = connections_.by_script_fd(arguments.integer(0)); connection != nullptr && connection->state == Connection::State::kFresh) {
    if (const auto remote = read_address(memory->address, memory->address_length)) {
      connection->state = Connection::State::kConnecting;
      connection->tuple.remote = *remote;
    }
  }
  const int script_fd = arguments.integer(0);
  auto call = std::make_shared<socket::BlockingConnect>(fd, reinterpret_cast<const sockaddr*>(&memory->address), memory->address_length);
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); }, [call] { return call->deadline(); }},
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
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); }, [call] { return call->deadline(); }}, {}};
}

Calls::Prepared Calls::make_shutdown(Arguments& arguments) {
  arguments.expect_count(2, 2);
  const int fd = arguments.fd(0);
  const int how = arguments.integer(1);
  return {at_once([=, this](Instant now) { return to_long(machine_.sockets().shutdown(fd, how, now)); }), {}};
}

// ---- data ----

namespace {

// A buffer argument of `size` bytes: "..." is one of the right size, NULL and 0 are none.
void add_piece(CallMemory& memory, bool null, std::size_t size, std::uint8_t fill) {
  iovec piece{};
  piece.iov_len = size;
  if (!null) {
    memory.buffers.emplace_back(std::max<std::size_t>(size, 1), fill);
    piece.iov_base = memory.buffers.back().data();
  }
  memory.pieces.push_back(piece);
}

void attach_pieces(CallMemory& memory) {
  memory.message.msg_iov = memory.pieces.data();
  memory.message.msg_iovlen = memory.pieces.size();
}

// Whether the first `count` bytes of what was read are the zeros that were injected.
bool all_zero(const CallMemory& memory, std::size_t count) {
  for (const iovec& piece : memory.pieces) {
    const std::size_t here = std::min(count, piece.iov_len);
    if (piece.iov_base == nullptr) return true;
    const auto* bytes = static_cast<const std::uint8_t*>(piece.iov_base);
    if (!std::all_of(bytes, bytes + here, [](std::uint8_t byte) { return byte == 0; })) return false;
    count -= here;
  }
  return true;
}

}  // namespace

Calls::Prepared Calls::transmit(Arguments& arguments, int fd, std::shared_ptr<CallMemory> memory, int flags) {
  attach_pieces(*memory);
  // A socket that connects by sending (MSG_FASTOPEN).
  if (Connection* connection = connections_.by_script_fd(arguments.integer(0));
      connection != nullptr && connection->state == Connection::State::kFresh && (flags & MSG_FASTOPEN) != 0) {
    connection->state = Connection::State::kConnecting;
    connection->tuple.remote = {settings_.remote, settings_.connect_port};
  }
  auto call = std::make_shared<socket::BlockingSend>(fd, memory->message, flags);
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); }, [call] { return call->deadline(); }}, {}};
}

Calls::Prepared Calls::receive(Arguments& arguments, int fd, std::shared_ptr<CallMemory> memory, int flags, Check more) {
  attach_pieces(*memory);
  auto call = std::make_shared<socket::BlockingReceive>(fd, &memory->message, flags);
  const bool looks = (flags & (MSG_TRUNC | MSG_ERRQUEUE | MSG_OOB)) == 0;   // these do not hand over the stream's bytes
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); }, [call] { return call->deadline(); }},
          [=, more = std::move(more), &event = arguments.event()](const Result<long>& result) -> std::optional<Problem> {
            if (auto problem = result_is(event)(result)) return problem;
            if (result && looks && !all_zero(*memory, static_cast<std::size_t>(*result)))
              return Problem{fmt::format("{}(): the bytes read are not the zeros that were sent", event.name), {}, {}};
            return more ? more(result) : std::nullopt;
          }};
}

Calls::Prepared Calls::make_read(Arguments& arguments) {
  arguments.expect_count(3, 3);
  auto memory = new_memory();
  add_piece(*memory, arguments.is_null(1), arguments.size(2), kUnread);
  return receive(arguments, arguments.fd(0), memory, 0, {});
}

Calls::Prepared Calls::make_recv(Arguments& arguments) {
  arguments.expect_count(4, 4);
  auto memory = new_memory();
  add_piece(*memory, arguments.is_null(1), arguments.size(2), kUnread);
  return receive(arguments, arguments.fd(0), memory, arguments.integer(3), {});
}

Calls::Prepared Calls::make_recvfrom(Arguments& arguments) {
  arguments.expect_count(6, 6);
  auto memory = new_memory();
  add_piece(*memory, arguments.is_null(1), arguments.size(2), kUnread);
  if (!arguments.is_null(4)) {
    memory->message.msg_name = &memory->address;
    memory->message.msg_namelen = sizeof(memory->address);
  }
  return receive(arguments, arguments.fd(0), memory, arguments.integer(3), {});
}

Calls::Prepared Calls::make_write(Arguments& arguments) {
  arguments.expect_count(3, 3);
  auto memory = new_memory();
  add_piece(*memory, arguments.is_null(1), arguments.size(2), 0);
  return transmit(arguments, arguments.fd(0), memory, 0);
}

Calls::Prepared Calls::make_send(Arguments& arguments) {
  arguments.expect_count(4, 4);
  auto memory = new_memory();
  add_piece(*memory, arguments.is_null(1), arguments.size(2), 0);
  return transmit(arguments, arguments.fd(0), memory, arguments.integer(3));
}

Calls::Prepared Calls::make_sendto(Arguments& arguments) {
  arguments.expect_count(6, 6);
  auto memory = new_memory();
  add_piece(*memory, arguments.is_null(1), arguments.size(2), 0);
  if (!arguments.is_null(4)) {
    arguments.address(4, {settings_.remote, settings_.connect_port}, *memory);
    memory->message.msg_name = &memory->address;
    memory->message.msg_namelen = memory->address_length;
  }
  return transmit(arguments, arguments.fd(0), memory, arguments.integer(3));
}

namespace {

// [{..., 100}, {..., 50}] of readv, writev and msg_iov; reports the first thing that is not so.
std::string add_pieces(CallMemory& memory, const Expression& list, std::uint8_t fill) {
  if (list.kind != Expression::Kind::kList) return "expected a list of {..., LENGTH}";
  for (const Expression& item : list.items) {
    if (item.kind != Expression::Kind::kStruct || item.fields.size() != 2 || item.fields[1].value.kind != Expression::Kind::kInteger)
      return "expected {..., LENGTH}";
    const Expression& base = item.fields[0].value;
    const std::int64_t size = item.fields[1].value.integer;
    if (size < 0 || size > kBufferMax) return fmt::format("{} is no size", size);
    add_piece(memory, base.kind == Expression::Kind::kInteger && base.integer == 0, static_cast<std::size_t>(size), fill);
  }
  return {};
}

}  // namespace

Calls::Prepared Calls::make_readv(Arguments& arguments) {
  arguments.expect_count(3, 3);
  auto memory = new_memory();
  if (const std::string wrong = add_pieces(*memory, arguments.at(1), kUnread); !wrong.empty()) arguments.fail(wrong);
  return receive(arguments, arguments.fd(0), memory, 0, {});
}

Calls::Prepared Calls::make_writev(Arguments& arguments) {
  arguments.expect_count(3, 3);
  auto memory = new_memory();
  if (const std::string wrong = add_pieces(*memory, arguments.at(1), 0); !wrong.empty()) arguments.fail(wrong);
  return transmit(arguments, arguments.fd(0), memory, 0);
}

Calls::Prepared Calls::make_recvmsg(Arguments& arguments) {
  arguments.expect_count(3, 3);
  auto memory = new_memory();
  const Expression& header = arguments.at(1);
  arguments.expect_kind(header, Expression::Kind::kStruct, "a msghdr {msg_iov(1)=[{...,N}], ...}");
  if (const Field* pieces = find_field(header, "msg_iov"))
    if (const std::string wrong = add_pieces(*memory, pieces->value, kUnread); !wrong.empty()) arguments.fail(wrong);
  if (find_field(header, "msg_name") != nullptr) {
    memory->message.msg_name = &memory->address;
    memory->message.msg_namelen = sizeof(memory->address);
  }
  const Field* control = find_field(header, "msg_control");
  std::vector<ExpectedControl> expected_control;
  if (control != nullptr) {
    auto parsed = expected_controls(control->value);
    if (parsed)
      expected_control = std::move(*parsed);
    else
      arguments.fail(parsed.error());
    memory->control.resize(4096);
    memory->message.msg_control = memory->control.data();
    memory->message.msg_controllen = memory->control.size();
  }
  const Field* flags = find_field(header, "msg_flags");
  const int expected_flags = flags != nullptr ? static_cast<int>(arguments.number_of(flags->value, "msg_flags")) : 0;
  const bool checks_control = control != nullptr;
  return receive(arguments, arguments.fd(0), memory, arguments.integer(2),
                 [=, this](const Result<long>& result) -> std::optional<Problem> {
                   if (!result) return std::nullopt;
                   if (flags != nullptr && memory->message.msg_flags != expected_flags) {
                     const std::string wanted = flag_names("MSG_", static_cast<unsigned>(expected_flags));
                     const std::string got = flag_names("MSG_", static_cast<unsigned>(memory->message.msg_flags));
                     return Problem{fmt::format("recvmsg(): msg_flags are {}, expected {}", got, wanted), wanted, got};
                   }
                   if (!checks_control) return std::nullopt;
                   const TimeBase base{Machine::kStart, settings_.tolerance};
                   if (auto wrong = compare_controls(expected_control, memory->message, base))
                     return Problem{"recvmsg(): " + wrong->reason, wrong->expected, wrong->got};
                   return std::nullopt;
                 });
}

Calls::Prepared Calls::make_sendmsg(Arguments& arguments) {
  arguments.expect_count(3, 3);
  auto memory = new_memory();
  const Expression& header = arguments.at(1);
  arguments.expect_kind(header, Expression::Kind::kStruct, "a msghdr {msg_iov(1)=[{...,N}], ...}");
  if (const Field* pieces = find_field(header, "msg_iov"))
    if (const std::string wrong = add_pieces(*memory, pieces->value, 0); !wrong.empty()) arguments.fail(wrong);
  if (find_field(header, "msg_name") != nullptr) {
    memory->message.msg_name = &memory->address;
    memory->message.msg_namelen = write_address({settings_.remote, settings_.connect_port}, memory->address);
  }
  if (const Field* control = find_field(header, "msg_control")) {
    auto bytes = control_bytes(control->value);
    if (!bytes) {
      arguments.fail(bytes.error());
    } else {
      memory->control = std::move(*bytes);
      memory->message.msg_control = memory->control.data();
      memory->message.msg_controllen = memory->control.size();
    }
  }
  return transmit(arguments, arguments.fd(0), memory, arguments.integer(2));
}

// ---- descriptors and options ----

Calls::Prepared Calls::make_fcntl(Arguments& arguments) {
  arguments.expect_count(2, 3);
  const int fd = arguments.fd(0);
  const int command = arguments.integer(1);
  const long argument = arguments.count() > 2 ? arguments.number(2) : 0;
  return {at_once([=, this](Instant) { return to_long(machine_.sockets().fcntl(fd, command, argument)); }), {}};
}

Calls::Prepared Calls::make_ioctl(Arguments& arguments) {
  arguments.expect_count(2, 3);
  const int fd = arguments.fd(0);
  const auto request = static_cast<unsigned long>(arguments.number(1));
  auto memory = new_memory();
  const bool compares = arguments.count() > 2 && arguments.at(2).kind == Expression::Kind::kList;
  const int expected = arguments.count() > 2 ? arguments.integer(2) : 0;
  memory->number = expected;
  const bool sets = request == static_cast<unsigned long>(symbol_value("FIONBIO").value_or(0));
  if (compares && !sets) memory->number = -1;   // must be written over
  return {at_once([=, this](Instant now) { return to_long(machine_.sockets().ioctl(fd, request, &memory->number, now)); }),
          [=, &event = arguments.event()](const Result<long>& result) -> std::optional<Problem> {
            if (auto problem = result_is(event)(result)) return problem;
            if (!result || !compares || memory->number == expected) return std::nullopt;
            return Problem{fmt::format("ioctl(): the value is {}, expected {}", memory->number, expected), fmt::format("[{}]", expected),
                           fmt::format("[{}]", memory->number)};
          }};
}

namespace {

// The bytes of an option's value: [N], N, "text", {onoff=, linger=}.
std::expected<std::vector<std::uint8_t>, std::string> option_bytes(const Expression& value) {
  const auto append = [](std::vector<std::uint8_t>& bytes, std::int64_t number) {
    const auto narrow = static_cast<std::uint32_t>(number);
    const auto* raw = reinterpret_cast<const std::uint8_t*>(&narrow);
    bytes.insert(bytes.end(), raw, raw + sizeof(narrow));
  };
  std::vector<std::uint8_t> bytes;
  switch (value.kind) {
    case Expression::Kind::kString:
      bytes.assign(value.text.begin(), value.text.end());
      return bytes;
    case Expression::Kind::kInteger:
      append(bytes, value.integer);
      return bytes;
    case Expression::Kind::kList:
      for (const Expression& item : value.items) {
        if (item.kind != Expression::Kind::kInteger) return std::unexpected("expected numbers in the list");
        append(bytes, item.integer);
      }
      return bytes;
    case Expression::Kind::kStruct:
      for (const std::string_view name : {"onoff", "linger"}) {
        const Field* field = find_field(value, name);
        if (field == nullptr) field = find_field(value, "l_" + std::string(name));
        if (field == nullptr || field->value.kind != Expression::Kind::kInteger) return std::unexpected("expected {onoff=N, linger=N}");
        append(bytes, field->value.integer);
      }
      return bytes;
    default:
      return std::unexpected("expected [N], a string or {onoff=N, linger=N}");
  }
}

std::string option_text(const Expression& like, const std::vector<std::uint8_t>& bytes, std::size_t length) {
  length = std::min(length, bytes.size());
  if (like.kind == Expression::Kind::kString) return '"' + std::string(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length)) + '"';
  std::string text;
  for (std::size_t at = 0; at + 4 <= length; at += 4) {
    std::int32_t number;
    std::memcpy(&number, bytes.data() + at, 4);
    text += fmt::format("{}{}", text.empty() ? "" : ", ", number);
  }
  return '[' + text + ']';
}

}  // namespace

Calls::Prepared Calls::make_setsockopt(Arguments& arguments) {
  arguments.expect_count(5, 5);
  const int fd = arguments.fd(0);
  const int level = arguments.integer(1);
  const int name = arguments.integer(2);
  auto memory = new_memory();
  const bool null = arguments.is_null(3);
  auto bytes = option_bytes(arguments.at(3));
  if (!bytes) arguments.fail(bytes.error());
  memory->option = bytes.value_or(std::vector<std::uint8_t>{});
  memory->option_length = arguments.is_ellipsis(4) ? static_cast<socklen_t>(memory->option.size()) : static_cast<socklen_t>(arguments.number(4));
  // A length beyond the value reads zeros, not other memory.
  if (memory->option.size() < memory->option_length && memory->option_length < 65536) memory->option.resize(memory->option_length);
  return {at_once([=, this](Instant now) {
            return to_long(machine_.sockets().setsockopt(fd, level, name, null ? nullptr : memory->option.data(), memory->option_length, now));
          }),
          {}};
}

Calls::Prepared Calls::make_getsockopt(Arguments& arguments) {
  arguments.expect_count(5, 5);
  const int fd = arguments.fd(0);
  const int level = arguments.integer(1);
  const int name = arguments.integer(2);
  auto memory = new_memory();
  const bool any_value = arguments.is_ellipsis(3);
  const Expression& value = arguments.at(3);
  std::vector<std::uint8_t> expected;
  if (!any_value) {
    auto bytes = option_bytes(value);
    if (!bytes) arguments.fail(bytes.error());
    expected = bytes.value_or(std::vector<std::uint8_t>{});
  }
  const bool any_length = arguments.is_ellipsis(4);
  const socklen_t length = any_length ? static_cast<socklen_t>(expected.size()) : static_cast<socklen_t>(arguments.size(4));
  memory->option_length = length;
  memory->option.assign(std::max<std::size_t>(length, 1), kUnread);
  return {at_once([=, this](Instant now) {
            return to_long(machine_.sockets().getsockopt(fd, level, name, memory->option.data(), &memory->option_length, now));
          }),
          [=, &value, &event = arguments.event()](const Result<long>& result) -> std::optional<Problem> {
            if (auto problem = result_is(event)(result)) return problem;
            if (!result) return std::nullopt;
            if (!any_length && memory->option_length != length)
              return Problem{fmt::format("getsockopt(): the length is {}, expected {}", memory->option_length, length), fmt::format("[{}]", length),
                             fmt::format("[{}]", memory->option_length)};
            const std::size_t compared = std::min<std::size_t>(memory->option_length, expected.size());
            if (any_value || (std::equal(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(compared), memory->option.begin()) &&
                              compared == expected.size()))
              return std::nullopt;
            const std::string wanted = option_text(value, expected, expected.size());
            const std::string got = option_text(value, memory->option, memory->option_length);
            return Problem{fmt::format("getsockopt(): the value is {}, expected {}", got, wanted), wanted, got};
          }};
}

// ---- waiting for many ----

namespace {

std::optional<Duration> milliseconds(std::int64_t timeout) {
  if (timeout < 0) return std::nullopt;
  return std::chrono::milliseconds(timeout);
}

}  // namespace

Calls::Prepared Calls::make_poll(Arguments& arguments) {
  arguments.expect_count(3, 3);
  auto memory = new_memory();
  std::vector<short> expected;
  arguments.expect_kind(arguments.at(0), Expression::Kind::kList, "a list of {fd=, events=, revents=}");
  for (const Expression& item : arguments.at(0).items) {
    arguments.expect_kind(item, Expression::Kind::kStruct, "{fd=, events=, revents=}");
    pollfd entry{};
    entry.fd = arguments.fd_of(arguments.field(item, "fd"));
    entry.events = static_cast<short>(arguments.field(item, "events"));
    expected.push_back(static_cast<short>(arguments.field(item, "revents", 0)));
    memory->polled.push_back(entry);
  }
  if (arguments.size(1) != memory->polled.size()) arguments.fail("the count is not the list's");
  auto call = std::make_shared<socket::BlockingPoll>(memory->polled, milliseconds(arguments.number(2)));
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); }, [call] { return call->deadline(); }},
          [=, &event = arguments.event()](const Result<long>& result) -> std::optional<Problem> {
            for (std::size_t i = 0; i < expected.size(); ++i) {
              if (memory->polled[i].revents == expected[i]) continue;
              const std::string wanted = flag_names("POLL", static_cast<unsigned short>(expected[i]));
              const std::string got = flag_names("POLL", static_cast<unsigned short>(memory->polled[i].revents));
              return Problem{fmt::format("poll(): revents are {}, expected {}", got, wanted), "revents=" + wanted, "revents=" + got};
            }
            return result_is(event)(result);
          }};
}

Calls::Prepared Calls::make_epoll_create(Arguments& arguments) {
  arguments.expect_count(1, 1);
  const std::int64_t size = arguments.number(0);
  return {at_once([=, this](Instant) {
            // epoll_create(2): the size must be positive and means nothing else.
            return size > 0 ? to_long(machine_.sockets().epoll_create1(0)) : Result<long>(socket::fail(EINVAL));
          }),
          names_descriptor(arguments.event())};
}

namespace {

// {events=, fd=|ptr=|u32=|u64=}; the data are the script's own number.
epoll_event epoll_event_of(const Expression& structure, std::string& wrong) {
  epoll_event event{};
  const auto number = [&](std::string_view name) -> std::optional<std::int64_t> {
    const Field* field = find_field(structure, name);
    if (field == nullptr || field->value.kind != Expression::Kind::kInteger) return std::nullopt;
    return field->value.integer;
  };
  const auto events = number("events");
  if (structure.kind != Expression::Kind::kStruct || !events) {
    wrong = "expected {events=, fd=}";
    return event;
  }
  event.events = static_cast<std::uint32_t>(*events);
  event.data.u64 = 0;
  for (const std::string_view name : {"fd", "ptr", "u32", "u64"})
    if (const auto value = number(name)) event.data.u64 = static_cast<std::uint64_t>(*value);
  return event;
}

std::string epoll_text(const epoll_event& event) {
  return fmt::format("{{events={}, fd={}}}", flag_names("EPOLL", event.events), std::uint64_t{event.data.u64});
}

}  // namespace

Calls::Prepared Calls::make_epoll_ctl(Arguments& arguments) {
  arguments.expect_count(4, 4);
  const int epfd = arguments.fd(0);
  const int operation = arguments.integer(1);
  const int fd = arguments.fd(2);
  auto memory = new_memory();
  const bool null = arguments.is_null(3);
  if (!null) {
    std::string wrong;
    memory->events.push_back(epoll_event_of(arguments.at(3), wrong));
    if (!wrong.empty()) arguments.fail(wrong);
  }
  return {at_once([=, this](Instant now) {
            return to_long(machine_.sockets().epoll_ctl(epfd, operation, fd, null ? nullptr : memory->events.data(), now));
          }),
          {}};
}

Calls::Prepared Calls::make_epoll_wait(Arguments& arguments) {
  arguments.expect_count(4, 4);
  const int epfd = arguments.fd(0);
  auto memory = new_memory();
  std::string wrong;
  const epoll_event expected = epoll_event_of(arguments.at(1), wrong);
  if (!wrong.empty()) arguments.fail(wrong);
  const std::size_t count = arguments.size(2);
  if (count == 0 || count > 65536) arguments.fail("expected room for 1 to 65536 events");
  memory->events.resize(std::clamp<std::size_t>(count, 1, 65536));
  auto call = std::make_shared<socket::BlockingEpollWait>(epfd, memory->events, milliseconds(arguments.number(3)));
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); }, [call] { return call->deadline(); }},
          [=, &event = arguments.event()](const Result<long>& result) -> std::optional<Problem> {
            // The first event is the one the script writes; on 0 the array stays as it was: zeros.
            const epoll_event& got = memory->events.front();
            if (got.events != expected.events || got.data.u64 != expected.data.u64)
              return Problem{fmt::format("epoll_wait(): events are {}, expected {}", epoll_text(got), epoll_text(expected)), epoll_text(expected),
                             epoll_text(got)};
            return result_is(event)(result);
          }};
}

}  // namespace tapir::sim::drill
