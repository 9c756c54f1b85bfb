// SPDX-License-Identifier: Apache-2.0
// Calls that move bytes.
#include "sim/drill/call_arguments.h"
#include "sim/drill/control_messages.h"
#include "socket/blocking_call.h"

namespace tapir::sim::drill {

namespace {

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
  memory->attach_pieces();
  // A socket that connects by sending (MSG_FASTOPEN).
  if (Connection* connection = connections_.by_script_fd(arguments.integer(0));
      connection != nullptr && connection->state == Connection::State::kFresh &&
      (flags & MSG_FASTOPEN) != 0) {
    connection->state = Connection::State::kConnecting;
    connection->tuple.remote = {settings_.remote, settings_.connect_port};
  }
  auto call = std::make_shared<socket::BlockingSend>(fd, memory->message, flags);
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); },
           [call] { return call->deadline(); }},
          {}};
}

Calls::Prepared Calls::receive(Arguments& arguments, int fd, std::shared_ptr<CallMemory> memory, int flags,
                               Check more) {
  memory->attach_pieces();
  auto call = std::make_shared<socket::BlockingReceive>(fd, &memory->message, flags);
  const bool looks =
      (flags & (MSG_TRUNC | MSG_ERRQUEUE | MSG_OOB)) == 0;  // these do not hand over the stream's bytes
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); },
           [call] { return call->deadline(); }},
          [=, more = std::move(more),
           &event = arguments.event()](const Result<long>& result) -> std::optional<Problem> {
            if (auto problem = result_is(event)(result)) return problem;
            if (result && looks && !all_zero(*memory, static_cast<std::size_t>(*result)))
              return Problem{
                  fmt::format("{}(): the bytes read are not the zeros that were sent", event.name), {}, {}};
            return more ? more(result) : std::nullopt;
          }};
}

Calls::Prepared Calls::make_read(Arguments& arguments) {
  arguments.expect_count(3, 3);
  auto memory = new_memory();
  memory->add_piece(arguments.is_null(1), arguments.size(2), kUnread);
  return receive(arguments, arguments.fd(0), memory, 0, {});
}

Calls::Prepared Calls::make_recv(Arguments& arguments) {
  arguments.expect_count(4, 4);
  auto memory = new_memory();
  memory->add_piece(arguments.is_null(1), arguments.size(2), kUnread);
  return receive(arguments, arguments.fd(0), memory, arguments.integer(3), {});
}

Calls::Prepared Calls::make_recvfrom(Arguments& arguments) {
  arguments.expect_count(6, 6);
  auto memory = new_memory();
  memory->add_piece(arguments.is_null(1), arguments.size(2), kUnread);
  if (!arguments.is_null(4)) {
    memory->message.msg_name = &memory->address;
    memory->message.msg_namelen = sizeof(memory->address);
  }
  return receive(arguments, arguments.fd(0), memory, arguments.integer(3), {});
}

Calls::Prepared Calls::make_write(Arguments& arguments) {
  arguments.expect_count(3, 3);
  auto memory = new_memory();
  memory->add_piece(arguments.is_null(1), arguments.size(2), 0);
  return transmit(arguments, arguments.fd(0), memory, 0);
}

Calls::Prepared Calls::make_send(Arguments& arguments) {
  arguments.expect_count(4, 4);
  auto memory = new_memory();
  memory->add_piece(arguments.is_null(1), arguments.size(2), 0);
  return transmit(arguments, arguments.fd(0), memory, arguments.integer(3));
}

Calls::Prepared Calls::make_sendto(Arguments& arguments) {
  arguments.expect_count(6, 6);
  auto memory = new_memory();
  memory->add_piece(arguments.is_null(1), arguments.size(2), 0);
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
    if (item.kind != Expression::Kind::kStruct || item.fields.size() != 2 ||
        item.fields[1].value.kind != Expression::Kind::kInteger)
      return "expected {..., LENGTH}";
    const Expression& base = item.fields[0].value;
    const std::int64_t size = item.fields[1].value.integer;
    if (size < 0 || size > kBufferMax) return fmt::format("{} is no size", size);
    memory.add_piece(base.kind == Expression::Kind::kInteger && base.integer == 0,
                     static_cast<std::size_t>(size), fill);
  }
  return {};
}

}  // namespace

Calls::Prepared Calls::make_readv(Arguments& arguments) {
  arguments.expect_count(3, 3);
  auto memory = new_memory();
  if (const std::string wrong = add_pieces(*memory, arguments.at(1), kUnread); !wrong.empty())
    arguments.fail(wrong);
  return receive(arguments, arguments.fd(0), memory, 0, {});
}

Calls::Prepared Calls::make_writev(Arguments& arguments) {
  arguments.expect_count(3, 3);
  auto memory = new_memory();
  if (const std::string wrong = add_pieces(*memory, arguments.at(1), 0); !wrong.empty())
    arguments.fail(wrong);
  return transmit(arguments, arguments.fd(0), memory, 0);
}

Calls::Prepared Calls::make_recvmsg(Arguments& arguments) {
  arguments.expect_count(3, 3);
  auto memory = new_memory();
  const Expression& header = arguments.at(1);
  arguments.expect_kind(header, Expression::Kind::kStruct, "a msghdr {msg_iov(1)=[{...,N}], ...}");
  if (const Field* pieces = find_field(header, "msg_iov"))
    if (const std::string wrong = add_pieces(*memory, pieces->value, kUnread); !wrong.empty())
      arguments.fail(wrong);
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
  const int expected_flags =
      flags != nullptr ? static_cast<int>(arguments.number_of(flags->value, "msg_flags")) : 0;
  const bool checks_control = control != nullptr;
  return receive(
      arguments, arguments.fd(0), memory, arguments.integer(2),
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
    if (const std::string wrong = add_pieces(*memory, pieces->value, 0); !wrong.empty())
      arguments.fail(wrong);
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

}  // namespace tapir::sim::drill
