// SPDX-License-Identifier: Apache-2.0
// Calls that wait for many descriptors.
#include "sim/drill/call_arguments.h"
#include "socket/blocking_call.h"

namespace tapir::sim::drill {

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
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); },
           [call] { return call->deadline(); }},
          [=, &event = arguments.event()](const Result<long>& result) -> std::optional<Problem> {
            for (std::size_t i = 0; i < expected.size(); ++i) {
              if (memory->polled[i].revents == expected[i]) continue;
              const std::string wanted = flag_names("POLL", static_cast<unsigned short>(expected[i]));
              const std::string got =
                  flag_names("POLL", static_cast<unsigned short>(memory->polled[i].revents));
              return Problem{fmt::format("poll(): revents are {}, expected {}", got, wanted),
                             "revents=" + wanted, "revents=" + got};
            }
            return result_is(event)(result);
          }};
}

Calls::Prepared Calls::make_epoll_create(Arguments& arguments) {
  arguments.expect_count(1, 1);
  const std::int64_t size = arguments.number(0);
  return {at_once([=, this](Instant) {
            // epoll_create(2): the size must be positive and means nothing else.
            return size > 0 ? to_long(machine_.sockets().epoll_create1(0))
                            : Result<long>(socket::fail(EINVAL));
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
  return fmt::format("{{events={}, fd={}}}", flag_names("EPOLL", event.events),
                     std::uint64_t{event.data.u64});
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
            return to_long(machine_.sockets().epoll_ctl(epfd, operation, fd,
                                                        null ? nullptr : memory->events.data(), now));
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
  auto call =
      std::make_shared<socket::BlockingEpollWait>(epfd, memory->events, milliseconds(arguments.number(3)));
  return {{[=, this](Instant now) { return call->step(machine_.sockets(), now); },
           [call] { return call->deadline(); }},
          [=, &event = arguments.event()](const Result<long>& result) -> std::optional<Problem> {
            // The first event is the one the script writes; on 0 the array stays as it was: zeros.
            const epoll_event& got = memory->events.front();
            if (got.events != expected.events || got.data.u64 != expected.data.u64)
              return Problem{fmt::format("epoll_wait(): events are {}, expected {}", epoll_text(got),
                                         epoll_text(expected)),
                             epoll_text(expected), epoll_text(got)};
            return result_is(event)(result);
          }};
}

}  // namespace tapir::sim::drill
