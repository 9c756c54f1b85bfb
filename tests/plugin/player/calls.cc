// SPDX-License-Identifier: Apache-2.0
#include "plugin/player/calls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "sim/drill/call_memory.h"
#include "sim/drill/control_messages.h"
#include "sim/drill/machine.h"
#include "sim/drill/symbols.h"

namespace tapir::player {

using namespace sim::drill;
using Kind = Expression::Kind;

struct Memory : CallMemory {
  int pair[2] = {-1, -1};
  off_t offset = 0;
  loff_t offsets[2] = {0, 0};

  sockaddr* name() { return reinterpret_cast<sockaddr*>(&address); }
  Endpoint endpoint() const { return read_address(address, sizeof address).value_or(Endpoint{}); }
};

namespace {

const Field* find(const Expression& structure, std::string_view name) {
  for (const Field& field : structure.fields)
    if (field.name == name) return &field;
  return nullptr;
}

std::int64_t number(const Expression& e) {
  if (e.kind == Kind::kList && e.items.size() == 1) return number(e.items[0]);
  if (e.kind == Kind::kCall && e.items.size() == 1) return number(e.items[0]);  // htons()
  if (e.kind != Kind::kInteger) throw std::runtime_error("expected a number");
  return e.integer;
}
std::int64_t field(const Expression& e, std::string_view name, std::int64_t otherwise) {
  const Field* found = find(e, name);
  return found != nullptr ? number(found->value) : otherwise;
}
bool is_null(const Expression& e) { return e.kind == Kind::kInteger && e.integer == 0; }

void add_number(std::vector<std::uint8_t>& bytes, std::int64_t value) {
  const auto narrow = static_cast<std::uint32_t>(value);
  const auto* raw = reinterpret_cast<const std::uint8_t*>(&narrow);
  bytes.insert(bytes.end(), raw, raw + sizeof narrow);
}

// TCP_MD5SIG's structure, as linux/tcp.h lays it out: an address, flags, prefix, length, interface, key.
std::vector<std::uint8_t> md5_option(const Expression& value) {
  std::vector<std::uint8_t> bytes(sizeof(sockaddr_storage) + 8 + 80);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  ::inet_pton(AF_INET, find(value, "tcpm_addr")->value.text.c_str(), &to.sin_addr);
  std::memcpy(bytes.data(), &to, sizeof to);
  std::uint8_t* const rest = bytes.data() + sizeof(sockaddr_storage);
  rest[0] = static_cast<std::uint8_t>(field(value, "tcpm_flags", 0));
  rest[1] = static_cast<std::uint8_t>(field(value, "tcpm_prefixlen", 0));
  const auto interface = static_cast<std::int32_t>(field(value, "tcpm_ifindex", 0));
  std::memcpy(rest + 4, &interface, sizeof interface);
  if (const Field* key = find(value, "tcpm_key")) {
    const auto length = static_cast<std::uint16_t>(key->value.text.size());
    std::memcpy(rest + 2, &length, sizeof length);
    std::memcpy(rest + 8, key->value.text.data(), std::min<std::size_t>(length, 80));
  }
  return bytes;
}

std::vector<std::uint8_t> option_bytes(const Expression& value) {
  std::vector<std::uint8_t> bytes;
  if (value.kind == Kind::kString)
    bytes.assign(value.text.begin(), value.text.end());
  else if (value.kind == Kind::kInteger)
    add_number(bytes, value.integer);
  else if (value.kind == Kind::kList)
    for (const Expression& item : value.items) add_number(bytes, number(item));
  else if (value.kind == Kind::kStruct && find(value, "tcpm_addr") != nullptr)
    bytes = md5_option(value);
  else if (value.kind == Kind::kStruct)
    for (const char* name : {"onoff", "linger"})
      add_number(bytes, field(value, find(value, name) != nullptr ? name : "l_" + std::string(name), 0));
  else
    throw std::runtime_error("an option of this form is not known");
  return bytes;
}

std::string text_of(const Calls::Answer& answer) {
  return answer.result >= 0 ? std::to_string(answer.result) : "-1 " + errno_name(answer.error);
}

std::optional<std::string> compare(const CallEvent& event, const Calls::Answer& answer) {
  if (event.result.kind == Kind::kEllipsis) return std::nullopt;
  bool same = answer.result == event.result.integer;
  if (event.error)
    same = answer.result < 0 && answer.error == *event.error;
  else if (event.result.integer == -1)
    same = answer.result < 0;
  if (same) return std::nullopt;
  return fmt::format("{}() = {}, expected {} {}", event.name, text_of(answer), event.result.text,
                     event.error_name);
}

}  // namespace

struct Calls::Arguments {
  Calls& calls;
  const CallEvent& event;
  std::shared_ptr<Memory> m;

