// SPDX-License-Identifier: Apache-2.0
// fcntl(), ioctl(), and options.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "sim/drill/call_arguments.h"

namespace tapir::sim::drill {

Calls::Prepared Calls::make_fcntl(Arguments& arguments) {
  arguments.expect_count(2, 3);
  const int fd = arguments.fd(0);
  const int command = arguments.integer(1);
  const long argument = arguments.count() > 2 ? arguments.number(2) : 0;
  return {at_once([=, this](Instant) { return to_long(machine_.sockets().fcntl(fd, command, argument)); }),
          {}};
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
  if (compares && !sets) memory->number = -1;  // must be written over
  return {at_once([=, this](Instant now) {
            return to_long(machine_.sockets().ioctl(fd, request, &memory->number, now));
          }),
          [=, &event = arguments.event()](const Result<long>& result) -> std::optional<Problem> {
            if (auto problem = result_is(event)(result)) return problem;
            if (!result || !compares || memory->number == expected) return std::nullopt;
            return Problem{fmt::format("ioctl(): the value is {}, expected {}", memory->number, expected),
                           fmt::format("[{}]", expected), fmt::format("[{}]", memory->number)};
          }};
}

namespace {

// {tcpm_addr="192.0.2.1", tcpm_key="secret", tcpm_prefixlen=24, tcpm_flags=1, tcpm_ifindex=0}: the first
// alone must be there.
std::expected<std::vector<std::uint8_t>, std::string> md5_bytes(const Expression& value) {
  tcp_md5sig option{};
  const auto number = [&](std::string_view name) -> std::int64_t {
    const Field* field = find_field(value, name);
    return field != nullptr && field->value.kind == Expression::Kind::kInteger ? field->value.integer : 0;
  };
  const Field* address = find_field(value, "tcpm_addr");
  const auto peer =
      address->value.kind == Expression::Kind::kString ? IpAddress::parse(address->value.text) : std::nullopt;
  if (!peer || !peer->is_v4()) return std::unexpected("expected tcpm_addr=\"ADDRESS\"");
  sockaddr_in to{};
  to.sin_family = AF_INET;
  std::array<std::uint8_t, 4> bytes{};
  store_be(bytes, 0, peer->v4_bits());
  std::memcpy(&to.sin_addr, bytes.data(), bytes.size());
  std::memcpy(&option.tcpm_addr, &to, sizeof to);
  option.tcpm_flags = static_cast<std::uint8_t>(number("tcpm_flags"));
  option.tcpm_prefixlen = static_cast<std::uint8_t>(number("tcpm_prefixlen"));
  // Linux's tcpm_ifindex is padding in the C library's header.
  const auto interface = static_cast<std::int32_t>(number("tcpm_ifindex"));
  std::memcpy(reinterpret_cast<std::uint8_t*>(&option) + offsetof(tcp_md5sig, tcpm_keylen) +
                  sizeof option.tcpm_keylen,
              &interface, sizeof interface);
  if (const Field* key = find_field(value, "tcpm_key")) {
    if (key->value.kind != Expression::Kind::kString) return std::unexpected("expected tcpm_key=\"KEY\"");
    option.tcpm_keylen = static_cast<std::uint16_t>(key->value.text.size());
    std::memcpy(option.tcpm_key, key->value.text.data(),
                std::min(key->value.text.size(), sizeof option.tcpm_key));
  }
  const auto* raw = reinterpret_cast<const std::uint8_t*>(&option);
  return std::vector<std::uint8_t>(raw, raw + sizeof option);
}

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
      if (find_field(value, "tcpm_addr") != nullptr) return md5_bytes(value);
      for (const std::string_view name : {"onoff", "linger"}) {
        const Field* field = find_field(value, name);
        if (field == nullptr) field = find_field(value, "l_" + std::string(name));
        if (field == nullptr || field->value.kind != Expression::Kind::kInteger)
          return std::unexpected("expected {onoff=N, linger=N}");
        append(bytes, field->value.integer);
      }
      return bytes;
    default:
      return std::unexpected("expected [N], a string or {onoff=N, linger=N}");
  }
}

std::string option_text(const Expression& like, const std::vector<std::uint8_t>& bytes, std::size_t length) {
  length = std::min(length, bytes.size());
  if (like.kind == Expression::Kind::kString)
    return '"' + std::string(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length)) + '"';
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
  memory->option_length = arguments.is_ellipsis(4) ? static_cast<socklen_t>(memory->option.size())
                                                   : static_cast<socklen_t>(arguments.number(4));
  // A length beyond the value reads zeros, not other memory.
  if (memory->option.size() < memory->option_length && memory->option_length < 65536)
    memory->option.resize(memory->option_length);
  return {at_once([=, this](Instant now) {
            return to_long(machine_.sockets().setsockopt(
                fd, level, name, null ? nullptr : memory->option.data(), memory->option_length, now));
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
  const socklen_t length =
      any_length ? static_cast<socklen_t>(expected.size()) : static_cast<socklen_t>(arguments.size(4));
  memory->option_length = length;
  memory->option.assign(std::max<std::size_t>(length, 1), kUnread);
  return {at_once([=, this](Instant now) {
            return to_long(machine_.sockets().getsockopt(fd, level, name, memory->option.data(),
                                                         &memory->option_length, now));
          }),
          [=, &value, &event = arguments.event()](const Result<long>& result) -> std::optional<Problem> {
            if (auto problem = result_is(event)(result)) return problem;
            if (!result) return std::nullopt;
            if (!any_length && memory->option_length != length)
              return Problem{
                  fmt::format("getsockopt(): the length is {}, expected {}", memory->option_length, length),
                  fmt::format("[{}]", length), fmt::format("[{}]", memory->option_length)};
            const std::size_t compared = std::min<std::size_t>(memory->option_length, expected.size());
            if (any_value ||
                (std::equal(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(compared),
                            memory->option.begin()) &&
                 compared == expected.size()))
              return std::nullopt;
            const std::string wanted = option_text(value, expected, expected.size());
            const std::string got = option_text(value, memory->option, memory->option_length);
            return Problem{fmt::format("getsockopt(): the value is {}, expected {}", got, wanted), wanted,
                           got};
          }};
}

}  // namespace tapir::sim::drill