  const Expression& at(std::size_t i) const {
    if (i >= event.arguments.size()) throw std::runtime_error("an argument is missing");
    return event.arguments[i];
  }
  bool any(std::size_t i) const { return at(i).kind == Kind::kEllipsis; }
  int integer(std::size_t i) const { return static_cast<int>(number(at(i))); }
  std::size_t size(std::size_t i) const { return static_cast<std::size_t>(number(at(i))); }
  int fd(std::size_t i) const { return fd_of(integer(i)); }
  int fd_of(int script_fd) const {
    const auto it = calls.descriptors_.find(script_fd);
    return it != calls.descriptors_.end() ? it->second : script_fd < 0 ? -1 : 1 << 24;
  }
  Calls::Prepared plain(std::function<long()> make) const {
    return {std::move(make), [&e = event](const Answer& answer) { return compare(e, answer); }};
  }
  void address(std::size_t i, const Endpoint& otherwise) const {
    const Expression& e = at(i);
    if (e.kind == Kind::kEllipsis) {
      m->address_length = write_address(otherwise, m->address);
    } else if (e.kind == Kind::kInteger) {
      m->address.ss_family = static_cast<sa_family_t>(e.integer);
    } else {
      Endpoint to{IpAddress::any_v4(), static_cast<std::uint16_t>(field(e, "sin_port", 0))};
      if (const Field* host = find(e, "sin_addr"); host != nullptr && host->value.kind == Kind::kCall)
        to.address = IpAddress::parse(host->value.items[0].text).value_or(to.address);
      m->address_length = write_address(to, m->address);
      m->address.ss_family = static_cast<sa_family_t>(field(e, "sa_family", AF_INET));
    }
    if (!any(i + 1)) m->address_length = static_cast<socklen_t>(number(at(i + 1)));
  }
  void pieces(const Expression& list) const {
    for (const Expression& item : list.items)
      m->add_piece(is_null(item.fields.at(0).value),
                   static_cast<std::size_t>(number(item.fields.at(1).value)), 0);
    m->attach_pieces();
  }
};

std::shared_ptr<Memory> Calls::memory() {
  memories_.push_back(std::make_shared<Memory>());
  return memories_.back();
}

int Calls::live_fd(int script_fd) const {
  const auto it = descriptors_.find(script_fd);
  return it != descriptors_.end() ? it->second : -1;
}

std::vector<int> Calls::open_sockets() const {
  std::vector<int> open;
  for (const auto& [script, live] : descriptors_) open.push_back(live);
  return open;
}

void Calls::names(const CallEvent& event, long live) {
  descriptors_[static_cast<int>(event.result.integer)] = static_cast<int>(live);
}

void Calls::begins_connecting(int script_fd, const Memory& m) {
  Connection* const connection = connections_.by_script_fd(script_fd);
  if (connection == nullptr || connection->state != Connection::State::kFresh ||
      m.address.ss_family != AF_INET)
    return;
  connection->state = Connection::State::kConnecting;
  connection->tuple.remote = m.endpoint();
}

Calls::Prepared Calls::prepare(const CallEvent& event) {
  Arguments a{*this, event, memory()};
  static const std::map<std::string, Prepared (Calls::*)(Arguments&), std::less<>> kMakers = {
      {"socket", &Calls::on_addresses},   {"bind", &Calls::on_addresses},
      {"listen", &Calls::on_addresses},   {"accept", &Calls::on_addresses},
      {"connect", &Calls::on_addresses},  {"close", &Calls::on_addresses},
      {"shutdown", &Calls::on_addresses}, {"read", &Calls::on_data},
      {"write", &Calls::on_data},         {"recv", &Calls::on_data},
      {"send", &Calls::on_data},          {"recvfrom", &Calls::on_data},
      {"sendto", &Calls::on_data},        {"readv", &Calls::on_messages},
      {"writev", &Calls::on_messages},    {"recvmsg", &Calls::on_messages},
      {"sendmsg", &Calls::on_messages},   {"fcntl", &Calls::on_options},
      {"ioctl", &Calls::on_options},      {"getsockopt", &Calls::on_options},
      {"setsockopt", &Calls::on_options}, {"poll", &Calls::on_sets},
      {"epoll_create", &Calls::on_sets},  {"epoll_ctl", &Calls::on_sets},
      {"epoll_wait", &Calls::on_sets},    {"open", &Calls::on_files},
      {"pipe", &Calls::on_files},         {"sendfile", &Calls::on_files},
      {"splice", &Calls::on_files}};
  const auto maker = kMakers.find(event.name);
  if (maker == kMakers.end()) throw std::runtime_error("unknown call " + event.name + "()");
  return (this->*maker->second)(a);
}

Calls::Prepared Calls::on_addresses(Arguments& a) {
  const Table& t = table_;
  const auto m = a.m;
  const CallEvent& event = a.event;
  if (event.name == "socket") {
    const int domain = a.any(0) ? AF_INET : a.integer(0), type = a.integer(1), protocol = a.integer(2);
    return {[=, &t] { return long{t.call<int>(kSocket, domain, type, protocol)}; },
            [this, &event](const Answer& answer) -> std::optional<std::string> {
              if (answer.result < 0 || event.result.integer < 0) return compare(event, answer);
              names(event, answer.result);
              Connection& connection = connections_.add();
              connection.script_fd = static_cast<int>(event.result.integer);
              connection.live_fd = static_cast<int>(answer.result);
              connection.tuple.local = {settings_.local, settings_.bind_port};
              return std::nullopt;
            }};
  }
  const int fd = a.fd(0);
  const int script_fd = a.integer(0);
  if (event.name == "bind") {
    a.address(1, {settings_.local, settings_.bind_port});
    return {[=, &t] {
              return long{t.call<int>(kBind, fd, static_cast<const sockaddr*>(m->name()), m->address_length)};
            },
            [=, this, &event](const Answer& answer) {
              if (Connection* c = connections_.by_script_fd(script_fd); answer.result == 0 && c != nullptr)
                c->tuple.local.port = m->endpoint().port;
              return compare(event, answer);
            }};
  }
  if (event.name == "listen") {
    const int backlog = a.integer(1);
    return {[=, &t] { return long{t.call<int>(kListen, fd, backlog)}; },
            [=, this, &event](const Answer& answer) {
              if (Connection* c = connections_.by_script_fd(script_fd); answer.result == 0 && c != nullptr)
                c->state = Connection::State::kListening;
              return compare(event, answer);
            }};
  }
  if (event.name == "accept")
    return {[=, &t] { return long{t.call<int>(kAccept, fd, m->name(), &m->address_length)}; },
            [=, this, &event](const Answer& answer) -> std::optional<std::string> {
              if (answer.result < 0 || event.result.integer < 0) return compare(event, answer);
              names(event, answer.result);
              Connection* const c = connections_.not_accepted(m->endpoint());
              if (c == nullptr) return "accept(): the peer's address is not one that a SYN came from";
              c->script_fd = static_cast<int>(event.result.integer);
              c->live_fd = static_cast<int>(answer.result);
              return std::nullopt;
            }};
  if (event.name == "connect") {
    a.address(1, {settings_.remote, settings_.connect_port});
    begins_connecting(script_fd, *m);
    return {
        [=, &t] {
          return long{t.call<int>(kConnect, fd, static_cast<const sockaddr*>(m->name()), m->address_length)};
        },
        [=, this, &event](const Answer& answer) {
          if (Connection* c = connections_.by_script_fd(script_fd);
              answer.result == 0 && c != nullptr && m->address.ss_family == AF_UNSPEC)
            c->state = Connection::State::kFresh;
          return compare(event, answer);
        }};
  }
  if (event.name == "shutdown")
    return a.plain([=, &t, how = a.integer(1)] { return long{t.call<int>(kShutdown, fd, how)}; });
  descriptors_.erase(script_fd);
  if (Connection* c = connections_.by_script_fd(script_fd)) {
    c->script_fd = c->live_fd = -1;
    if (c->state == Connection::State::kListening) c->state = Connection::State::kFresh;
  }
  return a.plain([=, &t] { return long{t.call<int>(kClose, fd)}; });
}

Calls::Prepared Calls::on_data(Arguments& a) {
  const Table& t = table_;
  const auto m = a.m;
  const int fd = a.fd(0);
  const std::string& name = a.event.name;
  const std::size_t size = a.size(2);
  void* const data = m->add_piece(is_null(a.at(1)), size, 0);
  const int flags = name == "read" || name == "write" ? 0 : a.integer(3);
  const bool named =
      (name == "sendto" || name == "recvfrom") && !(is_null(a.at(4)) && a.at(4).text != "AF_UNSPEC");
  if (name == "sendto" && named) {
    a.address(4, {settings_.remote, settings_.connect_port});
    if ((flags & MSG_FASTOPEN) != 0) begins_connecting(a.integer(0), *m);
  }
  if (name == "read") return a.plain([=, &t] { return long{t.call<ssize_t>(kRead, fd, data, size)}; });
  if (name == "write")
    return a.plain(
        [=, &t] { return long{t.call<ssize_t>(kWrite, fd, static_cast<const void*>(data), size)}; });
  if (name == "recv") return a.plain([=, &t] { return long{t.call<ssize_t>(kRecv, fd, data, size, flags)}; });
  if (name == "send")
    return a.plain(
        [=, &t] { return long{t.call<ssize_t>(kSend, fd, static_cast<const void*>(data), size, flags)}; });
  if (name == "recvfrom")
    return a.plain([=, &t] {
      return long{t.call<ssize_t>(kRecvfrom, fd, data, size, flags, named ? m->name() : nullptr,
                                  named ? &m->address_length : nullptr)};
    });
  return a.plain([=, &t] {
    return long{t.call<ssize_t>(kSendto, fd, static_cast<const void*>(data), size, flags,
                                static_cast<const sockaddr*>(named ? m->name() : nullptr),
                                named ? m->address_length : socklen_t{0})};
  });
}

Calls::Prepared Calls::on_messages(Arguments& a) {
  const Table& t = table_;
  const auto m = a.m;
  const int fd = a.fd(0);
  const CallEvent& event = a.event;
  if (event.name == "readv" || event.name == "writev") {
    a.pieces(a.at(1));
    const Entry entry = event.name == "readv" ? kReadv : kWritev;
    return a.plain([=, &t] {
      return long{t.call<ssize_t>(entry, fd, static_cast<const iovec*>(m->pieces.data()),
                                  static_cast<int>(m->pieces.size()))};
    });
  }
  const Expression& header = a.at(1);
  const int flags = a.integer(2);
  if (const Field* list = find(header, "msg_iov")) a.pieces(list->value);
  const Field* const control = find(header, "msg_control");
  if (event.name == "sendmsg") {
    if (find(header, "msg_name") != nullptr) {
      m->address_length = write_address({settings_.remote, settings_.connect_port}, m->address);
      m->message.msg_name = m->name();
      m->message.msg_namelen = m->address_length;
      if ((flags & MSG_FASTOPEN) != 0) begins_connecting(a.integer(0), *m);
    }
    if (control != nullptr) {
      m->control = control_bytes(control->value).value();
      m->message.msg_control = m->control.data();
      m->message.msg_controllen = m->control.size();
    }
    return a.plain([=, &t] {
      return long{t.call<ssize_t>(kSendmsg, fd, static_cast<const msghdr*>(&m->message), flags)};
    });
  }
  std::vector<ExpectedControl> expected;
  if (control != nullptr) {
    const auto parsed = expected_controls(control->value);
    if (!parsed) throw std::runtime_error(parsed.error());
    expected = *parsed;
    m->control.resize(4096);
    m->message.msg_control = m->control.data();
    m->message.msg_controllen = m->control.size();
  }
  const Field* const wanted = find(header, "msg_flags");
  return {[=, &t] { return long{t.call<ssize_t>(kRecvmsg, fd, &m->message, flags)}; },
          [=, this, &event](const Answer& answer) -> std::optional<std::string> {
            if (auto wrong = compare(event, answer)) return wrong;
            if (answer.result < 0) return std::nullopt;
            if (wanted != nullptr && m->message.msg_flags != number(wanted->value))
              return fmt::format("recvmsg(): msg_flags are {}, expected {}",
                                 flag_names("MSG_", static_cast<unsigned>(m->message.msg_flags)),
                                 flag_names("MSG_", static_cast<std::uint64_t>(number(wanted->value))));
            if (control == nullptr) return std::nullopt;
            const TimeBase base{
                Instant{Duration{start_ns_ - static_cast<std::int64_t>(Machine::kWallClockOffset)}},
                settings_.tolerance};
            if (auto wrong = compare_controls(expected, m->message, base))
              return "recvmsg(): " + wrong->reason;
            return std::nullopt;
          }};
}

Calls::Prepared Calls::on_options(Arguments& a) {
  const Table& t = table_;
  const auto m = a.m;
  const int fd = a.fd(0);
  const CallEvent& event = a.event;
  if (event.name == "fcntl") {
    const int argument = event.arguments.size() > 2 ? a.integer(2) : 0;
    return a.plain([=, &t, command = a.integer(1)] {
      return long{reinterpret_cast<int (*)(void*, int, int, ...)>(t.entries[kFcntl])(t.entries[kUserdata], fd,
                                                                                     command, argument)};
    });
  }
  if (event.name == "ioctl") {
    const bool compares = event.arguments.size() > 2 && a.at(2).kind == Kind::kList;
    const int expected = event.arguments.size() > 2 ? a.integer(2) : 0;
    m->number = expected;
    return {[=, &t, request = static_cast<unsigned long>(number(a.at(1)))] {
              return long{reinterpret_cast<int (*)(void*, int, unsigned long, ...)>(t.entries[kIoctl])(
                  t.entries[kUserdata], fd, request, &m->number)};
            },
            [=, &event](const Answer& answer) -> std::optional<std::string> {
              if (auto wrong = compare(event, answer)) return wrong;
              if (!compares || answer.result < 0 || m->number == expected) return std::nullopt;
              return fmt::format("ioctl(): the value is {}, expected {}", m->number, expected);
            }};
  }
  const int level = a.integer(1), name = a.integer(2);
  if (event.name == "setsockopt") {
    const bool null = is_null(a.at(3));
    m->option = option_bytes(a.at(3));
    m->option_length =
        a.any(4) ? static_cast<socklen_t>(m->option.size()) : static_cast<socklen_t>(number(a.at(4)));
    if (m->option_length < 65536 && m->option.size() < m->option_length) m->option.resize(m->option_length);
    return a.plain([=, &t] {
      return long{t.call<int>(kSetsockopt, fd, level, name,
                              static_cast<const void*>(null ? nullptr : m->option.data()), m->option_length)};
    });
  }
  const bool any = a.any(3);
  const std::vector<std::uint8_t> expected = any ? std::vector<std::uint8_t>{} : option_bytes(a.at(3));
  m->option_length =
      a.any(4) ? static_cast<socklen_t>(expected.size()) : static_cast<socklen_t>(number(a.at(4)));
  m->option.resize(std::max<std::size_t>(m->option_length, 1));
  return {[=, &t] {
            return long{t.call<int>(kGetsockopt, fd, level, name, static_cast<void*>(m->option.data()),
                                    &m->option_length)};
          },
          [=, &event](const Answer& answer) -> std::optional<std::string> {
            if (auto wrong = compare(event, answer)) return wrong;
            if (any || answer.result < 0) return std::nullopt;
            const std::size_t count = std::min<std::size_t>(m->option_length, expected.size());
            if (count == expected.size() && std::equal(expected.begin(), expected.end(), m->option.begin()))
              return std::nullopt;
            int got = 0;
            std::memcpy(&got, m->option.data(), std::min(sizeof got, m->option.size()));
            return fmt::format("getsockopt(): the value is {}", got);
          }};
}

Calls::Prepared Calls::on_sets(Arguments& a) {
  const Table& t = table_;
  const auto m = a.m;
  const CallEvent& event = a.event;
  const auto event_of = [](const Expression& e) {
    epoll_event made{};
    made.events = static_cast<std::uint32_t>(field(e, "events", 0));
    for (const char* name : {"fd", "ptr", "u32", "u64"})
      if (find(e, name) != nullptr) made.data.u64 = static_cast<std::uint64_t>(field(e, name, 0));
    return made;
  };
  if (event.name == "poll") {
    std::vector<short> expected;
    for (const Expression& item : a.at(0).items) {
      m->polled.push_back({a.fd_of(static_cast<int>(field(item, "fd", -1))),
                           static_cast<short>(field(item, "events", 0)), 0});
      expected.push_back(static_cast<short>(field(item, "revents", 0)));
    }
    return {
        [=, &t, timeout = a.integer(2)] {
          return long{t.call<int>(kPoll, m->polled.data(), static_cast<nfds_t>(m->polled.size()), timeout)};
        },
        [=, &event](const Answer& answer) -> std::optional<std::string> {
          if (auto wrong = compare(event, answer)) return wrong;
          for (std::size_t i = 0; i < expected.size(); ++i)
            if (m->polled[i].revents != expected[i])
              return fmt::format("poll(): revents are {:#x}, expected {:#x}", m->polled[i].revents,
                                 expected[i]);
          return std::nullopt;
        }};
  }
  if (event.name == "epoll_create")
    return {[=, &t, size = a.integer(0)] { return long{t.call<int>(kEpollCreate, size)}; },
            [this, &event](const Answer& answer) -> std::optional<std::string> {
              if (answer.result < 0 || event.result.integer < 0) return compare(event, answer);
              names(event, answer.result);
              return std::nullopt;
            }};
  const int epfd = a.fd(0);
  if (event.name == "epoll_ctl") {
    m->events.push_back(is_null(a.at(3)) ? epoll_event{} : event_of(a.at(3)));
    return a.plain([=, &t, operation = a.integer(1), fd = a.fd(2)] {
      return long{t.call<int>(kEpollCtl, epfd, operation, fd, m->events.data())};
    });
  }
  const epoll_event expected = event_of(a.at(1));
  m->events.resize(a.size(2));
  return {[=, &t, timeout = a.integer(3)] {
            return long{
                t.call<int>(kEpollWait, epfd, m->events.data(), static_cast<int>(m->events.size()), timeout)};
          },
          [=, &event](const Answer& answer) -> std::optional<std::string> {
            if (auto wrong = compare(event, answer)) return wrong;
            if (m->events[0].events == expected.events && m->events[0].data.u64 == expected.data.u64)
              return std::nullopt;
            return fmt::format("epoll_wait(): events are {}, expected {}",
                               flag_names("EPOLL", m->events[0].events),
                               flag_names("EPOLL", expected.events));
          }};
}

Calls::Prepared Calls::on_files(Arguments& a) {
  const Table& t = table_;
  const auto m = a.m;
  const CallEvent& event = a.event;
  if (event.name == "open")
    return {[path = a.at(0).text, flags = a.integer(1)] { return long{::open(path.c_str(), flags, 0644)}; },
            [this, &event](const Answer& answer) -> std::optional<std::string> {
              if (answer.result < 0 || event.result.integer < 0) return compare(event, answer);
              names(event, answer.result);
              return std::nullopt;
            }};
  if (event.name == "pipe") {
    const int from = static_cast<int>(number(a.at(0).items.at(0))),
              to = static_cast<int>(number(a.at(0).items.at(1)));
    return {[=, &t] { return long{t.call<int>(kPipe, static_cast<int*>(m->pair))}; },
            [=, this, &event](const Answer& answer) {
              descriptors_[from] = m->pair[0];
              descriptors_[to] = m->pair[1];
              return compare(event, answer);
            }};
  }
  if (event.name == "sendfile") {
    m->offset = a.at(2).kind == Kind::kList ? number(a.at(2)) : 0;
    const bool positioned = a.at(2).kind == Kind::kList;
    return a.plain([=, &t, out = a.fd(0), in = a.fd(1), count = a.size(3)] {
      return long{t.sendfile(out, in, positioned ? &m->offset : nullptr, count)};
    });
  }
  m->offsets[0] = number(a.at(1));
  m->offsets[1] = number(a.at(3));
  return a.plain([=, &t, in = a.fd(0), out = a.fd(2), count = a.size(4),
                  flags = static_cast<unsigned>(number(a.at(5)))] {
    return long{t.call<int>(kSplice, in, &m->offsets[0], out, &m->offsets[1], count, flags)};
  });
}

}  // namespace tapir::player
